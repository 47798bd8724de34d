"""How antfold gets to a person and to an account: the console script, the demo, and what it shows."""
