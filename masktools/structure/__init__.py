"""Measures of structure: pure functions from masks to frozen results, one topic a module."""
