"""The sections of a page, one topic a file: each a function from the material to what it shows."""
