"""The root of every error that a user's input can cause.

Each message is one sentence or two: what is wrong, where, and what to do. The console script prints the
message without a traceback; any other exception is a bug.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class Portable:
    """An exception that other processes receive as it is: with its type, message, fields, notes and cause.

    For exceptions, as their first base class. Python itself would call the constructor with the message alone, which
    fails where it takes more, and would drop the cause. What cannot be sent, as a cause of another library that cannot
    be made anew, arrives as its text.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        error: Any = self
        args = super().__reduce__()[1]  # Python's own, because an OSError keeps its file name apart
        fields = {name: as_sent(value) for name, value in vars(self).items()}
        sent = (type(self), tuple(map(as_sent, args)), fields, as_sent(error.__cause__), error.__suppress_context__)
        return _received, sent


def _received(
    kind: type[BaseException], args: tuple[Any, ...], fields: Mapping[str, Any], cause: Any, hides: bool
) -> BaseException:
    try:
        error = kind.__new__(kind, *args)
    except TypeError:  # MemoryError's own makes no classes that have another base before it
        error = Exception.__new__(kind, *args)
    vars(error).update(fields)
    error.__cause__, error.__suppress_context__ = cause, hides
    return error


def as_sent(value: Any) -> Any:
    """``value`` if another process can receive it, else its text; an exception's text within an ``Exception``."""
    if value is None or isinstance(value, Portable | str | bytes | int | float):
        return value
    try:
        copy.deepcopy(value)  # takes it apart and makes it anew, as another process does
        if "<locals>" not in type(value).__qualname__:
            return value
    except Exception:  # whatever that value's own code raises
        pass
    return Exception(f"{type(value).__name__}: {value}") if isinstance(value, BaseException) else repr(value)


class DataflowError(Portable, Exception):
    """Base class of all errors caused by user input or the environment."""


class GroupError(DataflowError):
    """An error in one group of an aggregate: ``group`` is the group's number, ``aggregate`` that of the aggregate."""

    def __init__(self, message: str, group: int = -1) -> None:
        super().__init__(message)
        self.group = group
        self.aggregate = -1


class CardinalityExceeded(GroupError):
    """More distinct keys, groups or values than the declared bound."""


class OverflowExceeded(GroupError):
    """An integer result that does not fit in 64 bits."""


class InexactCast(DataflowError):
    """A value that has no exact counterpart in the type that it is cast to."""


class InexactDecimal(DataflowError):
    """A number that is not a decimal of the declared places."""
