"""Simulated fleets, for planning and tests."""
