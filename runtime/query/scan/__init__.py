"""Reads the rows of a task from its files."""
