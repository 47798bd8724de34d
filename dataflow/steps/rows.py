"""``filter``, ``with_columns``, ``held`` and ``select``: steps that work on single rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

from dataflow.binding.beside_rows import BesideRows, has_over
from dataflow.binding.interval_cuts import cut
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Named
from dataflow.expressions.call_text import call, columns_text, given, keyword
from dataflow.expressions.expr import Expr, col
from dataflow.expressions.node import quoted, written
from dataflow.json import fields as json
from dataflow.json.reading import Reader
from dataflow.steps.base import Bound, Step
from dataflow.typed.clock import is_moving, sources_of
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Keep


@dataclass(frozen=True, eq=False)
class Filter(Step, op="filter"):
    """Rows where the condition is true."""

    where: Expr = json.expression()

    in_timelines = True

    @property
    def mixes_rows(self) -> bool:
        """See Step."""
        return has_over(self.where)

    @property
    def needed_columns(self) -> frozenset[str]:
        """See Step."""
        return _needed(self.where)

    def calls(self) -> list[str]:
        """See Step."""
        return [call("filter", [written(self.where)])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind == "table" and has_over(self.where):
            beside = BesideRows.of(b, shape)
            (where,) = beside.without_over([self.where])
            beside.shape.ops.append(Keep(b.condition(where, beside.shape, "filter")))
            return Bound(beside.hide(shape), after=beside.steps)
        condition = b.condition(self.where, shape, "filter")
        if is_moving(condition):
            stage, shape = cut(b, shape, {}, [condition])
            return Bound(shape, [stage])
        b.fix_all([condition], shape)
        shape.ops.append(Keep(condition))
        shape.filtered = b.where
        return Bound(shape)


_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "between", "is_in")


def _needed(where: Expr) -> frozenset[str]:
    """The columns that are not null where the condition is true, as far as its form says so."""
    if where.fn == "col":
        return frozenset({str(where.option("name"))})
    if where.fn in _COMPARED:
        return frozenset().union(*(_needed(a) for a in where.args if a.fn == "col"))
    if where.fn == "not":
        return _needed(where.args[0]) if where.args[0].fn in ("col", *_COMPARED) else frozenset()
    if where.fn in ("and", "or"):
        a, b = map(_needed, where.args)
        return a | b if where.fn == "and" else a & b
    return frozenset()


class ColumnStep(Step):
    """A step that computes columns."""

    in_timelines = True
    of_reports = False
    """Whether the columns are last reported values."""

    @abstractmethod
    def new_columns(self) -> Named:
        """See Step."""

    @property
    def mixes_rows(self) -> bool:
        """See Step."""
        return has_over(self.new_columns())

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        columns = self.new_columns()
        if shape.kind == "table" and has_over(columns):
            beside = BesideRows.of(b, shape)
            columns = beside.named(columns)
            new = self._typed(b, beside.shape, columns)
            return Bound(self._with(b, beside.hide(shape), new), after=beside.steps)
        new = self._typed(b, shape, columns)
        shape = self._with(b, shape, new)
        cuts = {n: t for n, t in new.items() if is_moving(t)}
        if not cuts:
            return Bound(shape)
        stage, shape = cut(b, shape, cuts)
        return Bound(shape, [stage])

    def _with(self, b: Expressions, shape: Shape, new: dict[str, Typed]) -> Shape:
        """The rows with the columns ``new``."""
        if self.drops_others:
            is_table = shape.kind == "table"
            kept = {} if is_table else {k: shape.env[k] for k in (b.stream.key,) if k in shape.env}
            by = [n for n, e in self.new_columns() if e.fn == "col" and e.option("name") in shape.by]
            shape.env, shape.by = {**kept, **new}, tuple(by)
        else:
            shape.env = {**shape.env, **new}
        return shape

    def _typed(self, b: Expressions, shape: Shape, columns: Named) -> dict[str, Typed]:
        new: dict[str, Typed] = {}
        for name, e in columns:
            if self.of_reports and name in (b.stream.key, b.stream.time) and shape.kind == "points":
                raise b.fail(f"every row has its {name!r}; there is nothing to hold")
            typed = b.typed(e, shape)
            if typed.type is None:
                raise b.fail(f"the column {name!r} is always null, so it has no type")
            reserved = (b.stream.key,) if shape.kind != "table" else ()
            if name in reserved and typed != shape.env.get(name):
                raise b.fail(f"the key {name!r} cannot be replaced")
            if is_moving(typed):
                sources_of([typed], lambda text, name=name: b.fail(f"{name}: {text}"))  # type: ignore[misc]
                new[name] = typed
                continue
            plain = typed.fn in ("in", "slot") or typed.site >= 0 or (typed.fn == "time" and name == "start")
            if shape.kind == "intervals" and not plain:
                # Computed for the interval as it is here, whatever cuts it later.
                typed = replace(typed, site=next(b.sites))
            b.fix_all([typed], shape)
            new[name] = typed
        return new


@dataclass(frozen=True, eq=False)
class WithColumns(ColumnStep, op="with_columns"):
    """Rows with further or replaced columns."""

    columns: Named = json.columns()

    def new_columns(self) -> Named:
        """See Step."""
        return self.columns

    def calls(self) -> list[str]:
        """See Step."""
        return [call("with_columns", [keyword(n, written(e)) for n, e in self.columns])]


@dataclass(frozen=True, eq=False)
class Held(ColumnStep, op="held"):
    """Fill the columns ``names`` with the last reported values, held for ``hold`` microseconds at most."""

    names: tuple[str, ...] = json.names("columns")
    hold: int | None = json.optional_length()

    of_reports = True

    def new_columns(self) -> Named:
        """See Step."""
        return tuple((n, Expr("last", (col(n),), (("hold", self.hold),))) for n in self.names)

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        # Each is an expression of two nodes.
        reader.count(2 * len(self.names), where)

    def calls(self) -> list[str]:
        """See Step."""
        return [call("held", [*map(quoted, self.names), *given({"hold": (self.hold, None)})])]


@dataclass(frozen=True, eq=False)
class Select(ColumnStep, op="select"):
    """Rows with only these columns (key and time stay)."""

    columns: Named = json.columns()

    drops_others = True

    def new_columns(self) -> Named:
        """See Step."""
        return self.columns

    def calls(self) -> list[str]:
        """See Step."""
        return [call("select", columns_text(self.columns))]
