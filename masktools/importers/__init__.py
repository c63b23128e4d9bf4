"""Checkpoints that other programs wrote, taken apart into weights, masks and other tensors."""
