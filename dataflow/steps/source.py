"""``stream``: the points that a metric starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.binding.sources import TakenStream
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.steps.base import POINTS, Bound, Step
from dataflow.typed.hidden_columns import INPUT
from dataflow.typed.nodes import Typed, column
from operators.types import Type


@dataclass(frozen=True, eq=False)
class Source(Step, op="stream"):
    """All points of a stream."""

    name: str = json.text()

    makes = POINTS
    has_length = False
    starts = True

    def streams(self) -> Iterator[str]:
        """See Step."""
        yield self.name

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        return [f"df.stream({quoted(self.name)})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        taken = b.sources.take(self.name)
        b.stream = taken.columns
        return Bound(points_of(taken, b.sources.several))


def points_of(taken: TakenStream, several: bool) -> Shape:
    """The points of a stream as a metric sees them."""
    s = taken.columns
    env = {name: _stored(taken.merged[name], kind) for name, kind in s.columns.items()}
    env[s.key] = Typed("slot", s.key_type)
    env[s.time] = Typed("time", Type.TIME)
    inputs = {s.key: s.key_type} | {taken.merged[name]: kind for name, kind in s.columns.items()}
    return Shape("points", env, inputs | ({INPUT: Type.BOOL} if several else {}))


def _stored(name: str, kind: Type) -> Typed:
    """A stored column. Times outside of the calendar years are null."""
    read = column(name, kind)
    return Typed("in_years", kind, (read,)) if kind is Type.TIME else read
