"""Aggregates of how values are spread, and of how two columns vary together."""
