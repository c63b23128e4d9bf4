"""Independent parts of a computation, run in this process, in several, or on a cluster."""
