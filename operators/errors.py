"""The root of every error that a user's input can cause.

Each message is one sentence or two: what is wrong, where, and what to do. The console script prints the
message without a traceback; any other exception is a bug.
"""

from __future__ import annotations


class DataflowError(Exception):
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


class InexactDecimal(DataflowError):
    """A number that is not a decimal of the declared places."""
