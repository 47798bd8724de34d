"""Sinks that several steps share: groups, unchanged rows, pieces of intervals, and the base of flow sinks."""
