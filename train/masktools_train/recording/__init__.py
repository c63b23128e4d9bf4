"""Seeing what each torch function does to connectivity while a model runs; `registry` lists all that are known."""
