"""An answer that is followed while a store changes: points of any age, undos, replacements, erasures, compactions,
retention, and followers that are begun again. The store, its kernels and the follower are the product's own.

Every answer is compared with the whole query at that snapshot, which reads all files and no kept state; at the end,
with that of another store, which only has the points that are left. ``FollowedHistory(folder, seed).play()`` repeats a
run.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from dataflow.plan.row_times import row_times
from operators.errors import DataflowError
from runtime import Store
from runtime.errors import QueryError
from runtime.ingest.inputs.identity import declared_identity
from runtime.live import CurrentAnswer, RowChange
from runtime.live.following import MODES, Follower, check_final
from runtime.result.result import Result
from runtime.upkeep.retaining import retain_in_steps
from tests.runtime.upkeep.small_constants import small_constants
from tests.simulator.followed_metrics import DAY, GAP, SOURCES, metrics
from tests.simulator.world import Violation

Row = Mapping[str, Any]
LATENESS = {"0s": 0, "10m": GAP, "1d": DAY}


class FollowedHistory:
    """One run; ``names`` are the metrics of which it follows one."""

    def __init__(self, folder: Path, seed: int, names: tuple[str, ...] = ()) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.name = self.random.choice(names or tuple(metrics()))
        self.stream, self.metric = metrics()[self.name]
        self.source = SOURCES[self.stream]
        self.mode = self.random.choice(MODES)
        try:
            check_final(row_times(self.metric.steps))
        except QueryError:
            self.mode = self.random.choice(MODES[:2])
        self.lateness = self.random.choice(tuple(LATENESS))
        self.since = self.random.choice((None, None, self.source.begin, self.source.begin + DAY))
        self.newest = self.source.begin
        self.left: dict[str, list[dict[str, Any]]] = {}
        self.count = 0
        self.erased: set[Any] = set()
        self.mark = 0
        """The newest event time that ever came, also if it was taken back since."""

        self.is_retained = False
        self.rows: list[Row] = []
        self.changes: list[RowChange] = []
        self.emitted: set[tuple[str, ...]] = set()

    def play(self) -> Counter[str]:
        """What happened; raises ``Violation``."""
        with small_constants() if self.random.random() < 0.5 else nullcontext():
            self._play()
        return self.seen

    def _play(self) -> None:
        self.store = Store(self.folder / "kept", create=True)
        try:
            self._put(self.source.first())
            self.follower = self._follower()
            for _ in range(self.random.randint(3, 9)):
                self._event()
                if self.random.random() < 0.6 and not self._look():
                    return
            if self._look():
                self._check_end()
        except Violation as error:
            raise Violation(f"{self.name}, mode {self.mode}: {error}") from error
        finally:
            self.store.close()

    # ---- what happens

    def _event(self) -> None:
        events: dict[str, Callable[[], None]] = {
            "points": lambda: self._put(self._points()),
            "undo": self._undo,
            "replace": self._replace,
            "compact": lambda: self._compact(),
            "compact all": lambda: self._compact(whole=True),
            "retain": self._retain,
            "erase": self._erase,
            "begun again": self._begin_again,
            "begun anew": self._begin_anew,
        }
        weights = (10, 3, 2, 2, 1, 1, 1, 2, 1)
        name = self.random.choices(sorted(events, key=list(events).index), weights)[0]
        events[name]()
        self.seen[name] += 1

    def _points(self) -> list[dict[str, Any]]:
        points = self.source.points(self.random, self.newest)
        self.newest = max(self.newest, *(int(point[self.source.time]) for point in points))
        return points

    def _put(self, points: list[dict[str, Any]], replace: str | None = None) -> None:
        name, self.count = f"part {self.count}", self.count + 1
        self._ingest(self.store, name, points, replace)
        self.left[name] = [point for point in points if point[self.source.key] not in self.erased]
        self.mark = max(self.mark, *(int(point[self.source.time]) for point in self.left[name]), 0)

    def _ingest(self, store: Store, name: str, points: list[dict[str, Any]], replace: str | None = None) -> None:
        store.ingest(
            self.stream, self.source.table(points), key=self.source.key, time=self.source.time, unit="us", source=name,
            compact=False, progress=False, replace=False if replace is None else declared_identity(replace),
        )  # fmt: skip

    def _some(self) -> str | None:
        names = list(self.left)[1:]
        return self.random.choice(names[-3:]) if names else None

    def _undo(self) -> None:
        if (name := self._some()) is not None:
            with self._refused_if_retired():
                self.store.undo(self.stream, declared_identity(name))
                del self.left[name]

    def _replace(self) -> None:
        if (name := self._some()) is not None:
            with self._refused_if_retired():
                self._put(self._points(), name)
                del self.left[name]

    @contextmanager
    def _refused_if_retired(self) -> Iterator[None]:
        """What was retired in part cannot be taken back."""
        try:
            yield
        except QueryError as error:
            if not self.is_retained or "cannot be taken back" not in str(error):
                raise
            self.seen["retired, not taken back"] += 1

    def _compact(self, whole: bool = False) -> None:
        upkeep = self.store.compaction(self.stream, False)
        if whole:
            upkeep.everything()
        else:
            upkeep.what_is_due(goes_on=lambda rows: self.random.random() < 0.8)

    def _retain(self) -> None:
        """The floor is raised: the range begins below it, or behind it."""
        keep = self.random.choice((1, 3, 40)) * DAY
        snapshot = lambda: self.store.catalogue.snapshot(self.stream)  # noqa: E731
        done, _ = retain_in_steps(self.store.taking_back(self.stream), snapshot, keep, 1, lambda rows: True)
        self.is_retained |= bool(done)
        self.seen["floor raised"] += bool(done)

    def _erase(self) -> None:
        """A key goes, with what comes of it later; the first one stays, for the types of the columns."""
        key = self.random.choice(self.source.keys[1:])
        there = {point[self.source.key] for points in self.left.values() for point in points}
        if key in there:
            self.store.erase(self.stream, key)
            self.erased.add(key)
            for name, points in self.left.items():
                self.left[name] = [point for point in points if point[self.source.key] != key]

    # ---- who follows

    def _follower(self) -> Follower:
        return self.store.follower(self.metric, self.since, lateness=self.lateness, mode=self.mode)  # type: ignore[arg-type]

    def _begin_again(self) -> None:
        """The process of the follower ends, and another one goes on with its state."""
        state = json.loads(json.dumps(self.follower.state()))
        self.store.close()
        self.store = Store(self.folder / "kept")
        self.follower = self._follower()
        self.follower.restore(state)

    def _begin_anew(self) -> None:
        """Begin another follower, as in a new process: with nothing but what the store keeps."""
        self.store.close()
        self.store = Store(self.folder / "kept")
        self.follower = self._follower()
        self.rows, self.changes, self.emitted = [], [], set()

    def _look(self) -> bool:
        """The follower looks; False if the metric cannot be asked of this store."""
        try:
            whole = self.store.query(self.metric, self.since, workers=1, progress=False)
        except DataflowError as error:
            return self._refused(error)
        answer = self.follower.step()
        if answer is not None:
            self._apply(answer)
            self._compare(answer, whole)
            self.seen["answer compared"] += 1
        if self.follower.step() is not None:
            raise Violation("an answer without a commit")
        if self.mode != "final" and text_of(self.rows) != text_of(rows_of(whole)):
            raise Violation(f"{self.rows} were emitted, not {rows_of(whole)}")
        return True

    def _refused(self, error: DataflowError) -> bool:
        try:
            self.follower._seen = None
            self.follower.step()
        except type(error):
            self.seen["refused"] += 1
            return False
        raise Violation(f"the query was refused, its follower was not: {error}") from error

    def _apply(self, answer: CurrentAnswer) -> None:
        """Take out the rows that went, put in those that came."""
        if answer.watermark != (mark := self.mark - LATENESS[self.lateness]):
            raise Violation(f"the watermark is {answer.watermark}, not {mark}")
        gone = {c.left: c.old for c in answer.changes if c.left is not None}
        if any(place >= len(self.rows) or text_of([self.rows[place]]) != text_of([old]) for place, old in gone.items()):
            raise Violation(f"changes are not of the rows that are there: {gone}, {self.rows}")
        self.rows = [row for place, row in enumerate(self.rows) if place not in gone]
        for change in sorted((c for c in answer.changes if c.place is not None), key=lambda c: c.place or 0):
            assert change.place is not None
            assert change.new is not None
            self.rows.insert(change.place, change.new)
        self.changes += answer.changes
        self.seen.update(f"pane {c.pane}" for c in answer.changes)

    def _compare(self, answer: CurrentAnswer, whole: Result) -> None:
        """The changes are those of the whole query, byte for byte, and so is the proof."""
        right = rows_of(whole)
        proof = whole.proof.to_dict()["result"]
        if answer.proof != proof or {c.proof for c in answer.changes} - {proof}:
            raise Violation(f"the proof is {answer.proof}, not {proof}: {answer.to_dict()['rows']}, not {right}")
        if self.mode == "final":
            there = iter([text_of([row]) for row in right])
            if not all(text_of([row]) in there for row in self.rows):
                raise Violation(f"{self.rows} are not complete rows of {right}")
        elif text_of(self.rows) != text_of(right):
            raise Violation(f"the changes lead to {self.rows}, not {right}")
        on_time = Counter(self._row_name(answer, c.new) for c in answer.changes if c.pane == "on_time")
        again = [name for name in on_time if name in self.emitted]
        if again and self._is_named(answer):
            raise Violation(f"on time again: {again}")
        self.emitted |= set(on_time)

    def _is_named(self, answer: CurrentAnswer) -> bool:
        """Whether the columns that a row is known by tell all rows apart."""
        names = [self._row_name(answer, row) for row in rows_of(answer.result)]
        return len(set(names)) == len(names)

    def _row_name(self, answer: CurrentAnswer, row: Row | None) -> tuple[str, ...]:
        order = getattr(getattr(getattr(answer.result.asked, "prepared", None), "plan", None), "order", ())
        assert row is not None
        by = order if order and set(order) <= set(row) else row
        return tuple(json.dumps(row[name], default=str) for name in by)

    def _check_end(self) -> None:
        """A store that only has what is left gives the same."""
        if self.is_retained or self.mode == "final":
            return
        with Store(self.folder / "plain", create=True) as plain:
            for name, points in self.left.items():
                if points:
                    self._ingest(plain, name, points)
            right = plain.query(self.metric, self.since, workers=1, progress=False)
        if text_of(rows_of(right)) != text_of(self.rows):
            raise Violation(f"the changes lead to {self.rows}; what is left gives {rows_of(right)}")
        self.seen["end compared"] += 1


def rows_of(result: Result) -> list[Row]:
    """The rows of an answer as changes have them."""
    rows = result.to_dict()["rows"]
    assert isinstance(rows, list)
    return [dict(zip(result.columns, row, strict=True)) for row in rows]


def text_of(rows: Sequence[Row | None]) -> str:
    """Rows as text, to the byte; a follower that is begun again has decimals as text, too."""
    return json.dumps(rows, default=lambda value: format(value, "f"))
