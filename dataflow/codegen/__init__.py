"""Source code of expressions and sinks in kernels. It contains no constants of the metric: these are arguments."""
