"""The root of every error that a user's input can cause.

Each message is one sentence or two: what is wrong, where, and what to do. The console script prints the
message without a traceback; anything that is not a ``DataflowError`` is a defect of ours.
"""

from __future__ import annotations


class DataflowError(Exception):
    """Base class of all errors that are explained to the user."""


class GroupError(DataflowError):
    """What one group of an aggregate cannot answer: ``group`` is its number, ``aggregate`` that of the aggregate."""

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
