"""``sort`` and ``limit``: order and number of a table's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call
from dataflow.expressions.node import option_text, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader
from dataflow.plan.stages import SortBy, Take
from dataflow.steps.base import TABLE, Bound, Step
from operators.types import Type


def _keys_in(reader: Reader, value: Any, where: str) -> tuple[tuple[str, bool], ...]:
    keys = []
    for i, item in enumerate(reader.rows(value, where)):
        k = reader.fields(item, f"{where}[{i}]", ["column", "descending"])
        if not isinstance(k["descending"], bool):
            raise JsonFormError(f"{where}[{i}].descending: expected true or false")
        keys.append((reader.text(k["column"], f"{where}[{i}].column"), k["descending"]))
    return tuple(keys)


def _number_in(reader: Reader, value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise JsonFormError(f"{where}: expected a number of rows, got {short(value)}")
    return value


@dataclass(frozen=True, eq=False)
class Sort(Step, op="sort"):
    """Order rows by columns; (name, descending) pairs."""

    by: tuple[tuple[str, bool], ...] = json.field_of(
        lambda keys: [{"column": c, "descending": d} for c, d in keys], _keys_in
    )

    makes = TABLE
    takes_table = True
    mixes_rows = False

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        for c, _ in self.by:
            if b.lookup(c, shape).type is Type.JSON:
                raise b.fail(f"the column {c!r} is json, which has no order")
        return Bound(shape, after=[SortBy(self.by)])

    def calls(self) -> list[str]:
        """See Step."""
        flags = tuple(d for _, d in self.by)
        descending = [] if not any(flags) else ["descending=True"] if all(flags) else [f"descending={flags}"]
        return [call("sort", [*(quoted(n) for n, _ in self.by), *descending])]


@dataclass(frozen=True, eq=False)
class Limit(Step, op="limit"):
    """The first ``n`` rows."""

    n: int = json.field_of(lambda n: n, _number_in, value=lambda n, where, others: _number_in(Reader(), n, where))

    makes = TABLE
    takes_table = True

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        return Bound(shape, after=[Take(self.n)])

    def calls(self) -> list[str]:
        """See Step."""
        return [call("limit", [option_text("n", self.n)])]
