"""Reads the points of a stream: exports them, shows some of them, describes their columns."""
