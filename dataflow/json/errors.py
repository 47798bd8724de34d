"""Errors in a metric's JSON."""

from __future__ import annotations

from operators.errors import DataflowError


class JsonFormError(DataflowError):
    """JSON that is not the canonical form of a metric."""


def short(value: object) -> str:
    """``value`` as messages show it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
