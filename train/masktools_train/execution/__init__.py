"""How masked layers compute."""
