"""Patterns of rows: their text, and the places that a row can take in them."""
