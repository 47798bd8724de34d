"""Values of a metric's parameters, from Python or from a command line."""

from __future__ import annotations

from dataflow.durations import parse_duration
from operators.errors import DataflowError


def converted(kind: str, value: object) -> object:
    """``value`` (a Python value, or text from a command line) as a constant of ``kind``; ValueError if it is none."""
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
        return float(value)
    if kind == "string" and isinstance(value, str):
        return value
    raise ValueError(value)


def guessed(text: str) -> object:
    """The number or truth value that a text spells, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
