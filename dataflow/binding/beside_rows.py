"""Functions of other rows of a finished table: each becomes a hidden column, computed before the step that uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Agg, Named, in_words
from dataflow.expressions.expr import Expr, col, when
from dataflow.expressions.node import quoted, written
from dataflow.expressions.over_calls import RANKS, RUNNING, over_options
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.stages import Stage, TableStep
from dataflow.plan.table_functions import (
    ROW,
    AggregateBeside,
    BesideColumn,
    NeighbourBeside,
    PlaceBeside,
    ReportBeside,
    RowOrder,
    listed_order,
)
from dataflow.sinks.group_sink import Group
from dataflow.sinks.row_sink import Rows
from dataflow.typed.nodes import Typed, column
from operators.types import Type

_REPORTS = ("first", "last")
"""Aggregates that depend on the order of rows: they are looked up, not put together."""


def has_over(part: object) -> bool:
    """Whether an expression, or any of several, looks at other rows of its table."""
    if isinstance(part, Expr):
        return part.fn == "over" or has_over(part.args)
    return isinstance(part, tuple) and any(map(has_over, part))


@dataclass
class BesideRows:
    """The rows of a finished table with hidden columns for what looks at other rows; ``steps`` compute them."""

    b: Expressions
    shape: Shape
    steps: list[TableStep]
    texts: dict[str, str] = field(default_factory=dict)
    """The hidden columns of functions of other rows, with the text of each."""

    @classmethod
    def of(cls, b: Expressions, shape: Shape) -> BesideRows:
        """For the rows ``shape``, without any step so far."""
        return cls(b, replace(shape, env=dict(shape.env), inputs=dict(shape.inputs), ops=list(shape.ops)), [])

    def without_over(self, exprs: Sequence[Expr]) -> list[Expr]:
        """The expressions with a hidden column in the place of each function of other rows, from the inside out."""
        out = [_as_aggregates(e) for e in exprs]
        while ready := {repr(n): n for e in out for n in _innermost(e)}:
            names = self._columns_of([c for n in ready.values() for c in _operands(n)])
            found = {text: self._added(n, names) for text, n in ready.items()}
            self.texts |= {str(found[text].option("name")): self._shown(text) for text in found}
            out = [_replaced(e, found) for e in out]
        return out

    def names_of(self, exprs: Sequence[Expr]) -> list[str]:
        """The columns of the table that hold these expressions; they are added where there are none."""
        listed = self.without_over(exprs)
        names = self._columns_of(listed)
        return [names[repr(e)] for e in listed]

    def named(self, columns: Named) -> Named:
        """The same for named columns. A column that is just a function of other rows is computed under its name."""
        found = list(zip((n for n, _ in columns), self.without_over([e for _, e in columns]), strict=True))
        used = Counter(n.option("name") for _, e in found for n in _nodes(e))
        plain = {str(e.option("name")): i for i, (_, e) in enumerate(found) if e.fn == "col"}
        written = max((i for i, s in enumerate(self.steps) if isinstance(s, Stage)), default=-1)
        for i, step in enumerate(self.steps):
            if i <= written or not isinstance(step, BesideColumn) or used[step.name] > 1:
                continue
            at = plain.get(step.name)
            if at is None or (name := found[at][0]) in self.shape.inputs:
                continue
            self.steps[i], found[at] = replace(step, name=name), (name, col(name))
            kind = self.shape.inputs.pop(step.name)
            del self.shape.env[step.name]
            self.shape.inputs[name], self.shape.env[name] = kind, column(name, kind)
        return tuple(found)

    def hide(self, before: Shape) -> Shape:
        """The rows after all steps, with the columns that they had ``before``."""
        self.shape.env = {n: self.shape.env[n] for n in before.env}
        return self.shape

    def _columns_of(self, exprs: Sequence[Expr]) -> dict[str, str]:
        """The column that holds each expression, by its text. Filters that wait are carried out."""
        b, shape = self.b, self.shape
        wanted: dict[str, Typed] = {}
        for e in exprs:
            typed = b.typed(e, shape)
            if typed.type is None:
                raise b.fail(f"{e!r} is always null, so it has no type")
            if typed.type is Type.JSON:
                raise b.fail(f"{e!r} is json: a result with several parts can be shown, but not computed with")
            wanted[repr(e)] = typed
        if not shape.ops and all(typed.fn == "in" for typed in wanted.values()):
            return {text: str(typed.option("name")) for text, typed in wanted.items()}
        there = {typed: name for name, typed in shape.env.items()}
        names = {text: there.get(typed) or self._hidden() for text, typed in wanted.items()}
        self._write(shape.env | {names[text]: typed for text, typed in wanted.items()})
        return names

    def _write(self, env: dict[str, Typed]) -> None:
        """Carry out what waits: a stage that writes these columns."""
        shape = self.shape
        sink = Rows(tuple(env.items()), False)
        self.steps.append(stage_of_inputs(shape.inputs, shape.ops, sink, self.b.where))
        kinds = {n: t.type for n, t in env.items() if t.type is not None}
        self.shape = replace(shape, env={n: column(n, k) for n, k in kinds.items()}, inputs=kinds, ops=[])

    def _shown(self, text: str) -> str:
        """A text with that of each function in place of its hidden column."""
        for name, own in self.texts.items():
            for hidden in (written(col(name)), quoted(name)):
                text = text.replace(hidden, own)
        return text

    def _in_words(self, e: Expr) -> str:
        return self.texts.get(str(e.option("name"))) or in_words(e) if e.fn == "col" else self._shown(repr(e))

    def _hidden(self) -> str:
        names = (f"${site}" for site in self.b.sites)
        return next(name for name in names if name not in self.shape.inputs and name not in self.shape.env)

    def _added(self, node: Expr, names: dict[str, str]) -> Expr:
        """The hidden column that holds the function of other rows ``node``."""
        b, shape = self.b, self.shape
        of, n, rows = node.option("of"), node.option("n"), node.option("rows")
        per, order, flags = _listed(node, "per"), _listed(node, "order"), node.option("descending")
        assert isinstance(flags, tuple)
        by = node.args if of in RANKS else order
        words = self._in_words
        among = RowOrder(
            tuple(names[repr(e)] for e in per),
            tuple((names[repr(e)], bool(down)) for e, down in zip(by, flags, strict=True)),
            listed_order([words(e) for e in per], [(words(e), bool(d)) for e, d in zip(order, flags, strict=False)]),
        )
        name, seen = self._hidden(), None if rows is None else int(str(rows))
        if isinstance(of, Agg):
            if of.fn in _REPORTS:
                raise b.fail(f"{of.fn} needs an order of the table's rows; write for example .over(order='day')")
            agg = b.aggregate(repr(of), of, shape)
            if agg.aggregate.flags.ordered:
                raise b.fail(f"{of.fn} depends on the order of rows, so it cannot be put together from parts of them")
            sink = Group(((ROW, column(ROW, Type.INT)),), (agg,), False, False)
            stage = stage_of_inputs({**shape.inputs, ROW: Type.INT}, (), sink, b.where)
            kind = agg.aggregate.result
            last = "" if seen is None else f" of the last {seen} rows"
            self.steps.append(AggregateBeside(name, among, f"{self._shown(repr(of))}{last}", seen, stage))
        else:
            argument = names[repr(node.args[0])]
            down = " descending" if of in RANKS and any(flags) else ""
            kind, text = shape.inputs[argument], f"{of} of {words(node.args[0])}{down}"
            if of in _REPORTS:
                text = f"{of} {words(node.args[0])} up to each row{'' if seen is None else f', of {seen} rows'}"
                self.steps.append(ReportBeside(name, among, text, argument, of == "last", seen))
            elif of in ("previous", "next"):
                away = int(str(n)) * (1 if of == "next" else -1)
                text = f"{words(node.args[0])} of {of} row{'' if n == 1 else f', {n} away'}"
                self.steps.append(NeighbourBeside(name, among, text, argument, away))
            else:
                kind = Type.INT
                self.steps.append(PlaceBeside(name, among, text, str(of), argument, None if n is None else int(str(n))))
        shape.inputs[name] = kind
        shape.env[name] = column(name, kind)
        return col(name)


def _nodes(e: Expr) -> Iterator[Expr]:
    yield e
    for a in e.args:
        yield from _nodes(a)


def _listed(node: Expr, option: str) -> tuple[Expr, ...]:
    found = node.option(option)
    assert isinstance(found, tuple)
    return found


def _operands(node: Expr) -> tuple[Expr, ...]:
    """The expressions of which a node needs the values in columns; an aggregate computes its own arguments."""
    return (*node.args, *_listed(node, "per"), *_listed(node, "order"))


def _inner(node: Expr) -> tuple[Expr, ...]:
    """All expressions below a function of other rows."""
    of = node.option("of")
    own = (*of.args, *(() if of.where is None else (of.where,))) if isinstance(of, Agg) else ()
    return (*own, *_operands(node))


def _innermost(e: Expr) -> Iterator[Expr]:
    """The functions of other rows in an expression that have no others within."""
    below = _inner(e) if e.fn == "over" else e.args
    inside = [n for a in below for n in _innermost(a)]
    yield from inside
    if e.fn == "over" and not inside:
        yield e


def _replaced(e: Expr, found: dict[str, Expr]) -> Expr:
    """The expression with columns in the place of these nodes, given by their texts."""
    if e.fn != "over":
        return replace(e, args=tuple(_replaced(a, found) for a in e.args)) if e.args else e
    if (column_of := found.get(repr(e))) is not None:
        return column_of
    return _with_parts(e, lambda part: _replaced(part, found))


def _as_aggregates(e: Expr) -> Expr:
    """The expression with aggregates in the place of shares and running sums, and without first and last."""
    if e.fn != "over":
        return replace(e, args=tuple(map(_as_aggregates, e.args))) if e.args else e
    e = _with_parts(e, _as_aggregates)
    of, options = e.option("of"), {name: value for name, value in e.options if name != "of"}
    if of in RUNNING:
        return Expr("over", (), over_options(Agg(RUNNING[str(of)], e.args), **options))
    if isinstance(of, Agg) and of.fn in _REPORTS and _listed(e, "order"):
        value = of.args[0] if of.where is None else when(of.where).then(of.args[0]).otherwise(None)
        return Expr("over", (value,), over_options(of.fn, **options))
    if of == "share":
        return Expr("div", (e.args[0], Expr("over", (), over_options(Agg("sum", e.args), **options))))
    return e


def _with_parts(e: Expr, of: Callable[[Expr], Expr]) -> Expr:
    """A function of other rows with each expression in it replaced."""
    options = dict(e.options)
    for name in ("per", "order"):
        options[name] = tuple(map(of, _listed(e, name)))
    if isinstance(agg := options["of"], Agg):
        where = None if agg.where is None else of(agg.where)
        options["of"] = replace(agg, args=tuple(map(of, agg.args)), where=where)
    return Expr("over", tuple(map(of, e.args)), tuple(options.items()))
