"""Snapshot files: what they hold, writing and reading them."""
