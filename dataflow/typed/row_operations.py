"""What a stage does with every row before its sink takes it."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class Keep:
    """Drop the rows where the condition is not true."""

    condition: Typed


@dataclass(frozen=True)
class Fix:
    """Compute a numbered expression here, before what follows."""

    value: Typed


@dataclass(frozen=True)
class NullTally:
    """Count here the rows of the range, and those in which the column ``value`` is null (``Plan.sparse``)."""

    value: Typed
    number: int


RowOp = Keep | Fix | NullTally
