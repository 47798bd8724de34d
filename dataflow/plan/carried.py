"""What a plan needs of the rows before a time: for some plans, a few rows of each key tell as much as all of them."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.plan.stages import Stage
from dataflow.typed.hidden_columns import EARLY
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import NullTally

_STRICT = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "between", "not", "is_in", "starts_with", "contains"})
"""Functions that return null exactly where an argument is null."""


def carried_of(chain: Sequence[Stage], whole: int) -> tuple[str, ...] | None:
    """See ``Plan.carried``.

    The first stage must write intervals of a state (``Sink.lasting``), from reports that each come from one column: a
    report is then the last value of that column, and what was reported before it ends before it. Every row must count:
    a filter would choose among the reports. The other stages must see only what that one writes in the range.
    """
    first = chain[0]
    lasting = first.sink.lasting()
    if lasting is None or whole or any(EARLY in dict(s.inputs) for s in chain):
        return None
    if not all(isinstance(op, NullTally) for op in first.ops) or any(first.sink.row_operations()):
        return None
    columns = [_reported(e) for e in first.sink.expressions()]
    return None if None in columns else tuple(sorted({c for c in columns if c is not None}))


def _reported(e: Typed) -> str | None:
    """The column of points that an expression of it alone depends on, and with which it is null; None if there is
    none."""
    if e.fn == "in":
        return str(e.option("name"))
    if e.fn not in _STRICT:
        return None
    columns = set()
    for a in e.args:
        if a.fn == "lit":
            if a.type is None or a.option("value") is None:
                return None
            continue
        columns.add(_reported(a))
    return columns.pop() if len(columns) == 1 else None
