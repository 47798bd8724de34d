"""Follows the answer of a metric from commit to commit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from dataflow.plan.row_times import RowTimes
from dataflow.times.durations import parse_duration
from operators.errors import DataflowError
from operators.nearest import meant
from runtime.errors import QueryError, SnapshotTooOld
from runtime.live.row_changes import (
    EARLY,
    LATE,
    ON_TIME,
    AnswerRows,
    CurrentAnswer,
    Pair,
    Row,
    RowChange,
    Snapshot,
    pairs,
    still,
)
from runtime.live.row_ends import NEVER, ends_of
from runtime.result.proof import Proof
from runtime.result.result import Result

CHANGES, TABLE, FINAL = "changes", "table", "final"
MODES = (CHANGES, TABLE, FINAL)
"""What a follower emits: every change of a row; the whole answer; each row once it is complete, and corrections."""

_SECOND = 1_000_000
_NONE = ("0s", timedelta(0))

Ask = Callable[[], Result]
Newest = Callable[[], tuple[int, ...]]
"""The numbers of the last commits of the metric's streams."""


Mark = Callable[[str, int], int | None]
"""The watermark of a stream as of a commit (``StreamWatermark``)."""


@dataclass(frozen=True)
class FollowOptions:
    """How a metric is followed: the store is looked at every ``every`` seconds, and given up after ``idle`` seconds
    without a commit (None: never); ``lateness`` is in microseconds."""

    every: float
    lateness: int
    idle: float | None
    mode: str

    @classmethod
    def of(
        cls, every: str | timedelta, lateness: str | timedelta, idle: str | timedelta | None, mode: str
    ) -> FollowOptions:
        """The options as a caller gives them; QueryError for a wrong one."""
        if mode not in MODES:
            raise QueryError(f"follow: there is no mode {mode!r}; {meant(mode, MODES, 'use')} {', '.join(MODES)}")
        try:
            pause = parse_duration(every, "follow(every)")
            late = 0 if lateness in _NONE else parse_duration(lateness, "follow(lateness)")
            given_up = None if idle is None else parse_duration(idle, "follow(until_idle)") / _SECOND
        except DataflowError as error:
            raise QueryError(str(error)) from None
        return cls(pause / _SECOND, late, given_up, mode)


