"""Methods that look at other rows of the key."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.times.durations import parse_duration
from dataflow.values.constants import Literal


class LookingMethods(Methods):
    """Functions that look at other rows of the key."""

    def last(self, hold: str | timedelta | None = None, where: Self | Literal = None) -> Self:
        """The last reported value of this key at or before this row, if no older than ``hold``.

        With ``where`` only reports in rows where that condition is true count. Like all look-back functions it sees the
        rows that reach it, including those before the range: a filter in front of it hides the reports that it drops.
        To avoid that, put ``held`` before the filter.
        """
        micros = None if hold is None else parse_duration(hold, "last(hold)")
        of = self if where is None else self._where(where)
        return of._of("last", hold=micros)

    def previous(self) -> Self:
        """The value in this key's previous row, which may lie before the range; null in the key's first row."""
        return self._of("previous")

    def cumulative_sum(self) -> Self:
        """The sum of this key's values up to and including this row, including those before the range; null before the
        first. Exact: floats are rounded once per row; integers that do not fit in 64 bits are an error."""
        return self._of("cumulative_sum")

    def changed(self) -> Self:
        """Whether the value was reported here and differs from this key's last reported one before, which may lie
        before the range."""
        return self._of("changed")
