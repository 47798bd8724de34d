"""Typed expressions and aggregates, and the row operations of a stage."""
