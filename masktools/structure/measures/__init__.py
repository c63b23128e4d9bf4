"""Families of numbers that connectivity can measure, each one file and one line in the registry."""
