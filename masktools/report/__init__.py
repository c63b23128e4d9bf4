"""A page about runs: one file that needs no other, with pictures, tables and what each number is."""
