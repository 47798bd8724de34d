"""An aggregate of a metric, bound to the columns of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.typed.nodes import Typed
from operators.aggregates import AnyAggregate
from operators.contract import Aggregate


@dataclass(frozen=True)
class BoundAgg:
    """One aggregate with its typed arguments (None: it takes none) and conditions that must all be true."""

    name: str
    aggregate: AnyAggregate
    argument: Typed | None
    where: tuple[Typed, ...]
    other: Typed | None = None
    before: Typed | None = None
    """The argument's report before the row's, of the same key."""

    @property
    def before_first(self) -> bool:
        """Whether the time before a key's first point counts."""
        return isinstance(self.aggregate, Aggregate) and self.aggregate.before_first

    def expressions(self) -> Iterator[Typed]:
        """Its arguments and conditions."""
        yield from (e for e in (self.argument, self.other, self.before) if e is not None)
        yield from self.where
