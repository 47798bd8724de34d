"""Expressions, evaluated value by value; their types and nulls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from runtime.testing.oracle import oracle_decimals as decimals
from runtime.testing.oracle.buckets import bucket, local, moved
from runtime.testing.oracle.oracle_numbers import (
    EXTREMES,
    REAL,
    SAME,
    extreme_of,
    forgetting_mean,
    number_type,
    real,
    rounded_number,
)
from runtime.testing.oracle.oracle_texts import TEXT_TYPES, TEXTS, cast
from runtime.testing.oracle.rows import Json, Row, Table, Value
from runtime.testing.oracle.rows_before import looking_back


class IntegerOverflowError(Exception):
    """An integer result beyond 64 bits; the engine must report an error too."""


def checked(value: Any) -> Any:
    """The value, unless it is an integer that needs more than 64 bits."""
    whole = decimals.units(value) if isinstance(value, Decimal) else value
    if isinstance(whole, int) and not -(2**63) <= whole < 2**63:
        raise IntegerOverflowError(f"{value} does not fit in 64 bits")
    return value


STATEFUL = (
    "last", "previous", "first", "changed", "row_number", "cumulative_sum", "cumulative_max", "cumulative_min", "ewm",
)  # fmt: skip

EVALUATED: dict[str, tuple[Callable[..., list[Any]], Callable[..., str | None]]] = {}
"""Functions of whole tables, their values and their types. ``answers`` puts those of aggregates here, since aggregates
are themselves made of expressions."""

# --- types: needed to know where an integer becomes a float ------------------------------------------------------


def literal_type(value: Value) -> str | None:
    """The type of a Python value; None for null."""
    names: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return None if value is None else names[type(value)]


def common_type(types: list[str | None]) -> str | None:
    """The type that values of all these types are brought to; None when all are untyped nulls."""
    found = {t for t in types if t is not None}
    if decimals.is_decimal(types):
        return decimals.common(types)
    if found == {"int64", "float64"}:
        return "float64"
    if found == {"int64", "duration"}:
        return "duration"
    if len(found) > 1:
        raise TypeError(f"no common type of {sorted(found)}")
    return found.pop() if found else None


PREDICATES = {
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "is_in", "between",
    "is_null", "is_not_null", "starts_with", "contains", "changed",
}  # fmt: skip


def type_of(expr: Json, types: dict[str, str | None]) -> str | None:
    """The type of an expression over columns of these types."""
    if "col" in expr:
        return types[expr["col"]]
    if "lit" in expr:
        return None if expr["lit"] is None else expr.get("type") or literal_type(expr["lit"])
    if "param" in expr:
        return expr.get("type") or literal_type(expr.get("default"))
    if expr["fn"] in EVALUATED:
        return EVALUATED[expr["fn"]][1](expr, types)
    fn, args = expr["fn"], [type_of(arg, types) for arg in expr.get("args", [])]
    if fn in PREDICATES:
        return "bool"
    if fn in ("time", "truncate", "offset_by"):
        return "time"
    if fn in PARTS:
        return "int64"
    if fn in TEXTS:
        return TEXT_TYPES.get(fn, "string")
    if fn in ("cast", "try_cast"):
        return str(expr["type"])
    if args[:1] == ["duration"] and args[1:] not in ([], ["duration"]) and fn in ("div", "floordiv"):
        return "duration"
    if fn == "mul" and "duration" in args:
        return "duration"
    if fn == "div":
        return "float64"
    if fn == "decimal":
        return f"decimal({expr['places']})"
    if fn == "mul" and decimals.is_decimal(args):
        return decimals.product(args)
    if fn == "floordiv" and decimals.is_decimal(args) and "float64" not in args:
        return "int64"
    if fn == "row_number":
        return "int64"
    if fn in (*REAL, *SAME, "ewm"):
        return number_type(fn, args)
    if fn in ("neg", "abs", *STATEFUL):
        return args[0]
    if fn == "when":
        return common_type(args[1:])
    if fn == "sub" and args == ["time", "time"]:
        return "duration"
    if fn in ("add", "sub") and "time" in args:
        return "time"
    if fn in ("mul", "floordiv") and "float64" in args:
        return "float64"
    if fn == "floordiv" and "duration" in args:
        return "int64"
    return common_type(args)  # add, sub, mul, floordiv, mod, fill_null


# --- functions of the values of one row --------------------------------------------------------------------------


def kleene_and(a: Value, b: Value) -> Value:
    """False if either is false, else null if either is null."""
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def kleene_not(a: Value) -> Value:
    """Null stays null."""
    return None if a is None else not a


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function made null when any argument is null."""
    return lambda *args: None if None in args else function(*args)


