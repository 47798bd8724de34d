"""Aggregate calls of the DSL, and the named columns and aggregates that steps take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.expressions.node import CALL_TEXTS, Node, is_usual, operand, option_text, quoted, written
from dataflow.expressions.over_calls import Columns, Descending, columns_of, ordered, over_options
from dataflow.expressions.whole_options import whole_option
from dataflow.times.durations import parse_duration, parse_every
from dataflow.values import elsewhere
from dataflow.values.mistaken import shown, without_call
from dataflow.values.settings import Setting, setting_name
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.nearest import no_attribute


@dataclass(frozen=True, eq=False, repr=False)
class Agg:
    """One aggregate over a group's rows, of those where ``where`` is true; ``options`` are (name, value) pairs."""

    fn: str
    args: tuple[Expr, ...] = ()
    where: Expr | None = None
    options: tuple[tuple[str, object], ...] = ()

    _no_expression = (
        "{text} is an aggregate: give it a name in agg(...), then compute with that column; beside rows write "
        ".over(...), .trailing(...) or .leading(...)"
    )

    def __repr__(self) -> str:
        given = [column_or(e) for e in self.args]
        given += [f"{n}={option_text(n, v)}" for n, v in self.options if not is_usual(n, v)]
        if self.where is not None:
            given.append(f"where={written(self.where)}")
        if self.fn not in SIGNATURES:
            return f"df.aggregate({', '.join([quoted(self.fn), *given])})"
        return f"df.{self.fn}({', '.join(given)})"

    def over(
        self,
        *by: str | Expr,
        order: Columns = None,
        descending: Descending = False,
        rows: int | None = None,
    ) -> Expr:
        """The aggregate over all rows with equal values of ``by`` (without them, over all rows), beside each row.

        With ``order``, over the row itself and those before it in this order: ``df.sum("n").over("site", order="h")``
        is a running sum. With ``rows=3``, over the last three of these, itself included, or as many as there are. Nulls
        come first (last if ``descending``); of equal rows, the first in the table is the first. On rows of a finished
        table, as after ``agg(...)``.
        """
        columns = columns_of(by, "over", Expr)
        options = ordered(None, order, descending, "over", Expr, rows)
        return Expr("over", (), over_options(self, **{**options, "per": columns}))

    def trailing(
        self,
        length: str | timedelta | None = None,
        *,
        rows: int | None = None,
        offset: str | timedelta | None = None,
    ) -> Expr:
        """This aggregate at each row, over the rows of its key up to there: an expression.

        With a ``length`` of time, like ``"1h"``, over the rows in (t - length, t], where t is the row's time: those at
        t - length are not in it, and all rows at t are, also those that come later in order, as with ``RANGE`` in SQL.
        With ``rows=n``, over the last n rows in their order, this one among them. Like all that looks back it sees the
        rows that reach it, those before the range too: a filter in front of it drops rows from the windows.

        With an ``offset`` a window of a length is that much earlier: ``df.mean("x").trailing("1h", offset="7d")`` is
        the mean of the same hour a week before, ``df.last("x").trailing("1d", offset="1h")`` the value an hour ago.
        """
        return self._windowed("trailing", length, rows, offset)

    def leading(
        self,
        length: str | timedelta | None = None,
        *,
        rows: int | None = None,
        offset: str | timedelta | None = None,
    ) -> Expr:
        """This aggregate at each point, over the points of its key from there on: an expression.

        With a ``length`` of time, like ``"7d"``, over the points in [t, t + length), where t is the point's time: all
        points at t are in it, also those that come before in order, and those at t + length are not. With ``rows=n``,
        over the next n points in their order, this one among them. Like ``next`` it sees the points that reach it, and
        those after the range as far as they are there. With an ``offset`` a window of a length is that much later.
        """
        return self._windowed("leading", length, rows, offset)

    def _windowed(
        self, fn: str, length: str | timedelta | None, rows: int | None, offset: str | timedelta | None
    ) -> Expr:
        if (length is None) == (rows is None):
            raise DataflowError(f"{fn} takes a length of time or a number of rows: .{fn}('1h'), .{fn}(rows=3)")
        if any(name == "hold" for name, _ in self.options):
            raise DataflowError(f"{self!r} makes intervals of its own, by hold=; it cannot be over {fn} windows")
        if rows is not None:
            rows = whole_option(fn, "rows", rows)
        if length is None and offset is not None:
            raise DataflowError(f"{fn}: offset= is for windows of a length of time: .{fn}('1h', offset='1d')")
        micros = None if length is None else parse_duration(length, f"{fn}(length)")
        return windowed(fn, self, micros, rows, None if offset is None else parse_duration(offset, f"{fn}(offset)"))

    if not TYPE_CHECKING:  # for type checkers these are errors already

        def __getattr__(self, name: str) -> NoReturn:
            if name in ("alias", "name"):
                hint = f"name it in agg(...): agg(n={self!r})"
                raise AttributeError(f"an aggregate has no {name!r}; {hint}", name=name, obj=None)
            raise no_attribute("an aggregate", name, dir(type(self)), elsewhere.AGGREGATE)

        def _computed(self, *_: object) -> NoReturn:
            raise DataflowError(
                f"an aggregate is not an expression: {self!r}; name it in agg(...), then compute with that column: "
                ".agg(n=...).with_columns(x=df.col('n') / 2)"
            )

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _computed
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _computed
        __and__ = __rand__ = __or__ = __ror__ = __invert__ = _computed


