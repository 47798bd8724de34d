"""``key_by``: the points of a stream by another key than that of its ingest."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.steps.base import POINTS, Bound, Step

ALONE = (
    "key_by takes the points of one stream, and no other stream may join them; ingest the streams by that key, or take "
    "an answer: .join(metric, on=...)"
)
"""Why it cannot be in a metric of several streams."""


@dataclass(frozen=True, eq=False)
class KeyBy(Step, op="key_by"):
    """The points that have a value in each of ``columns``, which are their key from here on."""

    columns: tuple[str, ...] = json.name_or_names("column")

    makes = POINTS
    has_length = False

    def calls(self) -> list[str]:
        """See Step."""
        return [call("key_by", [*map(quoted, self.columns)])]

    @property
    def key(self) -> str:
        """The name of the column with the key: that of the one column, or the names of several, joined."""
        return "/".join(self.columns)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step: plans are made for a stream that has this key (``runtime/query/plan/other_key.py``)."""
        if b.stream.key == self.key and shape.kind == "points" and not shape.ops:
            return Bound(shape)
        raise b.fail("it comes directly after df.stream(...), whose points are read by another key")
