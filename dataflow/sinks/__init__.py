"""Sinks that several steps use: groups, rows as they are, intervals cut into pieces, and what follows a key."""