WINDOWED = ("trailing", "leading")
"""Functions that are an aggregate over windows that move with the rows."""


def windowed(fn: str, agg: Agg, length: int | None, rows: int | None, offset: int | None) -> Expr:
    """The aggregate over such windows, as an expression. Its arguments are those of the aggregate, then the
    condition if there is one; the rest are options."""
    args = agg.args if agg.where is None else (*agg.args, agg.where)
    away = {} if offset is None else {"offset": offset}
    given = {"agg": agg.fn, "length": length, **away, "options": agg.options, "rows": rows}
    return Expr(fn, args, (*given.items(), ("where", agg.where is not None)))


def agg_in(e: Expr) -> Agg:
    """The aggregate of a ``windowed``."""
    options = e.option("options")
    assert isinstance(options, tuple)
    args, where = (e.args[:-1], e.args[-1]) if e.option("where") else (e.args, None)
    return Agg(str(e.option("agg")), args, where, options)


def _windowed_text(e: Node) -> str:
    assert isinstance(e, Expr)
    length, rows, offset = e.option("length"), e.option("rows"), e.option("offset")
    given = f"rows={option_text('rows', rows)}" if length is None else option_text("hold", length)
    if offset is not None:
        given += f", offset={option_text('hold', offset)}"
    return f"{agg_in(e)!r}.{e.fn}({given})"


CALL_TEXTS |= dict.fromkeys(WINDOWED, _windowed_text)

Named = tuple[tuple[str, Expr], ...]
NamedAggs = tuple[tuple[str, Agg], ...]


def column_or(e: Expr) -> str:
    """The text of an argument for which a plain string is a column name."""
    if e.fn == "col" and isinstance(e.option("name"), str):
        return quoted(str(e.option("name")))
    return written(e) if e.fn == "lit" and e.option("type") in ("string", "null") else operand(e)


def in_words(e: Expr) -> str:
    """A column's name, or the text of an expression."""
    return str(e.option("name")) if e.fn == "col" else repr(e)


def column_name(column: Expr) -> str:
    """The name of a column; of one that a parameter names, that of the parameter."""
    name = column.option("name")
    return setting_name(name) if isinstance(name, Setting) else str(name)


def distinct_names(names: Iterable[str]) -> str | None:
    """The first name that occurs twice; None if there is none."""
    seen: set[str] = set()
    return next((n for n in names if n in seen or seen.add(n)), None)  # type: ignore[func-returns-value]


def check_named(names: Iterable[str], where: str) -> None:
    """DataflowError naming ``where`` if a column is to have an empty name."""
    if "" in names:
        raise DataflowError(f"{where}: a column needs a name, got ''")


def named_columns(columns: tuple[str | Expr, ...], named: dict[str, Operand], where: str) -> Named:
    """Columns and named expressions as (name, expression) pairs; DataflowError naming ``where`` for repeats."""
    out: list[tuple[str, Expr]] = []
    for c in columns:
        if isinstance(c, str):
            out.append((str.__str__(c), col(c)))
        elif isinstance(c, Expr) and c.fn == "col":
            out.append((column_name(c), c))
        else:
            raise DataflowError(_unnamed(c, where))
    for n, e in named.items():
        if isinstance(e, str):
            raise DataflowError(_bare_text(n, e, where))
        out.append((n, expr(e)))
    names = [n for n, _ in out]
    check_named(names, where)
    for n in names:
        if names.count(n) > 1:
            raise DataflowError(f"{where}: the column {n!r} is given twice")
    return tuple(out)


def _unnamed(given: object, where: str) -> str:
    """The error text for an argument that is neither a name nor a column."""
    if (call := without_call(given)) is not None:
        return f"{where}: {call}"
    if isinstance(given, list | tuple):
        return f"{where}: give the columns one by one, {where}('a', 'b'), not as a list"
    if isinstance(given, Agg):
        return f"{where}: an aggregate belongs in agg(...), after group_by: .agg(n={given!r})"
    if isinstance(given, Expr):
        return f"{where}: give an expression a name, e.g. {where}(day=df.time().truncate('1d'))"
    return f"{where} takes names of columns and named expressions, got {shown(given)}"


def _bare_text(name: str, text: str, where: str) -> str:
    """Why a plain string is refused as an expression: it could mean a column or a constant."""
    try:
        parse_every(text, where)
        column = f"df.time().truncate({text!r}) for buckets of time"
    except DataflowError:
        column = f"df.col({text!r}) for the column"
    constant = f"{name}=df.lit({text!r}) for the constant"
    return f"{where}: {name}={text!r} is a plain string; write {name}={column}, or {constant}"
