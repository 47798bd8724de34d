"""Values of a metric's parameters, from Python or from a command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta

from dataflow.expressions.expr import Expr
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.times.durations import as_text, moment, parse_duration
from dataflow.values.constants import constant, plain
from operators.errors import DataflowError


def params_in(part: object) -> set[str]:
    """The names of all parameters in steps or an expression."""
    return {str(e.option("name")) for e in expressions_in(part) if e.fn == "param"}


def defaults_in(part: object) -> dict[str, list[object]]:
    """The defaults of each parameter, None for one without."""
    out: dict[str, list[object]] = {}
    for e in expressions_in(part):
        if e.fn == "param":
            out.setdefault(str(e.option("name")), []).append(e.option("default"))
    return out


def expressions_in(part: object) -> Iterator[Expr]:
    """Every expression in a step or in a part of one, also those within others."""
    if isinstance(part, Expr):
        yield part
        yield from expressions_in((part.args, part.options))
    elif isinstance(part, tuple):
        for item in part:
            yield from expressions_in(item)
    elif is_dataclass(part) and not isinstance(part, type | ReferenceTable | Calendar):
        for f in fields(part):
            yield from expressions_in(getattr(part, f.name))


def converted(kind: str, value: object) -> object:
    """``value`` (a Python value, or text from a command line) as a constant of ``kind``; else ValueError."""
    value = plain(value)
    if kind == "null":
        return guessed(value) if isinstance(value, str) else as_text(value)
    if kind in ("time", "duration") and isinstance(value, datetime | timedelta):
        found, value = constant(value)
        if found != kind:
            raise ValueError(value)
    if kind == "time" and isinstance(value, str) and not value.lstrip("+-").isdigit():
        return moment(value)
    if kind == "list":
        listed = list(value) if isinstance(value, list | tuple) else value.split(",") if isinstance(value, str) else []
        if listed and all(isinstance(v, bool | int | float | str) for v in listed):
            return listed
        raise ValueError(value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise ValueError(value)
    if kind == "duration" and isinstance(value, str):
        try:
            return parse_duration(value, "parameter")
        except DataflowError:
            raise ValueError(value) from None
    if kind in ("int64", "time", "duration"):
        if isinstance(value, bool) or not isinstance(value, int | str) or not -(2**63) <= int(value) < 2**63:
            raise ValueError(value)
        return int(value)
    if kind == "float64":
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(value)
        try:
            return float(value)
        except OverflowError:
            raise ValueError(value) from None
    if kind == "string" and isinstance(value, str):
        return value
    raise ValueError(value)


def guessed(text: str) -> object:
    """The number or boolean that a text spells, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
