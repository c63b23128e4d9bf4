"""The operator graph of a network and what flows along it."""
