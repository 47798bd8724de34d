"""Metrics inside a metric: run first, over one snapshot, and replaced by their answers."""
