"""Follows the answer of a metric from commit to commit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from dataflow.language.triggers import Trigger, check_ends
from dataflow.plan.row_times import RowTimes
from dataflow.times.durations import parse_duration
from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.nearest import meant
from runtime.errors import QueryError, SnapshotTooOld
from runtime.live.firing import EACH_COMMIT, HeldBack, fires, shortest
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
_LOOKS = 5.0
"""Seconds between two looks where nothing is said."""

Ask = Callable[[], Result]
Newest = Callable[[], tuple[int, ...]]
"""The numbers of the last commits of the metric's streams."""

Points = Callable[[tuple[int, ...], tuple[int, ...]], int]
"""How many points the commits between two looks have, by the numbers of the last ones."""

Mark = Callable[[str, int], int | None]
"""The watermark of a stream as of a commit (``StreamWatermark``)."""


@dataclass(frozen=True)
class FollowOptions:
    """How a metric is followed: the store is looked at every ``every`` seconds (None: as ``pause`` says), and given up
    after ``idle`` seconds without a commit (None: never); ``lateness`` is in microseconds; ``trigger`` None is that of
    the published query."""

    every: float | None
    lateness: int
    idle: float | None
    mode: str
    trigger: Trigger | None = None

    @classmethod
    def of(
        cls, every: str | timedelta | None, lateness: str | timedelta, idle: str | timedelta | None, mode: str,
        trigger: Trigger | None = None,
    ) -> FollowOptions:  # fmt: skip
        """The options as a caller gives them; QueryError for a wrong one."""
        if mode not in MODES:
            raise QueryError(f"follow: there is no mode {mode!r}; {meant(mode, MODES, 'use')} {', '.join(MODES)}")
        if trigger is not None and not isinstance(trigger, Trigger):
            raise QueryError(
                f"follow: a trigger is df.trigger(...), such as df.trigger(rows=1000), not {shown(trigger)}"
            )
        try:
            looks = None if every is None else parse_duration(every, "follow(every)") / _SECOND
            late = 0 if lateness in _NONE else parse_duration(lateness, "follow(lateness)")
            given_up = None if idle is None else parse_duration(idle, "follow(until_idle)") / _SECOND
        except DataflowError as error:
            raise QueryError(str(error)) from None
        return cls(looks, late, given_up, mode, trigger)

    def pause(self, trigger: Trigger) -> float:
        """Seconds between two looks."""
        return self.every or min(_LOOKS, shortest(trigger) or _LOOKS)


def followed(
    follower: Follower,
    options: FollowOptions,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[CurrentAnswer]:
    """The answers of a follower, one after the other; between two looks it waits. What waits at the end comes last."""
    pause, last = options.pause(follower.trigger), clock()
    while True:
        begun, seen = clock(), follower.looked
        answer = follower.step()
        if answer is not None:
            yield answer
        if answer is not None or follower.looked != seen:
            last = clock()
        elif options.idle is not None and clock() - last >= options.idle:
            rest = follower.step(is_last=True)
            if rest is not None:
                yield rest
            if not follower.is_behind:
                return
        wait(max(0.0, pause - (clock() - begun)))


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


@dataclass(frozen=True)
class _Compared:
    """An answer beside the last one that was emitted; ``newest`` are the commits at which it was asked for."""

    newest: tuple[int, ...]
    answer: CurrentAnswer
    rows: AnswerRows
    on_time: frozenset[str]
    """The names of the rows whose end has passed."""


@dataclass
class Follower:
    """Follows the answer that ``ask`` gives; ``newest`` says whether there are new commits.

    ``times`` says when rows end. The watermark is the ``mark`` of the stream as of the commit (of several streams, the
    oldest of theirs), less ``lateness`` microseconds. It labels rows and leaves no point out.

    ``trigger`` says when an answer is emitted; ``points`` counts the points of the commits between two looks. What it
    does not emit stays to be emitted: changes are always those since the last answer that was.
    """

    ask: Ask
    newest: Newest
    mark: Mark
    times: RowTimes
    mode: str = CHANGES
    lateness: int = 0
    trigger: Trigger = EACH_COMMIT
    points: Points = lambda before, now: 0
    clock: Callable[[], float] = time.monotonic
    watermark: int | None = None
    looked: tuple[int, ...] | None = None
    """The commits that the last look found."""

    _seen: tuple[int, ...] | None = None
    """Those of the last answer that was emitted."""

    _rows: AnswerRows = field(default_factory=AnswerRows)
    _on_time: set[str] = field(default_factory=set)
    """The names of the rows that were emitted on time."""

    _emitted: float | None = None
    _waiting: _Compared | None = None

    def __post_init__(self) -> None:
        if self.mode == FINAL:
            check_final(self.times)
        check_ends(self.trigger, self.times)

    @property
    def names(self) -> Sequence[str]:
        """What tells the rows of the last answer apart."""
        return self._rows.names

    @property
    def is_behind(self) -> bool:
        """Whether the last look found commits of which nothing was emitted yet."""
        return self.looked != self._seen

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

    def step(self, is_last: bool = False) -> CurrentAnswer | None:
        """The answer as of now with its changes; None if there was no commit since the last one, or the trigger does
        not fire. With ``is_last``, what waits is emitted whether it fires or not."""
        begun = self.clock()
        newest = self.looked = self.newest()
        if newest == self._seen or not (is_last or self._fires(begun, newest)):
            return None
        found = self._compared(newest)
        if found is None:
            return None
        self._on_time |= found.on_time
        self._rows, self._seen, self._emitted, self._waiting = found.rows, newest, begun, None
        return found.answer

    def _fires(self, now: float, newest: tuple[int, ...]) -> bool:
        def panes() -> set[str]:
            found = self._compared(newest)
            return set() if found is None else {change.pane for change in found.answer.changes}

        seconds = math.inf if self._emitted is None else now - self._emitted
        seen = self._seen or (0,) * len(newest)
        return fires(self.trigger, HeldBack(seconds, lambda: self.points(seen, newest), panes))

    def _compared(self, newest: tuple[int, ...]) -> _Compared | None:
        """The answer as of now, beside the last one that was emitted; None if a file was replaced while it was about to
        be read."""
        if self._waiting is not None and self._waiting.newest == newest:
            return self._waiting
        try:
            result = self.ask()
        except SnapshotTooOld:
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
        changes = tuple(replace(change, more=len(found) - n) for n, change in enumerate(found, 1))
        answer = CurrentAnswer(result, self.watermark, snapshot, changes)
        ended = frozenset(name for name, is_passed in zip(rows.names, passed, strict=True) if is_passed)
        self._waiting = _Compared(newest, answer, rows, ended)
        return self._waiting

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
