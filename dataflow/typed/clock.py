"""The clock within an interval: how an expression of ``df.time()`` changes between a row's start and end.

On intervals ``df.time()`` is the clock at every instant (the node ``now``). An expression of it must be piecewise
constant; its *sources* say where it can change. Sources are nodes of the expression, or derived from them, in an order
in which each depends only on earlier ones. Within one piece of all earlier sources

- ``truncate`` and the parts of a shifted clock (``CLOCK_PARTS``) change at edges of the calendar;
- a ``lookup`` at an instant changes where a period of its table begins or ends;
- any other source is an expression whose value never returns once it has changed, so bisection finds the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum

from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import STATEFUL
from dataflow.typed.nodes import Typed
from operators.types import Type

NOW = Typed("now", Type.TIME)

_HOUR, _DAY = 3_600_000_000, 86_400_000_000
CLOCK_PARTS: Mapping[str, int] = {
    "year": _DAY, "quarter": _DAY, "month": _DAY, "day": _DAY, "day_of_year": _DAY, "iso_week": _DAY, "weekday": _DAY,
    "hour": _HOUR, "minute": 60_000_000, "second": 1_000_000,
}  # fmt: skip
"""The parts of what a wall clock shows; each changes only where the clock shows a multiple of so many microseconds."""
Fail = Callable[[str], Exception]


@dataclass(frozen=True)
class CutSource:
    """A source of cuts. ``kind``: the edges of a calendar (``calendar``), the periods of a table (``periods``), or
    changes in the value of ``of`` (``change``)."""

    kind: str
    of: Typed


class Course(IntEnum):
    """How a value changes within an interval, relative to the pieces of its sources."""

    STILL = 0  # constant over the whole interval
    STEPS = 1  # constant over each piece
    SHIFTED = 2  # over each piece, the clock plus a constant
    MONOTONE = 3  # over each piece, monotone


_ORDER = ("lt", "le", "gt", "ge")


def asks_clock(part: object) -> bool:
    """Whether ``df.time()`` occurs in an untyped expression, a step or a part of one."""
    if isinstance(part, Expr):
        return part.fn == "time" or any(map(asks_clock, part.args))
    if isinstance(part, tuple):
        return any(map(asks_clock, part))
    return is_dataclass(part) and any(asks_clock(getattr(part, f.name)) for f in fields(part))


def is_moving(e: Typed) -> bool:
    """Whether the value may change within an interval."""
    return any(n.fn == "now" for n in e.walk())


def sources_of(exprs: Sequence[Typed], fail: Fail = AssertionError) -> tuple[CutSource, ...]:
    """All sources of piecewise constant expressions; raises the error of ``fail`` for any other expression."""
    found: dict[str, CutSource] = {}
    for e in exprs:
        if _course(e, found, fail) > Course.STEPS:
            raise fail(
                "on intervals df.time() is the clock at every instant, so it is not a constant value for any length of "
                'time; use col("start") or col("end"), or something piecewise constant like '
                "df.time().truncate(...), df.time().hour() or a comparison"
            )
    return tuple(found.values())


def _course(e: Typed, found: dict[str, CutSource], fail: Fail) -> Course:
    """The course of ``e``; adds its sources to ``found``."""
    if e.fn == "now":
        return Course.SHIFTED
    if not is_moving(e):
        return Course.STILL
    if e.fn in STATEFUL:
        raise fail(
            f"{e.fn} looks at the rows of a key, and on intervals df.time() is the clock at every instant; put the "
            "expression of df.time() into a column with with_columns before, which cuts the intervals into rows"
        )

    def add(of: Typed, kind: str = "change") -> None:
        found.setdefault(repr(of), CutSource(kind, of))

    courses = [_course(a, found, fail) for a in e.args]
    moving = [i for i, c in enumerate(courses) if c > Course.STEPS]
    one = moving[0] if len(moving) == 1 else -1
    match e.fn:
        case "lookup" if one == len(e.args) - 1:
            add(e, "periods")
            return Course.STEPS
        case fn if (fn == "truncate" or fn in CLOCK_PARTS) and courses[0] is Course.SHIFTED:
            add(e, "calendar")
            return Course.STEPS
        case _ if not moving:
            return Course.STEPS
        case "add" | "sub" if one >= 0:
            if e.type is Type.TIME:
                # Null outside of the calendar years.
                add(Typed("is_not_null", Type.BOOL, (e,)))
            return Course.MONOTONE if (e.fn, one) == ("sub", 1) else courses[one]
        case "neg" | "mul":
            if one >= 0:
                return Course.MONOTONE
        case "div" if one == 0:
            return Course.MONOTONE
        case "abs":
            add(Typed("ge", Type.BOOL, (e.args[0], Typed("lit", e.type, (), (("value", _zero(e.type)),)))))
            return Course.MONOTONE
        case "floordiv" | "decimal" | "bin" | "truncate" if one == 0:
            add(e)
            return Course.STEPS
        case "fill_null" if one >= 0:
            return courses[one]
        case "when":
            return max(courses[i] for i in moving)
        case "lt" | "le" | "gt" | "ge" | "eq" | "ne" if all(c is Course.SHIFTED for c in courses):
            # The difference of two clocks is constant.
            return Course.STEPS
        case "lt" | "le" | "gt" | "ge" if one >= 0:
            add(e)
            return Course.STEPS
        case "eq" | "ne" if one >= 0:
            add(Typed("ge", Type.BOOL, e.args))
            add(Typed("gt", Type.BOOL, e.args))
            return Course.STEPS
        case "between" if 0 not in moving or moving == [0]:
            value, low, high = e.args
            add(Typed("ge", Type.BOOL, (value, low)))
            add(Typed("le", Type.BOOL, (value, high)))
            return Course.STEPS
        case "is_in":
            add(Typed("rank", Type.INT, e.args, e.options))
            return Course.STEPS
        case "is_null" | "is_not_null":
            return Course.STEPS
    raise fail(
        f"on intervals df.time() is the clock at every instant, and it is unknown where {e.fn} of it changes; use "
        'col("start") or col("end"), or something piecewise constant like df.time().truncate(...), df.time().hour() '
        "or a comparison"
    )


def _zero(kind: Type | None) -> object:
    return 0.0 if kind is Type.FLOAT else 0
