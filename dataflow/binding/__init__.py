"""Validation of expressions and aggregates against a stream: they get types, and know where they cut intervals."""
