"""The logical types of columns and results."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property


class Type(StrEnum):
    """What a column's values mean; the value is the name used in schemas, JSON and messages.

    ``TIME`` is int64 microseconds since 1970-01-01 UTC, ``DURATION`` int64 microseconds. ``DECIMAL_p`` is an int64
    count of 10**-p: ``decimal(2)`` of 12.30 is 1230. ``STRING`` values are int32 codes into a dictionary in all
    computations. ``JSON`` is for results with several parts: canonical JSON text, stored like strings; expressions
    cannot use it.
    """

    BOOL = "bool"
    INT = "int64"
    FLOAT = "float64"
    STRING = "string"
    TIME = "time"
    DURATION = "duration"
    DECIMAL_0 = "decimal(0)"
    DECIMAL_1 = "decimal(1)"
    DECIMAL_2 = "decimal(2)"
    DECIMAL_3 = "decimal(3)"
    DECIMAL_4 = "decimal(4)"
    DECIMAL_5 = "decimal(5)"
    DECIMAL_6 = "decimal(6)"
    DECIMAL_7 = "decimal(7)"
    DECIMAL_8 = "decimal(8)"
    DECIMAL_9 = "decimal(9)"
    JSON = "json"

    @property
    def is_numeric(self) -> bool:
        """Whether arithmetic is defined on machine numbers: integers, floats and durations."""
        return self in (Type.INT, Type.FLOAT, Type.DURATION)

    @cached_property
    def places(self) -> int | None:
        """Decimal places of a decimal type; None for the others."""
        return int(self.value[8:-1]) if self.value.startswith("decimal(") else None

    @property
    def is_text(self) -> bool:
        """Whether values are codes into a dictionary of strings."""
        return self in (Type.STRING, Type.JSON)

    @property
    def dtype(self) -> str:
        """The numpy dtype string of values of this type in memory."""
        return _DTYPES.get(self, "i8")


MAX_PLACES = 9

MAX_TEXT = 1 << 20
"""The greatest position in a text that a function can name."""

MIN_ROUND, MAX_ROUND = -9, 18
"""Decimal places to which numbers can be rounded."""

MAX_PREVIOUS = 1_000
"""How many rows before it a row can look at."""

DECIMALS = tuple(t for t in Type if t.places is not None)

STORED = (Type.BOOL, Type.INT, Type.FLOAT, Type.STRING, Type.TIME, Type.DURATION, *DECIMALS)
"""Types that columns of a stream can have, and that expressions can use."""


def stored(name: object) -> Type:
    """The type of a stream's column by its name; else ValueError."""
    kind = next((k for k in STORED if k == str(name)), None)
    if kind is None:
        raise ValueError(f"a stream's column cannot be {name!r:.80}; if a newer version wrote it, update to read it")
    return kind


def decimal(places: int) -> Type:
    """The decimal type with ``places`` places, 0 to MAX_PLACES."""
    return DECIMALS[places]


_DTYPES = {Type.BOOL: "u1", Type.FLOAT: "f8", Type.STRING: "i4", Type.JSON: "i4"}
