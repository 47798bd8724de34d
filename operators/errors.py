"""The root of every error that a user's input can cause.

Each message is one sentence or two: what is wrong, where, and what to do. The console script prints the
message without a traceback; anything that is not a ``DataflowError`` is a defect of ours.
"""

from __future__ import annotations


class DataflowError(Exception):
    """Base class of all errors that are explained to the user."""


class CardinalityExceeded(DataflowError):
    """More distinct keys, groups or values than the declared bound."""


class OverflowExceeded(DataflowError):
    """An integer result that does not fit in 64 bits."""


class InexactDecimal(DataflowError):
    """A number that is not a decimal of the declared places."""
