"""Checkpoints of other programs become runs."""
