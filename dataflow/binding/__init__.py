"""Binds expressions and aggregates to a stream: their types, and where they cut intervals."""
