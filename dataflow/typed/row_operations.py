"""Row operations: what a stage does to every row before its sink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from dataflow.typed.nodes import Typed
from operators.types import Type


@dataclass(frozen=True)
class Keep:
    """Drop the rows where the condition is not true."""

    condition: Typed

    def expressions(self) -> Iterator[Typed]:
        """Every expression of it, outermost nodes."""
        yield self.condition


@dataclass(frozen=True)
class Fix:
    """Compute a numbered expression at this point."""

    value: Typed

    def expressions(self) -> Iterator[Typed]:
        """See Keep."""
        yield self.value


@dataclass(frozen=True)
class NullTally:
    """Count the rows of the range, and those in which the column ``value`` is null (``Plan.sparse``)."""

    value: Typed
    number: int

    def expressions(self) -> Iterator[Typed]:
        """See Keep."""
        yield self.value


@dataclass(frozen=True)
class Branch:
    """What only rows of some ``inputs`` pass: operations, and then the values of columns (None: null)."""

    inputs: tuple[int, ...]
    ops: tuple[RowOp, ...]
    values: tuple[Typed | None, ...]

    @property
    def condition(self) -> Typed:
        """Whether a row comes from these inputs."""
        return from_inputs(self.inputs)

    def expressions(self) -> Iterator[Typed]:
        """See Keep."""
        yield self.condition
        for op in self.ops:
            yield from op.expressions()
        yield from (v for v in self.values if v is not None)


@dataclass(frozen=True)
class Merge:
    """Each row passes the branch of its input; ``columns`` then are its values there, by their number."""

    branches: tuple[Branch, ...]
    columns: tuple[Typed, ...]

    def expressions(self) -> Iterator[Typed]:
        """See Keep."""
        for branch in self.branches:
            yield from branch.expressions()


@dataclass(frozen=True)
class AsOf:
    """Rows of ``branch`` end here: each key's last one is remembered. ``columns`` are its values in later rows."""

    branch: Branch
    columns: tuple[Typed, ...]
    tolerance: int | None

    def expressions(self) -> Iterator[Typed]:
        """See Keep."""
        yield from self.branch.expressions()


RowOp: TypeAlias = Keep | Fix | NullTally | Merge | AsOf


def from_inputs(numbers: Sequence[int]) -> Typed:
    """Whether a row comes from one of these inputs."""
    return Typed("from_input", Type.BOOL, (), (("numbers", tuple(numbers)),))


def nested(ops: Iterable[RowOp]) -> Iterator[RowOp]:
    """The operations, and those inside them."""
    for op in ops:
        yield op
        branches = op.branches if isinstance(op, Merge) else (op.branch,) if isinstance(op, AsOf) else ()
        for branch in branches:
            yield from nested(branch.ops)


def without_unused(ops: Sequence[RowOp], used: Iterable[Typed]) -> tuple[RowOp, ...]:
    """The operations, without columns of several streams that neither later ones nor ``used`` expressions read."""
    needed = {n for e in used for n in e.walk() if n.fn in ("merged", "as_of")}
    out: list[RowOp] = []
    for op in reversed(ops):
        if isinstance(op, Merge | AsOf):
            at = [i for i, c in enumerate(op.columns) if c in needed]
            columns = tuple(op.columns[i] for i in at)
            if isinstance(op, Merge):
                op = Merge(tuple(_with_values(b, at) for b in op.branches), columns)
            else:
                op = AsOf(_with_values(op.branch, at), columns, op.tolerance)
        needed |= {n for e in op.expressions() for n in e.walk() if n.fn in ("merged", "as_of")}
        out.append(op)
    return tuple(reversed(out))


def _with_values(branch: Branch, at: Sequence[int]) -> Branch:
    values = tuple(branch.values[i] for i in at)
    return replace(branch, values=values, ops=without_unused(branch.ops, [v for v in values if v is not None]))
