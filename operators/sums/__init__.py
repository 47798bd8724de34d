"""Exact sums and exact arithmetic on whole arrays."""
