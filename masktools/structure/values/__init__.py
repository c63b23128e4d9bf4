"""What the values of weights say about a mask: criteria that order it, and signs that stay."""
