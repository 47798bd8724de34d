"""The states of groups in arrays: aggregates, tallies, hash tables, strings."""