def followed(
    follower: Follower,
    options: FollowOptions,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[CurrentAnswer]:
    """The answers of a follower, one after the other; between two looks it waits."""
    last = clock()
    while True:
        begun = clock()
        answer = follower.step()
        if answer is not None:
            yield answer
            last = clock()
        elif options.idle is not None and clock() - last >= options.idle:
            return
        wait(max(0.0, options.every - (clock() - begun)))


def check_final(times: RowTimes) -> None:
    """QueryError unless rows are known to be complete some time after they end."""
    if not times.ends:
        raise QueryError(
            "mode 'final' needs rows that end: group by a bucket of time, such as hour=df.time().truncate('1h'), "
            "or use window(...)"
        )
    if times.ahead is None:
        raise QueryError(
            "mode 'final' needs rows that are complete some time after they end, but in this metric points of any "
            "later time can change them (sessions without max_length, rows that depend on other rows of the answer): "
            "use mode 'changes'"
        )


@dataclass
class Follower:
    """Follows the answer that ``ask`` gives; ``newest`` says whether there are new commits.

    ``times`` says when rows end. The watermark is the ``mark`` of the stream as of the commit (of several streams, the
    oldest of theirs), less ``lateness`` microseconds. It labels rows and leaves no point out.
    """

    ask: Ask
    newest: Newest
    mark: Mark
    times: RowTimes
    mode: str = CHANGES
    lateness: int = 0
    watermark: int | None = None
    _seen: tuple[int, ...] | None = None
    _rows: AnswerRows = field(default_factory=AnswerRows)
    _on_time: set[str] = field(default_factory=set)
    """The names of the rows that were emitted on time."""

    def __post_init__(self) -> None:
        if self.mode == FINAL:
            check_final(self.times)

    @property
    def names(self) -> Sequence[str]:
        """What tells the rows of the last answer apart."""
        return self._rows.names

    def state(self) -> dict[str, object]:
        """Where it is, as JSON: see ``restore``."""
        return {
            "seen": self._seen, "watermark": self.watermark, "texts": self._rows.texts, "names": self._rows.names,
            "on_time": sorted(self._on_time),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another follower of the same metric was."""
        self._seen = None if state["seen"] is None else tuple(state["seen"])
        self.watermark, self._on_time = state["watermark"], set(state["on_time"])
        self._rows = AnswerRows([json.loads(text) for text in state["texts"]], state["texts"], state["names"])

    def step(self) -> CurrentAnswer | None:
        """The answer as of now with its changes; None if there was no commit since the last one."""
        newest = self.newest()
        if newest == self._seen:
            return None
        try:
            result = self.ask()
        except SnapshotTooOld:  # a file was replaced while it was about to be read
            return None
        proof = result.proof
        assert isinstance(proof, Proof)
        self._advance(proof)
        rows, passed = AnswerRows.of(result, _identity(result)), self._passed(result)
        if self.mode == FINAL:
            rows, passed = rows.some(passed), [True] * sum(passed)
        snapshot = _snapshot(proof)
        found = [
            RowChange(pane, old, new, pair.left, pair.place, self.watermark, snapshot, proof.result)
            for pane, old, new, pair in self._changed(rows, passed, list(result.columns))
        ]
        self._on_time |= {name for name, is_passed in zip(rows.names, passed, strict=True) if is_passed}
        self._rows, self._seen = rows, newest
        changes = tuple(replace(change, more=len(found) - n) for n, change in enumerate(found, 1))
        return CurrentAnswer(result, self.watermark, snapshot, changes)

    def _advance(self, proof: Proof) -> None:
        """Move the watermark on."""
        snapshots = {s.stream: s.snapshot for s in proof.streams} or {proof.stream: proof.snapshot}
        marks = [self.mark(stream, seq) for stream, seq in snapshots.items()]
        known = [mark for mark in marks if mark is not None]
        if len(known) == len(marks):
            self.watermark = min(known) - self.lateness

    def _passed(self, result: Result) -> list[bool]:
        """Whether the watermark has passed the end of each row; to be final, also all that can change it."""
        ends = ends_of(result, self.times.ends)
        if ends is None or self.watermark is None:
            return [False] * len(result)
        ahead = self.times.ahead if self.mode == FINAL else 0
        return [end != NEVER and end + (ahead or 0) <= self.watermark for end in ends.tolist()]

    def _changed(
        self, rows: AnswerRows, passed: Sequence[bool], columns: Sequence[str]
    ) -> Iterator[tuple[str, Row | None, Row | None, Pair]]:
        """The panes of the rows that went, appeared, changed, moved, or are emitted on time."""
        found = pairs(self._rows, rows)
        unmoved = still(found)
        for pair in found:
            left, place = pair.left, pair.place
            old = None if left is None else dict(zip(columns, self._rows.values[left], strict=True))
            if place is None:
                assert left is not None
                yield LATE if self._rows.names[left] in self._on_time else EARLY, old, None, pair
                continue
            pane = EARLY
            if passed[place]:
                pane = LATE if rows.names[place] in self._on_time else ON_TIME
            is_same = left is not None and self._rows.texts[left] == rows.texts[place] and place in unmoved
            if pane == ON_TIME or not is_same:
                yield pane, old, dict(zip(columns, rows.values[place], strict=True)), pair


def _identity(result: Result) -> Sequence[str]:
    """The columns that tell the rows of a result apart: those that it is ordered by unless it is sorted."""
    plan = getattr(getattr(result.asked, "prepared", None), "plan", None)
    return () if plan is None else plan.order


def _snapshot(proof: Proof) -> Snapshot:
    return {s.stream: s.snapshot for s in proof.streams} if proof.streams else proof.snapshot
