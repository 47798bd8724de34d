"""Scheduled runs of published queries: relative ranges, thresholds, saved results."""
