"""Train sparse neural networks and record a snapshot of their masks every epoch."""
