"""Take out of a network what it does not need, and prove that it is the same function."""
