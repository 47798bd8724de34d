"""Windows across keys: of the states of calendar buckets, those of each window merged into one.

States merge exactly and in any tree, so a window of n buckets takes about 2 log2(n) merges of all groups: from the
states of windows of 1, 2, 4, ... buckets those are joined that add up to n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import Grouping, Slide
from dataflow.times.calendar_tables import bucket_table
from dataflow.typed.hidden_columns import PARTIAL
from operators.errors import CardinalityExceeded
from operators.kernels.times import calendar
from operators.kernels.times.calendar import END, FIRST
from operators.states.groups import Groups, GroupState
from operators.states.state_parts import part_of
from operators.states.strings import Words
from operators.states.table_growth import LIMIT
from operators.types import Type
from runtime.query.merge.finish import finished_groups
from runtime.query.stages.query_table import QueryTable

Ints = NDArray[np.int64]
Merge = Callable[[Grouping, Sequence[GroupState]], GroupState]


@dataclass(frozen=True)
class Range:
    """The range of a query, and the beginning of its stream, before which there are no points."""

    since: int
    until: int
    beginning: int


class _Buckets:
    """The numbers of a calendar's buckets, and their starts."""

    def __init__(self, slide: Slide) -> None:
        self._edges, self._width, self._origin = bucket_table(slide.every, slide.zone, slide.size)

    def numbers(self, times: Ints) -> Ints:
        """The number of the bucket of each time, which lies in the calendar years."""
        return self._each(times, calendar.bucket_number)

    def edges(self, numbers: Ints) -> Ints:
        """The start of each bucket."""
        return self._each(numbers, calendar.bucket_edge)

    def number(self, time: int) -> int:
        """The number of the bucket of a time, or of the nearest one in the calendar years."""
        return int(self.numbers(np.array([min(max(time, FIRST), END - 1)]))[0])

    def _each(self, values: Ints, function: Callable[..., int]) -> Ints:
        distinct, which = np.unique(values, return_inverse=True)
        found = [int(function(v, self._edges, self._width, self._origin)) for v in distinct.tolist()]
        out: Ints = np.array(found, np.int64)[which.ravel()]
        return out


def windows_table(sink: Grouping, groups: Groups, words: Words, of: Range, merge: Merge, step: str) -> QueryTable:
    """One row per window and group, from one state per bucket and group; ``step`` is named in errors."""
    slide, j = sink.windows, sink.filled
    assert slide is not None
    assert j is not None
    buckets = _Buckets(slide)
    state = groups.export(words.strings)
    state.keys[:, j] = buckets.numbers(state.keys[:, j])
    state = _slid(sink, state, slide.size, j, merge)
    lowest, highest = buckets.number(of.since) - slide.size + 1, buckets.number(of.until - 1)
    number = state.keys[:, j]
    overlaps = (number >= lowest) & (number <= highest) & (of.since < of.until)
    aggregates = [a.aggregate for a in sink.aggs]
    state = part_of(aggregates, state, np.flatnonzero(overlaps))
    windows, words = Groups([e.type for _, e in sink.by if e.type is not None], aggregates), Words()
    windows.merge(state, words.codes)
    if slide.empty:
        windows.ensure(_missing(windows.keys[: len(windows)], j, highest))
    n = len(windows)
    windows.keys[:n, j] = buckets.edges(windows.keys[:n, j])
    table = finished_groups(sink, windows, words, step)
    start = table.columns["start"][1]
    end = buckets.edges(buckets.numbers(np.maximum(start, FIRST)) + slide.size) if n else start
    # Windows that slide include the points before the range.
    first = of.beginning if slide.size > 1 else max(of.since, of.beginning)
    whole = np.ones(n, np.uint8)
    partial = (Type.BOOL, ((start < first) | (end > of.until)).astype(np.uint8), whole)
    own = {
        "start": table.columns["start"],
        "end": (Type.TIME, end, whole),
        "duration": (Type.DURATION, end - start, whole),
    }
    by = {name: table.columns[name] for name, _ in sink.by}
    rest = {name: found for name, found in table.columns.items() if name not in by}
    return QueryTable(n, {**by, **own, **rest, "partial": partial, PARTIAL: partial}, table.strings)


def _slid(sink: Grouping, state: GroupState, size: int, j: int, merge: Merge) -> GroupState:
    """The states of windows of ``size`` buckets, numbered by their first one, from those of single buckets."""

    def earlier(part: GroupState, by: int) -> GroupState:
        keys = part.keys.copy()
        keys[:, j] -= by
        return GroupState(keys, part.states, part.strings)

    out, covered, length = None, 0, 1
    while True:
        if size & length:
            out = state if out is None else merge(sink, [out, earlier(state, covered)])
            covered += length
        if covered == size:
            assert out is not None
            return out
        state = merge(sink, [state, earlier(state, length)])
        length *= 2


def _missing(keys: Ints, j: int, highest: int) -> Ints:
    """The keys of all windows of each combination of the other columns, from its first one to number ``highest``."""
    if not len(keys):
        return keys
    others = keys.copy()
    others[:, j] = 0
    distinct, which = np.unique(others, axis=0, return_inverse=True)
    firsts = np.full(len(distinct), highest)
    np.minimum.at(firsts, which.ravel(), keys[:, j])
    lengths = highest + 1 - firsts
    if int(lengths.sum()) > LIMIT:
        raise CardinalityExceeded(
            f"more than {LIMIT:,} windows with the empty ones; use longer ones or a shorter range"
        )
    out = np.repeat(distinct, lengths, axis=0)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[:, j] = np.repeat(firsts, lengths) + np.arange(len(out)) - starts
    return out
