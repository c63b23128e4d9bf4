"""How the structure of a run moves from epoch to epoch, and when it is found."""
