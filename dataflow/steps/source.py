"""``stream``: the points that a metric starts from."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.steps.base import POINTS, Bound, Step
from dataflow.typed.nodes import Typed, column
from operators.types import Type


@dataclass(frozen=True, eq=False)
class Source(Step, op="stream"):
    """All points of a stream."""

    name: str = json.text()

    makes = POINTS
    has_length = False

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        return [f"df.stream({quoted(self.name)})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        s = b.stream
        env = {name: _stored(name, kind) for name, kind in s.columns.items()}
        env[s.key] = Typed("slot", s.key_type)
        env[s.time] = Typed("time", Type.TIME)
        return Bound(Shape("points", env, {s.key: s.key_type, **s.columns}))


def _stored(name: str, kind: Type) -> Typed:
    """A stored column. Times outside of the calendar years are null."""
    read = column(name, kind)
    return Typed("in_years", kind, (read,)) if kind is Type.TIME else read
