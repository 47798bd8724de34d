"""Runs metrics over stores of point files."""
