"""Steps that take the answer of another metric."""
