"""The DSL of finished tables: steps that need all rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self, cast

from dataflow.expressions.aggregate_calls import Agg
from dataflow.expressions.expr import Expr, expr
from dataflow.expressions.over_calls import Columns, columns_of, counted, directions
from dataflow.language.timelines import Chain
from dataflow.steps import Compare, Limit, Pivot, Sort, Top
from dataflow.steps.answers.compare import shift_of
from dataflow.steps.pivot import MOST_VALUES
from dataflow.values.constants import Literal, plain
from dataflow.values.mistaken import listed_values, shown, text_of
from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError


class FinishedTables(Chain):
    """Steps over all rows of a table."""

    def sort(self, *by: str, descending: bool | tuple[bool, ...] = False) -> Self:
        """Order the rows by columns; stable, nulls first (last when descending)."""
        if wrong := [b for b in by if not isinstance(b, str)]:
            raise DataflowError(f"sort takes names of columns, got {shown(wrong[0])}")
        flags = (
            (descending,) * len(by)
            if isinstance(descending, bool)
            else tuple(listed_values(descending, "sort: descending is True, False or a list of them"))
        )
        if not by or len(flags) != len(by):
            raise DataflowError("sort takes at least one column, and one descending flag or one per column")
        return self._then(Sort(tuple(zip(by, flags, strict=True))))

    def limit(self, n: int) -> Self:
        """The first ``n`` rows."""
        if isinstance(n, Setting):
            return self._then(Limit(cast(int, checked_setting(n, self.limit))))
        n = plain(n)
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise DataflowError(f"limit takes a number of rows, got {shown(n)}")
        return self._then(Limit(n))

    def top(
        self,
        n: int,
        by: str | Expr,
        per: Columns = None,
        descending: bool = True,
    ) -> Self:
        """The ``n`` rows with the greatest values of ``by`` among those with equal values of ``per`` (without it, among
        all rows); with ``descending=False`` those with the least.

        Rows are ordered by ``per``, then by ``by``. Of equal rows, the first in the table is the first; a row in which
        ``by`` is null is left out.
        """
        (value, *more) = columns_of(by, "top: by=", Expr) or (None,)
        if value is None or more:
            raise DataflowError("top: by= is the one column or expression that the rows are ordered by")
        (flag,) = directions(descending, 1, "top")
        count = checked_setting(n, lambda v: counted(v, "top")) if isinstance(n, Setting) else counted(n, "top")
        return self._then(Top(cast(int, count), value, columns_of(per, "top: per=", Expr), flag))

    def pivot(
        self,
        on: str,
        values: Sequence[Literal],
        of: str | Sequence[str] | Agg | None = None,
        other: str | None = None,
    ) -> Self:
        """Turn the values of the column ``on`` into columns: one row for each combination of the other columns that the
        rows are grouped by, ordered by these.

        ``values`` are declared, so that the columns are known; another one is an error, or belongs to the column
        ``other``. A column is named like its value (``null``, and ``empty`` for an empty text) and holds what the
        column ``of`` has in that row; of several columns, ``up_n`` and ``up_time``. Without ``of`` it is every column
        that rows are not grouped by. Two rows for one place are an error; an aggregate puts them together:
        ``of=df.sum("n")``. Where there is no row, the value is null.
        """
        listed = [expr(v) for v in listed_values(values, "pivot: values= is a list of constants")]
        if not 1 <= len(listed) <= MOST_VALUES or any(e.fn != "lit" for e in listed):
            raise DataflowError(f"pivot: values= is a list of 1 to {MOST_VALUES} constants, got {shown(values)}")
        if isinstance(of, Agg):
            found: Agg | tuple[str, ...] = of
        else:
            names = [of] if isinstance(of, str) else [] if of is None else listed_values(of, _OF)
            if wrong := [n for n in names if not isinstance(n, str) or not n]:
                raise DataflowError(f"{_OF}, got {shown(wrong[0])}")
            found = tuple(map(str.__str__, names))
        column = text_of(on, "pivot")
        return self._then(
            Pivot(column, tuple(listed), found, None if other is None else text_of(other, "pivot(other)"))
        )

    def compare(self, shift: str | timedelta, prefix: str = "before_", how: str = "full") -> Self:
        """Beside each group the values of the range shifted by ``shift``: ``"-7d"`` is the week before.

        The metric runs over both ranges, which are equally long, and the answers are joined on the columns that rows
        are grouped by. The times of groups, ``df.time().truncate("1h")`` or a window's ``start``, are shifted, too, so
        that an hour stands beside the same hour a week before. The other columns of the shifted range have a
        ``prefix``: ``n`` and ``before_n``. ``how``: ``"full"`` (groups of both ranges; what one lacks is null) or
        ``"left"`` (those of the range). A day is 24 hours. Use it before ``filter``, ``sort`` and ``limit``; twice for
        two shifts, with another prefix.
        """
        if how not in ("full", "left"):
            raise DataflowError(f"compare: how is 'full' or 'left', got {shown(how)}")
        if not text_of(prefix, "compare(prefix)"):
            raise DataflowError("compare: the prefix is empty")
        found = checked_setting(shift, shift_of) if isinstance(shift, Setting) else shift_of(shift)
        return self._then(Compare(cast(int, found), prefix, how))


_OF = "pivot: of= takes names of columns or an aggregate"
