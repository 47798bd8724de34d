"""Expressions and aggregates with types, and what a stage does with rows."""
