"""Provenance: the rows, keys and files behind a number."""
