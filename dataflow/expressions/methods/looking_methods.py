"""Methods that look at other rows of the key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.expressions.node import Node
from dataflow.expressions.over_calls import counted, in_order
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

    def previous(
        self,
        rows: int = 1,
        *,
        order: str | Node | Sequence[str | Node] | None = None,
        per: str | Node | Sequence[str | Node] | None = None,
        descending: bool | Sequence[bool] = False,
    ) -> Self:
        """The value in this key's previous row, which may lie before the range; null in the key's first row.

        On a finished table, with ``order``: the value ``rows`` rows before in that order, among the rows with equal
        values of ``per``; null if there is no such row. As in ``sort``, nulls come first (last if ``descending``), and
        equal rows stay in the order of the table.
        """
        if order is None and (rows, per, descending) == (1, None, False):
            return self._of("previous")
        n = counted(rows, "previous")
        return self._of("over", **in_order("previous", order, per, descending, type(self), n))

    def next(
        self,
        rows: int = 1,
        *,
        order: str | Node | Sequence[str | Node],
        per: str | Node | Sequence[str | Node] | None = None,
        descending: bool | Sequence[bool] = False,
    ) -> Self:
        """On a finished table, the value ``rows`` rows after in an order; see ``previous``."""
        n = counted(rows, "next")
        return self._of("over", **in_order("next", order, per, descending, type(self), n))

    def row_number(
        self,
        *,
        order: str | Node | Sequence[str | Node],
        per: str | Node | Sequence[str | Node] | None = None,
        descending: bool | Sequence[bool] = False,
    ) -> Self:
        """On a finished table, the number of the row, from 1, among those with equal values of ``per`` that have this
        value, in an order; null where the value is null. See ``previous``."""
        return self._of("over", **in_order("row_number", order, per, descending, type(self)))

    def cumulative_sum(
        self,
        *,
        order: str | Node | Sequence[str | Node] | None = None,
        per: str | Node | Sequence[str | Node] | None = None,
        descending: bool | Sequence[bool] = False,
    ) -> Self:
        """The sum of this key's values up to and including this row, including those before the range; null before the
        first. Exact: floats are rounded once per row; integers that do not fit in 64 bits are an error.

        On a finished table, with ``order``: of the rows up to this one in that order, among those with equal values of
        ``per``; see ``previous``.
        """
        if order is None and (per, descending) == (None, False):
            return self._of("cumulative_sum")
        return self._of("over", **in_order("cumulative_sum", order, per, descending, type(self)))

    def changed(self) -> Self:
        """Whether the value was reported here and differs from this key's last reported one before, which may lie
        before the range."""
        return self._of("changed")
