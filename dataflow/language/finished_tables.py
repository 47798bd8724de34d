"""The DSL of finished tables: steps that need all rows."""

from __future__ import annotations

from typing import Self

from dataflow.language.timelines import Chain
from dataflow.steps import Limit, Sort
from dataflow.values.constants import plain
from dataflow.values.mistaken import listed_values, shown
from dataflow.values.settings import Setting
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
            return self._then(Limit(n.checked(lambda v: self.limit(v))))
        n = plain(n)
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise DataflowError(f"limit takes a number of rows, got {shown(n)}")
        return self._then(Limit(n))
