"""Constants in expressions: Python, numpy and pandas scalars as a logical type and a plain value.

A conversion that would lose something (a time without a zone, nanoseconds, a month as a duration) is an error. numpy
and pandas are not imported: their scalars are recognised by their classes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from dataflow.values.mistaken import mistaken, whole_text
from operators.errors import DataflowError

Scalar = bool | int | float | str | None
Literal = Scalar | datetime | timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CALENDAR_UNITS = ("Y", "M", "generic")


def plain(value: object) -> Any:
    """A numpy scalar as the Python value that it is; times, durations and everything else unchanged."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and _kind(value) in "biufU":
        found = value.item()  # type: ignore[attr-defined]
        return value if type(found) is type(value) else found
    return value


def constant(value: object) -> tuple[str, Scalar]:
    """The type and the plain value of a constant; DataflowError, with what to write instead, for anything else."""
    value = plain(value)
    if value is None or _is_missing(value):
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise DataflowError(f"the integer {value} does not fit in 64 bits")
        return "int64", int(value)
    if isinstance(value, float):
        return "float64", float(value)
    if isinstance(value, str):
        return "string", whole_text(value)
    if isinstance(value, datetime):
        return "time", _micros(value)
    if isinstance(value, timedelta):
        return "duration", value // _MICROSECOND - _no_nanoseconds(value, "nanoseconds")
    if type(value).__module__ == "numpy" and _kind(value) in "Mm":
        return _of_numpy(value)
    raise DataflowError(mistaken(value))


def is_numpy_length(value: object) -> bool:
    """Whether it is a ``timedelta64``."""
    return type(value).__module__ == "numpy" and _kind(value) == "m"


def _kind(value: object) -> str:
    return str(getattr(getattr(value, "dtype", None), "kind", " "))


def _is_missing(value: object) -> bool:
    """pandas' ``NaT`` and ``NA``, numpy's ``NaT``."""
    kind = type(value)
    if kind.__module__ == "numpy" and _kind(value) in "Mm":
        return bool(value != value)
    return kind.__name__ in ("NaTType", "NAType") and kind.__module__.startswith("pandas")


def _no_nanoseconds(value: object, name: str) -> int:
    """0; DataflowError for a value finer than a microsecond."""
    if getattr(value, name, 0):
        raise DataflowError(f"{value} is finer than a microsecond, the unit of times here; round it first")
    return 0


def _micros(moment: date) -> int:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise DataflowError(f"the time {moment} has no zone; give it one, e.g. datetime(..., tzinfo=timezone.utc)")
    return (moment - _EPOCH) // _MICROSECOND - _no_nanoseconds(moment, "nanosecond")


def _of_numpy(value: Any) -> tuple[str, int]:
    """A ``datetime64``, which is UTC by numpy's convention, or a ``timedelta64``."""
    length = _kind(value) == "m"
    unit = value.dtype.str.partition("[")[2].strip("]").lstrip("0123456789") or "generic"
    if length and unit in _CALENDAR_UNITS:
        raise DataflowError(f"{value!r} has no fixed length; give it a unit from weeks to microseconds")
    micros = value.astype(f"{value.dtype.kind}8[us]")
    # numpy silently wraps values that do not fit, and truncates finer units.
    if micros.astype(value.dtype) != value:
        fine = unit in ("ns", "ps", "fs", "as")
        what = "finer than a microsecond, the unit of times here; round it first" if fine else "out of range here"
        raise DataflowError(f"{value!r} is {what}")
    return "duration" if length else "time", int(micros.astype("i8"))
