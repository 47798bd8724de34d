"""Formats whose records are lines."""
