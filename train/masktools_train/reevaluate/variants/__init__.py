"""Ways of starting again from a recorded mask: other weights under it, or another mask."""
