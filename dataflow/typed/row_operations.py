"""Row operations: what a stage does to every row before its sink."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class Keep:
    """Drop the rows where the condition is not true."""

    condition: Typed


@dataclass(frozen=True)
class Fix:
    """Compute a numbered expression at this point."""

    value: Typed


@dataclass(frozen=True)
class NullTally:
    """Count the rows of the range, and those in which the column ``value`` is null (``Plan.sparse``)."""

    value: Typed
    number: int


RowOp = Keep | Fix | NullTally
