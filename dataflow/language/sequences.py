"""The DSL of sequences: the order in which things happen to a key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.language.timelines import Chain
from dataflow.steps import Cohorts, Funnel, KeyBy, Transitions
from dataflow.steps.keyed.funnel import FUNNEL_MODES, MAX_FUNNEL
from dataflow.times.durations import parse_duration, placed_every
from dataflow.values.mistaken import listed_values, shown, text_of
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

    def funnel(self, steps: Sequence[Operand], within: str | timedelta, mode: str = "strict") -> Self:
        """How far each key got through the conditions ``steps``, in their order, ``within`` the time from the first.

        A window opens at every row that meets step 1 and lasts for ``within``, both ends included. Each further step
        must be met by a row of the window that comes after the row that met the previous step; rows in between do not
        matter. The window of a key that gets furthest counts; among several, the one that starts last. ``mode`` says
        which rows come after:

        - ``"strict"``: rows at a later time. Rows at the same time have no order.
        - ``"ordered"``: later rows; at the same time, in order of arrival.
        - ``"any"``: rows in the same second or later, for logs with a resolution of seconds. Within a second (of UTC)
          the order does not matter, and one row may meet several steps. Times are rounded down to seconds.

        Rows, one for each key that met step 1 in the range: the key, start (time of step 1), end (time of the last step
        met), duration, ``steps`` (the number of steps met, from 1), ``step_2``, ``step_3`` ... (when each was first met
        in the window, else null), and the other columns as last reported at the start.
        """
        conditions = tuple(expr(s) for s in listed_values(steps, "funnel takes a list of conditions"))
        if not 2 <= len(conditions) <= MAX_FUNNEL:
            raise DataflowError(f"funnel takes 2 to {MAX_FUNNEL} steps, got {len(conditions)}")
        if mode not in FUNNEL_MODES:
            raise DataflowError(f"funnel: mode is one of {', '.join(FUNNEL_MODES)}, got {shown(mode)}")
        return self._then(Funnel(conditions, parse_duration(within, "funnel(within)"), mode))

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
