"""Carry-in: a few rows of each key instead of all rows before a day. Start with ``carrying.py``."""
