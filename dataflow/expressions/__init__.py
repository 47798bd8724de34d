"""Expressions and aggregates as the DSL writes them, without types."""
