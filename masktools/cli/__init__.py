"""The command line: one file a command. Importing it loads nothing heavy; commands import what they run."""
