"""The DSL of sequences: the order in which things happen to a key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.language.timelines import Chain
from dataflow.steps import Cohorts, Funnel, Match, Transitions
from dataflow.steps.keyed.funnel import FUNNEL_MODES, MAX_FUNNEL
from dataflow.steps.keyed.match import checked_pattern
from dataflow.times.durations import parse_duration, parse_every
from dataflow.values.mistaken import listed_values, shown, text_of
from operators.errors import DataflowError


class Sequences(Chain):
    """Steps that follow the order of a key's rows."""

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

    def cohorts(self, start: Operand, returns: Operand, every: str, zone: str = "UTC") -> Self:
        """The calendar buckets of each key, from the one in which it first met ``start`` to the end of the range.

        A key that first met ``start`` before the range is left out. Rows, one for each key and bucket: the key, start,
        end, duration, ``cohort`` (the start of the key's first bucket), ``period`` (0 for that bucket, then 1, 2, ...),
        ``returned`` (whether a row of the bucket met ``returns``, from the row that first met ``start`` on), and the
        other columns as last reported at that row. The last bucket may end after the range.
        """
        parse_every(every, "cohorts")
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

    def match(self, pattern: str, /, *, within: str | timedelta | None = None, **conditions: Operand) -> Self:
        """The runs of consecutive rows of each key that fit a pattern of conditions.

        ``match("DOWN{2,} UP", DOWN=df.col("x") < df.col("x").previous(), UP=...)``: a name stands for one row that
        meets its condition, ``.`` for any one row; a row may meet several. ``A B`` are consecutive rows, ``A | B``
        either, ``( )`` groups; ``? * + {n} {n,} {n,m}`` repeat. ``.*`` skips rows: ``"A .* B"``. ``within`` is the
        longest time from the first row of a match to its last.

        A match ends with the first row at which the pattern is complete. It begins with the first row from which the
        pattern leads there; if that is more than ``within`` ago, with the last one. It then goes on as long as rows
        follow that the pattern has room for, and ends with the last at which it is complete: ``B{2,}`` takes the whole
        run. The next match begins after that. Only rows of the range count.

        Rows: the key, start, end, duration, ``count`` (of rows), for each condition ``A`` the columns ``A_first``,
        ``A_last`` (when its first and last row of the match were) and ``A_count``, and the other columns as last
        reported at the start. ``df.col("A.x")`` is ``x`` as last reported at A's last row. Null where no row was A's.
        """
        found = {name: expr(e) for name, e in conditions.items()}
        micros = None if within is None else parse_duration(within, "match(within)")
        return self._then(Match(checked_pattern(pattern, list(found)), tuple(found.items()), micros))
