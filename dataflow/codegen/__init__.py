"""Source of kernels: what expressions and sinks emit. Values never appear in it: constants are arguments."""
