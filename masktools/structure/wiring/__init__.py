"""How the weights of a layer join its units: measures of the graph of channels, one topic a module."""
