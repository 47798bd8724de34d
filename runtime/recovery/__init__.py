"""Rebuilds a lost or damaged catalogue."""
