"""The DSL of series: nulls filled from the values around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Self

from dataflow.expressions.aggregate_calls import distinct_names
from dataflow.expressions.expr import Expr, col, expr
from dataflow.language.timelines import Chain
from dataflow.steps import Fill, WithColumns
from dataflow.steps.filling import METHODS
from dataflow.times.durations import parse_duration
from dataflow.values.mistaken import listed_values, shown
from operators.errors import DataflowError


def column_list(columns: object, where: str) -> tuple[str, ...]:
    """Names of columns, given as one text or a list; DataflowError naming ``where`` for anything else."""
    names = [columns] if isinstance(columns, str) else listed_values(columns, f"{where}: columns are names, or a list")
    if wrong := [n for n in names if not isinstance(n, str) or not n]:
        raise DataflowError(f"{where} takes names of columns, got {shown(wrong[0])}")
    if (twice := distinct_names(names)) is not None:
        raise DataflowError(f"{where}: the column {twice!r} is given twice")
    return tuple(map(str.__str__, names))


class FilledSeries(Chain):
    """Steps over series: the rows of a key, or of a table those with equal values of some columns."""

    def fill(
        self,
        *columns: str,
        method: Literal["linear", "last", "next"],
        by: str | Sequence[str] | None = None,
        within: str | timedelta | None = None,
    ) -> Self:
        """Fill nulls of these columns from the values around them, in every series: the rows of a key, or of a table
        those with equal values of ``by``, ordered by ``start``. The rows become a table.

        ``"linear"``: along the straight line over time from the value before to the value after, exact and rounded
        once: a float, or for durations a duration to the microsecond, ties to even. ``"last"``: the value before. Of
        rows of a key the value before may lie before the range. ``"next"``: the value after. A null without a value
        before, or for ``"linear"`` or ``"next"`` after, stays null; so does with ``within`` one that is further away
        than that, or for ``"linear"`` in a gap that is longer.
        """
        if method not in METHODS:
            raise DataflowError(f"fill: method is 'linear', 'last' or 'next', got {shown(method)}")
        names = column_list(columns, "fill")
        if not names:
            raise DataflowError("fill takes the columns to fill, e.g. fill('temp', method='linear')")
        longest = None if within is None else parse_duration(within, "fill(within)")
        return self._then(Fill(names, method, None if by is None else column_list(by, "fill(by)"), longest))

    def _filled(self, fill: object, names: Sequence[str], by: tuple[str, ...] | None) -> Self:
        """The windows with their aggregates ``names`` filled, as ``window(fill=)`` says."""
        if fill is None or not names:
            return self
        if not isinstance(fill, str):
            value = expr(fill)  # type: ignore[arg-type]
            if value.fn == "param" and value.option("default") in METHODS:
                raise DataflowError(f"window(fill): a parameter is a value to fill with, no method; got {value!r}")
            return self._computed(names, [col(name).fill_null(value) for name in names])
        if fill not in METHODS:
            raise DataflowError(
                f"window(fill) is a value, like df.lit({fill!r}), or 'linear', 'last' or 'next'; got {fill!r}"
            )
        if fill == "last" and by is None:
            # Not last() alone: of a window that `since` cuts it has the value of the whole window.
            return self._computed(names, [col(name).fill_null(col(name).last()) for name in names])
        return self._then(Fill(tuple(names), fill, by))

    def _computed(self, names: Sequence[str], new: Sequence[Expr]) -> Self:
        return self._then(WithColumns(tuple(zip(names, new, strict=True))))
