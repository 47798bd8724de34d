"""Methods that look at other rows of the key."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.expressions.node import Node
from dataflow.expressions.over_calls import Columns, Descending, counted, in_order
from dataflow.expressions.whole_options import whole_option
from dataflow.times.durations import parse_duration
from dataflow.values.constants import Literal
from dataflow.values.mistaken import shown, without_call
from dataflow.values.settings import Setting
from operators.errors import DataflowError


class LookingMethods(Methods):
    """Functions that look at other rows of the key."""

    def last(
        self, hold: str | timedelta | None = None, where: Self | Literal = None, within: str | Self | None = None
    ) -> Self:
        """The last reported value of this key at or before this row, if no older than ``hold``.

        With ``where`` only reports in rows where that condition is true count. Like all look-back functions it sees the
        rows that reach it, including those before the range: a filter in front of it hides the reports that it drops.
        To avoid that, put ``held`` before the filter.

        ``within``, a column or an expression: forget everything in each row in which it differs from the key's row
        before, such as the number of a session (``df.session("30m")``). All functions that look back have it.
        """
        micros = None if hold is None else parse_duration(hold, "last(hold)")
        of = self if where is None else self._where(where)
        return of._looking("last", within, hold=micros)

    def first(self, within: str | Self | None = None) -> Self:
        """The first reported value of this key, which may lie before the range; null before it."""
        return self._looking("first", within)

    def previous(
        self,
        rows: int = 1,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The value in this key's previous row, or ``rows`` rows before, which may lie before the range; null if there
        is no such row.

        On a finished table, as after ``agg(...)``, give the ``order`` of its rows: columns, with ``descending`` for all
        or for each. Only rows with equal values of ``per`` are looked at. As in ``sort``, nulls come first (last if
        ``descending``), and equal rows stay in the order of the table. The other functions with ``order`` do the same.
        """
        if order is not None:
            return self._in_order("previous", within, order, per, descending, counted(rows, "previous"))
        rows = whole_option("previous", "rows", rows)
        usual = not isinstance(rows, Setting) and rows == 1
        return self._in_order("previous", within, order, per, descending, **({} if usual else {"rows": rows}))

    def next(
        self,
        rows: int = 1,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The value in this key's next point, or ``rows`` points later, which may lie after the range; null if there is
        no such point yet.

        It sees the points that reach it. With ``within``, a column or an expression, points after a change of that are
        not seen. On a finished table in an ``order``: see ``previous``.
        """
        if order is not None:
            return self._in_order("next", within, order, per, descending, counted(rows, "next"))
        rows = whole_option("next", "rows", rows)
        usual = not isinstance(rows, Setting) and rows == 1
        return self._in_order("next", within, order, per, descending, **({} if usual else {"rows": rows}))

    def row_number(
        self,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The number, from 1, of this row among the rows of this key that report the value, including those before the
        range; null in rows that do not. On a finished table in an ``order``: see ``previous``."""
        return self._in_order("row_number", within, order, per, descending)

    def cumulative_sum(
        self,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The sum of this key's values up to and including this row, including those before the range; null before the
        first. Exact: floats are rounded once per row; integers that do not fit in 64 bits are an error. On a finished
        table in an ``order``: see ``previous``."""
        return self._in_order("cumulative_sum", within, order, per, descending)

    def cumulative_max(
        self,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The greatest of this key's values up to and including this row, including those before the range; null before
        the first. On a finished table in an ``order``: see ``previous``."""
        return self._in_order("cumulative_max", within, order, per, descending)

    def cumulative_min(
        self,
        within: str | Self | None = None,
        *,
        order: Columns = None,
        per: Columns = None,
        descending: Descending = False,
    ) -> Self:
        """The least of this key's values up to and including this row, including those before the range; null before
        the first. On a finished table in an ``order``: see ``previous``."""
        return self._in_order("cumulative_min", within, order, per, descending)

    def ewm(self, half_life: str | timedelta, within: str | Self | None = None) -> Self:
        """The exponentially weighted mean of this key's values up to and including this row, by their times: the mean
        so far keeps the weight ``0.5 ** (elapsed / half_life)``, where ``elapsed`` is the time since the value before.
        It includes values before the range, however old; a null leaves it as it is; of several values at one time the
        first counts. A float, rounded in each row; null before the first value."""
        return self._looking("ewm", within, half_life=parse_duration(half_life, "ewm(half_life)"))

    def changed(self, within: str | Self | None = None) -> Self:
        """Whether the value was reported here and differs from this key's last reported one before, which may lie
        before the range."""
        return self._looking("changed", within)

    def _looking(self, fn: str, within: str | Self | None, **options: object) -> Self:
        if within is None:
            return self._of(fn, **options)
        if isinstance(within, Setting):
            raise DataflowError(f"{fn}: within takes a column; write df.col(df.param(..., choices=[...]))")
        if isinstance(within, str):
            within = type(self)("col", (), (("name", within),))
        if not isinstance(within, Node):
            raise DataflowError(
                without_call(within) or f"{fn}: within is a column or an expression, got {shown(within)}"
            )
        return self._of(fn, within, **options)

    def _in_order(
        self,
        fn: str,
        within: str | Self | None,
        order: Columns,
        per: Columns,
        descending: Descending,
        n: int | None = None,
        **options: object,
    ) -> Self:
        """The function of a key's rows, or with an order of the rows of a table."""
        if order is None and per is None and descending is False:
            return self._looking(fn, within, **options)
        if within is not None:
            raise DataflowError(f"{fn}: within= is for the rows of a key; on a finished table, give order= and per=")
        return self._of("over", **in_order(fn, order, per, descending, type(self), n))
