"""Published queries that run at their times: relative ranges, thresholds, saved results."""
