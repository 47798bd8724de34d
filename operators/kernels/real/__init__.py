"""Functions of real numbers (exp, log, sin, ...): the same bits on every machine. See README.md."""
