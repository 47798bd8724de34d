"""The logical types of columns and results."""

from __future__ import annotations

from enum import StrEnum


class Type(StrEnum):
    """What a column's values mean; the value is the name used in schemas, JSON and messages.

    ``TIME`` is int64 microseconds since 1970-01-01 UTC, ``DURATION`` int64 microseconds.
    ``STRING`` values are int32 codes into a dictionary wherever they are computed on.
    """

    BOOL = "bool"
    INT = "int64"
    FLOAT = "float64"
    STRING = "string"
    TIME = "time"
    DURATION = "duration"

    @property
    def is_numeric(self) -> bool:
        """Whether arithmetic is defined: integers, floats and durations."""
        return self in (Type.INT, Type.FLOAT, Type.DURATION)

    @property
    def dtype(self) -> str:
        """The numpy dtype string that holds values of this type in memory."""
        return _DTYPES[self]


_DTYPES = {
    Type.BOOL: "u1",
    Type.INT: "i8",
    Type.FLOAT: "f8",
    Type.STRING: "i4",
    Type.TIME: "i8",
    Type.DURATION: "i8",
}
