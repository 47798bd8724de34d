"""The steps of metrics, each in a file with all that is particular to it."""
