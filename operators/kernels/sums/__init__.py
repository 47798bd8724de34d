"""Loop bodies of exact sums."""