def finite(value: Value) -> Value:
    """Null for what is too large for a float, or no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_range(exact: Fraction) -> float | None:
    """The nearest float; null beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return None


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": strict(lambda a, b: finite(checked(a + b))),
    "sub": strict(lambda a, b: finite(checked(a - b))),
    "mul": strict(lambda a, b: finite(checked(a * b))),
    "div": strict(lambda a, b: None if b == 0 else finite(float(a) / float(b))),
    "floordiv": strict(lambda a, b: None if b == 0 else finite(checked(a // b))),
    "mod": strict(lambda a, b: None if b == 0 else finite(a % b)),
}
LENGTHS: dict[str, Callable[..., Any]] = {
    "mul": strict(lambda a, b: checked(round(Fraction(a) * Fraction(b)))),
    "div": strict(lambda a, b: None if b == 0 else checked(round(Fraction(a) / Fraction(b)))),
    "floordiv": strict(lambda a, b: None if b == 0 else checked(math.floor(Fraction(a) / Fraction(b)))),
}
"""Lengths of time times and by numbers, to the microsecond, ties to even."""

EXACT: dict[str, Callable[..., Any]] = {"floordiv": decimals.floored, "mod": decimals.remainder}
"""Of decimals; Python's own quotients of them are cut toward zero."""

COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": strict(lambda a, b: a == b),
    "ne": strict(lambda a, b: a != b),
    "lt": strict(lambda a, b: a < b),
    "le": strict(lambda a, b: a <= b),
    "gt": strict(lambda a, b: a > b),
    "ge": strict(lambda a, b: a >= b),
    "between": lambda x, low, high: kleene_and(COMPARISONS["le"](low, x), COMPARISONS["le"](x, high)),
}
OTHERS: dict[str, Callable[..., Any]] = {
    "neg": strict(lambda a: checked(-a)),
    "abs": strict(lambda a: checked(abs(a))),
    "and": kleene_and,
    "or": lambda a, b: kleene_not(kleene_and(kleene_not(a), kleene_not(b))),
    "not": kleene_not,
    "is_null": lambda a: a is None,
    "is_not_null": lambda a: a is not None,
    "when": lambda condition, then, otherwise: then if condition is True else otherwise,
    "fill_null": lambda a, b: b if a is None else a,
}
# With an integer and a float among the arguments these first make all of them floats; comparisons do not, and Python's
# own compare an integer with a float by their values.
PARTS: dict[str, Callable[[Any], int]] = {
    "year": lambda d: d.year,
    "quarter": lambda d: 1 + (d.month - 1) // 3,
    "month": lambda d: d.month,
    "iso_week": lambda d: d.isocalendar().week,
    "day": lambda d: d.day,
    "day_of_year": lambda d: d.timetuple().tm_yday,
    "hour": lambda d: d.hour,
    "minute": lambda d: d.minute,
    "second": lambda d: d.second,
    "weekday": lambda d: d.weekday(),
}
MIXING = {*ARITHMETIC, *EXTREMES} - {"div"}


def with_options(expr: Json) -> Callable[..., Any]:
    """A function of one value that also takes options: membership, parts of a string, parts of a time."""
    fn = expr["fn"]
    if fn in REAL:
        return strict(lambda *args: real(fn, *args))
    if fn in SAME:
        return strict(lambda a: checked(rounded_number(fn, a, expr.get("n", 0))))
    if fn in EXTREMES:
        return lambda *args: extreme_of(fn, *args)
    if fn == "is_in":
        values = [v["lit"] if isinstance(v, dict) else v for v in expr["values"]]
        return strict(lambda a: any(x == y for x, y in (decimals.as_written([a, v]) for v in values)))
    if fn == "starts_with":
        return strict(lambda a: a.startswith(expr["prefix"]))
    if fn == "contains":
        return strict(lambda a: expr["text"] in a)
    if fn in TEXTS:
        return strict(lambda a: TEXTS[fn](a, expr))
    if fn in ("cast", "try_cast"):
        return strict(lambda a: cast(a, expr["type"], fn == "cast"))
    zone = expr.get("zone") or "UTC"
    if fn == "truncate":
        return strict(lambda t: bucket(t, expr["every"], zone)[0])
    if fn == "offset_by":
        return strict(lambda t: moved(t, expr["by"], zone))
    if fn in PARTS:
        return strict(lambda t: PARTS[fn](local(t, zone)))
    raise ValueError(f"unknown function {fn!r}")


# --- functions of the rows of one key ----------------------------------------------------------------------------


def last(values: list[Value], rows: list[Row], hold: int | None) -> list[Value]:
    """The last value reported by this key up to and including each row, unless that is longer ago than hold."""
    seen: dict[Any, tuple[int, Value]] = {}
    result: list[Value] = []
    for row, value in zip(rows, values, strict=True):
        if value is not None and not row.ghost:
            seen[row.key] = (row.time, value)
        when, held = seen.get(row.key, (row.time, None))
        result.append(held if hold is None or row.time - when <= hold else None)
    return result


def previous(values: list[Value], rows: list[Row], n: int = 1) -> list[Value]:
    """The value, null or not, in the n-th row before of the same key."""
    before: dict[Any, list[Value]] = {}
    result: list[Value] = []
    for row, value in zip(rows, values, strict=True):
        seen = before.setdefault(row.key, [])
        result.append(seen[-n] if len(seen) >= n else None)
        if not row.ghost:
            seen.append(value)
    return result


def within(function: Callable[[list[Value], list[Row]], list[Value]]) -> Callable[[list[Any], list[Row]], list[Value]]:
    """The function over pairs of another value and its argument: each run of equal other values is a key of its own."""

    def of_pairs(pairs: list[Any], rows: list[Row]) -> list[Value]:
        runs: dict[Any, tuple[Any, int]] = {}
        apart: list[Row] = []
        for (run, _), row in zip(pairs, rows, strict=True):
            seen, number = runs.get(row.key, (run, 0))
            number += seen != run
            if not row.ghost:
                runs[row.key] = run, number
            apart.append(replace(row, key=(row.key, number)))  # type: ignore[arg-type]
        return function([value for _, value in pairs], apart)

    return of_pairs


def extreme(best: Callable[[Value, Value], bool]) -> Callable[[list[Value], list[Row]], list[Value]]:
    """The value so far of each key that is best."""

    def of_rows(values: list[Value], rows: list[Row]) -> list[Value]:
        held: dict[Any, Value] = {}
        result: list[Value] = []
        for row, value in zip(rows, values, strict=True):
            if value is not None and not row.ghost and (row.key not in held or best(value, held[row.key])):
                held[row.key] = value
            result.append(held.get(row.key))
        return result

    return of_rows


def total_order(value: Any) -> Any:
    """What floats are ordered by: -0.0 comes before 0.0."""
    return (value, math.copysign(1.0, value)) if isinstance(value, float) else value


def row_number(values: list[Value], rows: list[Row]) -> list[Value]:
    """The number of the row among those of the key that report the value."""
    counts: dict[Any, int] = {}
    result: list[Value] = []
    for row, value in zip(rows, values, strict=True):
        counts[row.key] = counts.get(row.key, 0) + (value is not None and not row.ghost)
        result.append(None if value is None else counts[row.key])
    return result


def changed(values: list[Value], rows: list[Row]) -> list[Value]:
    """Whether a value is reported that differs from the one this key reported before; the first one has not changed."""
    reported: dict[Any, Value] = {}
    result: list[Value] = []
    for row, value in zip(rows, values, strict=True):
        result.append(value is not None and row.key in reported and value != reported[row.key])
        if value is not None and not row.ghost:
            reported[row.key] = value
    return result


def cumulative_sum(values: list[Value], rows: list[Row]) -> list[Value]:
    """The exact sum of what this key has reported up to and including each row, rounded; null before the first."""
    sums: dict[Any, Any] = {}
    result: list[Value] = []
    for row, value in zip(rows, values, strict=True):
        if value is not None and not row.ghost:
            number: Any = Fraction(value) if isinstance(value, float) else value
            sums[row.key] = sums.get(row.key, 0) + number
        total = sums.get(row.key)
        result.append(in_range(total) if isinstance(total, Fraction) else checked(total))
    return result


LOOKING_BACK: dict[str, Callable[[list[Value], list[Row]], list[Value]]] = {
    "previous": previous,
    "changed": changed,
    "row_number": row_number,
    "cumulative_sum": cumulative_sum,
    "first": extreme(lambda a, b: False),
    "cumulative_max": extreme(lambda a, b: total_order(a) > total_order(b)),
    "cumulative_min": extreme(lambda a, b: total_order(a) < total_order(b)),
}


# --- evaluation --------------------------------------------------------------------------------------------------


def evaluate(expr: Json, table: Table, params: dict[str, Value]) -> list[Value]:
    """The expression's value in every row of the table."""
    kind = type_of(expr, table.types)
    with localcontext(decimals.WIDE):
        values = _evaluate(expr, table, params)
        digits = decimals.places(kind)
        if digits is not None:
            return [checked(decimals.in_places(v, digits)) for v in values]
    return to_float(values) if kind == "float64" else values


def to_float(values: list[Any]) -> list[Any]:
    """Integers become floats, null stays null."""
    return [None if v is None else float(v) for v in values]


def _evaluate(expr: Json, table: Table, params: dict[str, Value]) -> list[Any]:
    rows = table.rows
    if "col" in expr:
        return [row.values[expr["col"]] for row in rows]
    if "lit" in expr:
        return [expr["lit"]] * len(rows)
    if "param" in expr:
        name = expr["param"]
        value = params[name] if name in params else expr.get("default")
        if value is None:
            raise ValueError(f"parameter {name!r} has no value")
        return [value] * len(rows)
    fn = expr["fn"]
    if fn == "time":
        if table.kind == "plain":
            raise ValueError("a group has no time")
        if table.kind == "intervals":
            assert all(row.clock is not None for row in rows), "an interval has no one time"
            return [row.clock for row in rows]
        return [row.time for row in rows]
    if fn in EVALUATED:
        return EVALUATED[fn][0](expr, table, params)
    args = [evaluate(arg, table, params) for arg in expr["args"]]
    if fn in STATEFUL:
        if table.kind == "plain":
            raise ValueError(f"{fn} needs the rows of a key in their order")
        past = table.past
        before = evaluate(expr["args"][0], past, params)
        function = LOOKING_BACK.get(fn) or (lambda values, seen: last(values, seen, expr.get("hold")))
        if fn == "ewm":
            function = forgetting_mean(expr["half_life"])
        if expr.get("rows", 1) > 1:
            function = lambda values, seen: previous(values, seen, expr["rows"])  # noqa: E731
        if len(args) > 1:
            runs: list[Any] = [*zip(evaluate(expr["args"][1], past, params), before, strict=True)]
            pairs: list[Any] = [*zip(args[1], args[0], strict=True)]
            found = looking_back(within(function), pairs, rows, runs, past.rows)
        else:
            found = looking_back(function, args[0], rows, before, past.rows)
        # What is left of a row in the range begins with the range, where nothing changes.
        return [fn != "changed" and v if row.early == "part" else v for v, row in zip(found, rows, strict=True)]
    kinds = [type_of(arg, table.types) for arg in expr["args"]]
    if fn == "decimal":
        return [decimals.rounded(v, expr["places"], expr["rounding"]) for v in args[0]]
    if fn in LENGTHS and type_of(expr, table.types) == "duration":
        args = [
            to_float(values) if decimals.places(k) is not None else values
            for k, values in zip(kinds, args, strict=True)
        ]
        return [LENGTHS[fn](*values) for values in zip(*args, strict=True)]
    if fn in MIXING and "float64" in kinds:
        args = [to_float(values) for values in args]
    elif fn in EXACT and decimals.is_decimal(kinds):
        return [strict(EXACT[fn])(*values) for values in zip(*args, strict=True)]
    function = ARITHMETIC.get(fn) or COMPARISONS.get(fn) or OTHERS.get(fn) or with_options(expr)
    if fn in COMPARISONS:
        return [function(*decimals.as_written(list(values))) for values in zip(*args, strict=True)]
    return [function(*values) for values in zip(*args, strict=True)]
