"""The DSL of sequences: the order in which things happen to a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from dataflow.expressions.expr import Expr, Operand, expr, one_column
from dataflow.language.timelines import Chain
from dataflow.steps import Activity, Cohorts, Dedupe, KeyBy, Match, Subpaths, Transitions, ValueSequence
from dataflow.steps.answers.key_by import ALONE
from dataflow.steps.keyed.match import checked_pattern
from dataflow.steps.keyed.sequence import MAX_SEQUENCE, USUAL_SEQUENCE
from dataflow.steps.keyed.subpaths import MAX_PATH, USUAL_PATH
from dataflow.times.durations import parse_duration, placed_every
from dataflow.values.constants import plain
from dataflow.values.mistaken import shown, text_of
from operators.errors import DataflowError
from operators.nearest import listed


class Sequences(Chain):
    """Steps that follow the order of a key's rows."""

    def key_by(self, column: str | Expr, *more: str | Expr) -> Self:
        """The points by another key than that of the ingest: as if the stream had been ingested with ``column`` as its
        key. Directly after ``df.stream(...)``.

        With several columns there is a key for each combination of their values. It is a text, their values as a list
        in JSON, in a column with their names: ``key_by("account", "merchant")`` has the key ``account/merchant``.

        Points without a value in it, or in one of them, are left out and counted in the proof. Duplicates were resolved
        under the stream's own key, which is a column like others now. Points of one time and one new key are in a fixed
        order, by the stream's own key: in which order they arrived, a stream does not keep across keys. A query writes
        the points and columns that it needs into a temporary folder, by the new key, and runs there: on this machine's
        cores only.
        """
        names = []
        for given in (column, *more):
            name = given.option("name") if isinstance(given, Expr) and given.fn == "col" else given
            if not isinstance(name, str) or not name:
                hint = "; a key is a column as it was ingested, not computed" if isinstance(given, Expr) else ""
                if isinstance(given, (list, tuple)):
                    hint = f"; write key_by({', '.join(shown(each) for each in given)})"
                raise DataflowError(f"key_by takes names of columns, got {shown(given)}{hint}")
            names.append(str.__str__(name))
        if len({*names}) < len(names):
            raise DataflowError(f"key_by: {listed(sorted(names))}: each column once")
        if len([name for step in self.steps for name in step.streams()]) > 1:
            raise DataflowError(ALONE)
        if len(self.steps) != 1:
            raise DataflowError("key_by comes directly after df.stream(...)")
        return self._then(KeyBy(tuple(names)))

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
        of = one_column(of, "transitions")
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

    def sequence(self, of: str | Expr, length: int = USUAL_SEQUENCE) -> Self:
        """The values of ``of`` of each key in their order: what a case went through, from its first value to its last.

        Rows in which it is null are skipped. Of more than ``length`` values (at most 1,000) the first ones are written,
        followed by ``...``. Only rows of the range count.

        Rows, one for each key with a value: the key, start (of the first value), end (of the last), duration,
        ``variant`` (the values, joined by ``" > "``), ``count`` (how many they are, beyond ``length``, too), and the
        other columns as last reported at the start.
        """
        of = one_column(of, "sequence")
        return self._then(ValueSequence(of, _length(length, "sequence", 1, MAX_SEQUENCE)))

    def subpaths(
        self,
        of: str | Expr,
        length: int = USUAL_PATH,
        gap: str | timedelta | None = None,
        start: Operand | None = None,
        end: Operand | None = None,
    ) -> Self:
        """The stretches of ``length`` consecutive values of ``of`` (2 to 16) in the path of each key.

        Rows in which it is null are skipped. With a ``gap``, a path ends if the key reports no value for longer.

        ``start`` and ``end`` are a value of ``of``, or a condition. With a ``start``, stretches begin at the values
        that meet it; one that the end of the path cuts is shorter, and complete ``gap`` after its last value. With an
        ``end``, they are the values up to each one that meets it, fewer where the path began later. With both, they
        lead from a start to the next end, over at most ``length`` values, and the earliest start since the last end
        counts that is not further away.

        A stretch belongs to the time at which it is complete, so that counts of adjoining ranges add up. Rows: the key,
        start (this time), ``path`` (the values, joined by ``" > "``), ``count`` (how many), ``after`` (the time since
        the first of them), and the other columns as last reported at that time.
        """
        of = one_column(of, "subpaths")
        pause = None if gap is None else parse_duration(gap, "subpaths(gap)")
        # A parameter is a value, like a constant.
        is_condition = [isinstance(e, Expr) and e.fn != "param" for e in (start, end)]
        begins, ends = (
            None if e is None else expr(e) if given else of == e
            for e, given in zip((start, end), is_condition, strict=True)
        )
        return self._then(Subpaths(of, _length(length, "subpaths", 2, MAX_PATH), pause, begins, ends))

    def dedupe(self, of: str | Expr, within: str | timedelta) -> Self:
        """Drop the rows that repeat a value of their key within a time since a row with that value that was kept.

        ``dedupe("event", within="10s")``: of events of a kind at 0, 6, 12 and 18 s those at 0 and 12 s stay; one
        exactly ``within`` later is dropped, too. Other values in between do not matter. Rows in which it is null are
        kept. Rows before ``since`` count, so that a range gives the rows of the whole.
        """
        micros = parse_duration(within, "dedupe(within)")
        return self._then(Dedupe(one_column(of, "dedupe"), micros))

    def activity(self, every: str, zone: str = "UTC") -> Self:
        """The calendar buckets in which each key had rows, and the first of those in which it had none.

        Rows: the key, start, end, duration, and ``status``: ``"new"`` in the key's first bucket ever, also before the
        range; ``"returning"`` if it had rows in the bucket before, ``"resurrecting"`` if it had none there, and
        ``"dormant"`` in a bucket without rows after one with rows; and the other columns as last reported at the
        bucket's first row (dormant: before it). Buckets that overlap the range; the last one may end after it, and a
        key is dormant there already if it has no row until the end of the range.
        """
        every = placed_every(every, None, None, "activity")
        return self._then(Activity(every, text_of(zone, "activity(zone)")))


def _length(value: object, where: str, least: int, most: int) -> int:
    n = plain(value)
    if isinstance(n, bool) or not isinstance(n, int) or not least <= n <= most:
        raise DataflowError(f"{where}: length is a number of values from {least} to {most:,}, got {shown(value)}")
    return n
