"""Source of kernels: what expressions and sinks emit. Values never appear in it: constants are arguments.

The modules imported here put their functions into the tables of ``emitter`` and of ``dataflow.expressions.functions``.
"""

from dataflow.codegen import (
    arithmetic,
    casts,
    clocks,
    leaves,
    logic,
    lookups,
    memory,
    numbers,
    reals,
    roundings,
    row_code,
    texts,
)

__all__ = ["arithmetic", "casts", "clocks", "leaves", "logic", "lookups", "memory", "numbers", "reals", "roundings",
           "row_code", "texts"]  # fmt: skip
