"""Random masks that keep some of what a real mask has, and what a number is on them: the null ladder."""
