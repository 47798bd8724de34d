"""Keeps a store in order: what was ingested, what can be deleted, a copy of the catalogue."""
