"""Expressions: functions of a row's columns.

An ``Expr`` is a frozen, untyped tree; ``dataflow.metrics.bind`` gives it types against a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from dataflow.expressions.methods.looking_methods import LookingMethods
from dataflow.expressions.methods.number_methods import NumberMethods
from dataflow.expressions.methods.real_methods import RealMethods
from dataflow.expressions.methods.table_methods import TableMethods
from dataflow.expressions.methods.text_methods import TextMethods
from dataflow.expressions.methods.time_methods import TimeMethods
from dataflow.expressions.node import operand
from dataflow.times.durations import parse_duration
from dataflow.values import elsewhere
from dataflow.values.constants import Literal, constant, plain
from dataflow.values.mistaken import listed_values, shown, without_call
from dataflow.values.settings import Setting, checked_setting, setting_name
from operators.errors import DataflowError
from operators.nearest import no_attribute


@dataclass(frozen=True, eq=False, repr=False)
class Expr(NumberMethods, RealMethods, TextMethods, TimeMethods, LookingMethods, TableMethods):
    """An untyped expression of a row's columns."""

    _no_aggregate = (
        "{name} must be an aggregate like df.mean('temp'), got the expression {text}; write e.g. df.max(...)"
    )

    def _of(self, fn: str, *args: Operand, **options: object) -> Expr:
        """See Methods."""
        return Expr(fn, (self, *(expr(a) for a in args)), tuple(options.items()))

    def _where(self, condition: Operand) -> Expr:
        """See Methods."""
        return when(condition).then(self).otherwise(None)

    def __bool__(self) -> bool:
        # A comparison, too: ``mode == "strict"`` is one where a mode is given as a parameter.
        if found := [e for e in (self, *self.args) if isinstance(e, Setting)]:
            name = found[0].option("name")
            raise DataflowError(f"the parameter {name!r} has its value when the metric runs; here a constant is needed")
        raise DataflowError("an expression has no truth value; combine conditions with & | ~ instead of and, or, not")

    if not TYPE_CHECKING:  # for type checkers an unknown attribute is an error already

        def __getattr__(self, name: str) -> NoReturn:
            raise no_attribute("an expression", name, dir(type(self)), elsewhere.EXPRESSION)

    def __iter__(self) -> NoReturn:
        raise DataflowError("an expression cannot be iterated over; use is_in([...]) instead of in")

    def __add__(self, other: Operand) -> Expr:
        return _call("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return _call("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return _call("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return _call("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return _call("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return _call("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return _call("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return _call("div", other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        return _call("floordiv", self, other)

    def __rfloordiv__(self, other: Operand) -> Expr:
        return _call("floordiv", other, self)

    def __mod__(self, other: Operand) -> Expr:
        return _call("mod", self, other)

    def __rmod__(self, other: Operand) -> Expr:
        return _call("mod", other, self)

    def __neg__(self) -> Expr:
        return _call("neg", self)

    def __pow__(self, other: Operand) -> Expr:
        return _call("pow", self, other)

    def __rpow__(self, other: Operand) -> Expr:
        return _call("pow", other, self)

    def __eq__(self, other: Operand) -> Expr:  # type: ignore[override]
        return _compared("eq", self, other)

    def __ne__(self, other: Operand) -> Expr:  # type: ignore[override]
        return _compared("ne", self, other)

    __hash__ = object.__hash__

    def __lt__(self, other: Operand) -> Expr:
        return _compared("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return _compared("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return _compared("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return _compared("ge", self, other)

    def __and__(self, other: Operand) -> Expr:
        return _call("and", self, other)

    def __rand__(self, other: Operand) -> Expr:
        return _call("and", other, self)

    def __or__(self, other: Operand) -> Expr:
        return _call("or", self, other)

    def __ror__(self, other: Operand) -> Expr:
        return _call("or", other, self)

    def __invert__(self) -> Expr:
        return _call("not", self)

    def is_in(self, values: Iterable[Literal] | Setting) -> Expr:
        """Whether the value is one of ``values`` (all of one type, none of them null), or of the list that a parameter
        has: ``is_in(df.param("sites", default=["a", "b"]))``."""
        if isinstance(values, Setting):
            return Expr("is_in", (self,), (("type", "null"), ("values", checked_setting(values, self.is_in))))
        if isinstance(values, str):
            raise DataflowError(f"is_in takes a list of constants, got the text {values!r}; write is_in([{values!r}])")
        listed = [expr(v) for v in listed_values(values, "is_in takes a list of constants, is_in([...])")]
        if any(e.fn != "lit" or e.option("value") is None for e in listed):
            raise DataflowError("is_in takes a list of constants without None; use is_null() for missing values")
        pairs = sorted({(str(e.option("type")), _sortable(e.option("value"))) for e in listed})
        kinds = {k for k, _ in pairs}
        if len(kinds) > 1 and kinds != {"int64", "float64"}:
            raise DataflowError(f"is_in takes constants of one type, got {', '.join(sorted(kinds))}")
        kind = "float64" if "float64" in kinds else next(iter(kinds), "null")
        if kind == "float64" and (lost := [v for _, v in pairs if isinstance(v, int) and int(float(v)) != v]):
            raise DataflowError(f"is_in: {lost[0]} cannot be represented as float64; list integers and floats apart")
        found = sorted({float(v) if kind == "float64" else v for _, v in pairs})
        return Expr("is_in", (self,), (("type", kind), ("values", tuple(found))))

    def between(self, low: Operand, high: Operand) -> Expr:
        """``low <= value <= high``, both ends included."""
        return _compared("between", self, low, high)

    def is_null(self) -> Expr:
        """Whether the value was not reported; never null itself."""
        return _call("is_null", self)

    def is_not_null(self) -> Expr:
        """Whether the value was reported; never null itself."""
        return _call("is_not_null", self)

    def fill_null(self, value: Operand) -> Expr:
        """The value, or ``value`` where it is null."""
        return _call("fill_null", self, value)


Operand = Expr | Literal


def _sortable(value: object) -> bool | int | float | str:
    assert isinstance(value, bool | int | float | str)
    return value


def _call(fn: str, *args: Operand) -> Expr:
    return Expr(fn, tuple(expr(a) for a in args))


def _compared(fn: str, *args: Operand) -> Expr:
    """A comparison; DataflowError for None, with which it would be null in every row. ``df.lit(None)`` is a null."""
    found = _call(fn, *args)
    if any(e.fn == "lit" and e is not a and e.option("type") == "null" for e, a in zip(found.args, args, strict=True)):
        raise DataflowError(
            "a comparison with None is null in every row; for missing values write .is_null() or .is_not_null()"
        )
    return found


def condition_of(value: Operand, where: str) -> Expr:
    """A condition on each row; DataflowError naming ``where`` for True and False, which are one value for all rows."""
    if isinstance(plain(value), bool):
        raise DataflowError(
            f"{where} takes a condition on each row, got {value}, one value for all rows as Python's is and in "
            f"make it; write df.col('a') == True, .is_null() or .is_in([...]), or df.lit({value})"
        )
    return expr(value)


def one_column(value: str | Expr, where: str) -> Expr:
    """The column of this name, or the expression; DataflowError naming ``where`` for a list."""
    if isinstance(value, list | tuple):
        raise DataflowError(
            f"{where} takes one column or expression, got {shown(value)}; put texts together, "
            "df.concat(df.col('a'), '|', df.col('b'))"
        )
    return col(value) if isinstance(value, str) else expr(value)


def expr(value: Operand) -> Expr:
    """``value`` itself if it is an expression, else the literal."""
    if isinstance(value, Expr):
        return value
    kind, found = constant(value)
    return Expr("lit", (), (("type", kind), ("value", found)))


def col(name: str | Expr) -> Expr:
    """The column ``name``, which may be a parameter that has choices."""
    if isinstance(name, Setting):
        if name.option("choices") is None:
            raise DataflowError(
                f"col: the parameter {setting_name(name)!r} needs choices=, the columns that it may name"
            )
        return Expr("col", (), (("name", checked_setting(name, col)),))
    if not isinstance(name, str) or not name:
        raise DataflowError(without_call(name) or f"col takes a column name, got {shown(name)}")
    return Expr("col", (), (("name", str.__str__(name)),))


def lit(value: Literal) -> Expr:
    """A constant."""
    return expr(value)


def time() -> Expr:
    """The row's event time; of sessions, windows, funnels and transitions their start.

    On intervals (``state_duration``, ``heartbeat``, combined timelines, ``at_least``, ``concurrent``) it is the clock
    at every instant. ``filter``, ``with_columns`` and ``group_by`` cut the interval into rows where an expression of it
    changes; an aggregate that uses it in ``where=`` or its argument cuts for itself only. For the time at which an
    interval starts or ends use ``col("start")`` and ``col("end")``.
    """
    return Expr("time")


def concat(*parts: Operand) -> Expr:
    """The texts one after the other; null if one of them is."""
    if not parts:
        raise DataflowError("concat takes the texts to put together")
    out = expr(parts[0])
    for part in parts[1:]:
        out = out + part
    if not any(isinstance(part, Expr) for part in parts):
        given = ", ".join(map(shown, parts))
        raise DataflowError(f"concat takes expressions, and {given} are constants; columns are df.col({parts[0]!r})")
    return out


def least(*values: Operand) -> Expr:
    """The least of some numbers, durations or times, without those that are null; null if all are (as in DuckDB and
    PostgreSQL)."""
    return _of_several("least", values)


def greatest(*values: Operand) -> Expr:
    """The greatest of some numbers, durations or times, without those that are null; null if all are."""
    return _of_several("greatest", values)


def haversine(lat1: Operand, lon1: Operand, lat2: Operand, lon2: Operand) -> Expr:
    """The distance in metres of two points, given in degrees, along a great circle of a sphere with the Earth's mean
    radius, 6,371,008.8 m. Null for a latitude beyond 90 or a longitude beyond 360 degrees."""
    return _call("haversine", lat1, lon1, lat2, lon2)


def _of_several(fn: str, values: Sequence[Operand]) -> Expr:
    if not values:
        raise DataflowError(f"{fn} takes one or more expressions")
    if len(values) == 1 and isinstance(values[0], list | tuple):
        raise DataflowError(f"{fn} takes expressions, got a list; write {fn}(*values)")
    return _call(fn, *values)


def session(gap: str | timedelta) -> Expr:
    """The number, from 1, of the key's session: another one begins with each row more than ``gap`` after the key's row
    before. For ``within=`` of functions that look back; for one row per session use ``sessionize``."""
    length = parse_duration(gap, "session")
    silent = time() - time().previous() > (length if isinstance(length, Expr) else timedelta(microseconds=length))
    return when(silent.fill_null(True)).then(1).otherwise(0).cumulative_sum()


def since() -> Expr:
    """The beginning of the range that is asked for, as a time: a constant, also after a grouping."""
    return Expr("since")


def until() -> Expr:
    """The end of the range that is asked for (exclusive), as a time: ``df.until() - df.col("last")``."""
    return Expr("until")


def _plain(value: Expr) -> str:
    return operand(value)


class When:
    """``when(c).then(a)``, waiting for ``otherwise``."""

    _no_expression = "{text} is not finished; add .otherwise(...)"

    def __init__(self, branches: Sequence[tuple[Expr, Expr]]) -> None:
        self._branches = tuple(branches)

    def __repr__(self) -> str:
        return "df" + "".join(f".when({c!r}).then({_plain(v)})" for c, v in self._branches)

    def when(self, condition: Operand) -> Then:
        """A further branch, for rows where no earlier condition is true."""
        return Then(self._branches, condition_of(condition, "when"))

    def otherwise(self, value: Operand) -> Expr:
        """The value where no condition holds."""
        out = expr(value)
        for condition, then in reversed(self._branches):
            out = Expr("when", (condition, then, out))
        return out


class Then:
    """``when(c)``, waiting for ``then``."""

    _no_expression = "{text} is not finished; add .then(...).otherwise(...)"

    def __init__(self, branches: Sequence[tuple[Expr, Expr]], condition: Expr) -> None:
        self._branches = tuple(branches)
        self._condition = condition

    def __repr__(self) -> str:
        return f"{When(self._branches)!r}.when({self._condition!r})"

    def then(self, value: Operand) -> When:
        """The value where the condition is true."""
        return When((*self._branches, (self._condition, expr(value))))


def when(condition: Operand) -> Then:
    """``when(condition).then(a).otherwise(b)``: a where the condition is true, b where it is false or null."""
    return Then((), condition_of(condition, "when"))


def any_of(conditions: Iterable[Expr]) -> Expr:
    """True where any condition is."""
    listed = [expr(c) for c in listed_values(conditions, "any_of takes a list of conditions")]
    if not listed:
        return lit(False)
    out = listed[0]
    for c in listed[1:]:
        out = out | c
    return out


def all_of(conditions: Iterable[Expr]) -> Expr:
    """True where all conditions are."""
    listed = [expr(c) for c in listed_values(conditions, "all_of takes a list of conditions")]
    if not listed:
        return lit(True)
    out = listed[0]
    for c in listed[1:]:
        out = out & c
    return out
