"""Merges partial states into a result."""
