"""The DSL of sequences: the order in which things happen to a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.language.timelines import Chain
from dataflow.steps import Cohorts, KeyBy, Transitions
from dataflow.times.durations import parse_duration, placed_every
from dataflow.values.mistaken import shown, text_of
from operators.errors import DataflowError


class Sequences(Chain):
    """Steps that follow the order of a key's rows."""

    def key_by(self, column: str | Expr) -> Self:
        """The points by another key than that of the ingest: as if the stream had been ingested with ``column`` as its
        key. Directly after ``df.stream(...)``.

        Points without a value in it are left out and counted in the proof. Duplicates were resolved under the stream's
        own key, which is a column like others now. Points of one time and one new key are in a fixed order, by the
        stream's own key: in which order they arrived, a stream does not keep across keys. A query writes the points and
        columns that it needs into a temporary folder, by the new key, and runs there: on this machine's cores only.
        """
        name = column.option("name") if isinstance(column, Expr) and column.fn == "col" else column
        if not isinstance(name, str) or not name:
            raise DataflowError(f"key_by takes the name of a column, got {shown(column)}")
        if len(self.steps) != 1:
            raise DataflowError("key_by comes directly after df.stream(...)")
        return self._then(KeyBy(str.__str__(name)))

    def cohorts(
        self,
        start: Operand,
        returns: Operand,
        every: str,
        zone: str = "UTC",
        week_start: str | None = None,
        offset: str | timedelta | None = None,
    ) -> Self:
        """The calendar buckets of each key, from the one in which it first met ``start`` to the end of the range.

        A key that first met ``start`` before the range is left out. Rows, one for each key and bucket: the key, start,
        end, duration, ``cohort`` (the start of the key's first bucket), ``period`` (0 for that bucket, then 1, 2, ...),
        ``returned`` (whether a row of the bucket met ``returns``, from the row that first met ``start`` on), and the
        other columns as last reported at that row. The last bucket may end after the range. ``week_start`` and
        ``offset`` of buckets are those of ``truncate``.
        """
        every = placed_every(every, week_start, offset, "cohorts")
        return self._then(Cohorts(expr(start), expr(returns), every, text_of(zone, "cohorts(zone)")))

    def transitions(self, of: str | Expr, gap: str | timedelta | None = None) -> Self:
        """The transitions of each key from one value of ``of`` to the next, including equal ones.

        Rows in which it is null are skipped. With a ``gap``, a path ends if the key reports no value for longer, and
        the next value starts another path. A transition belongs to the time of its later value, so that counts of
        adjoining ranges add up.

        Rows: the key, start (the time of the transition), ``from``, ``to``, ``after`` (the time since the previous
        value), and the other columns as last reported at that time. The first value of a path has null in ``from`` and
        ``after``. The end of a path has null in ``to`` and is ``gap`` after the last value, if that lies in the range;
        without a gap, paths do not end.
        """
        of = col(of) if isinstance(of, str) else expr(of)
        return self._then(Transitions(of, None if gap is None else parse_duration(gap, "transitions(gap)")))
