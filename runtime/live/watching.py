"""Watches a feed: what is new becomes commits, each exactly once, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from dataflow.times.durations import parse_duration
from operators.errors import DataflowError
from operators.nearest import meant
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest.report import SourceReport
from runtime.live.feeds.feed import Feed, Piece
from runtime.live.feeds.opened_feed import STARTS

_SECOND = 1_000_000

Take = Callable[[Piece], Sequence[SourceReport]]
"""Ingests a piece, with its position, as one commit; of an archive, each file in it is one."""


@dataclass(frozen=True)
class WatchOptions:
    """How a feed is watched, in seconds: how often it is looked at, after how long without change a file is complete,
    and without points the watermark does not wait for a partition, and when it is given up (None: never)."""

    every: float
    settled: float
    idle: float
    until_idle: float | None

    @classmethod
    def of(
        cls,
        every: str | timedelta,
        settled: str | timedelta,
        idle: str | timedelta,
        until_idle: str | timedelta | None,
        start: str,
    ) -> WatchOptions:
        """The options as a caller gives them; IngestError for a wrong one."""
        if start not in STARTS:
            raise IngestError(f"watch: there is no start {start!r}; {meant(start, STARTS, 'use')} {', '.join(STARTS)}.")
        try:
            return cls(
                parse_duration(every, "watch(every)") / _SECOND,
                parse_duration(settled, "watch(settled)") / _SECOND,
                parse_duration(idle, "watch(idle)") / _SECOND,
                None if until_idle is None else parse_duration(until_idle, "watch(until_idle)") / _SECOND,
            )
        except DataflowError as error:
            raise IngestError(str(error)) from None


@dataclass
class Watched:
    """What a watch has done so far."""

    sources: int = 0
    rows: int = 0
    rejected: int = 0
    set_aside: int = 0


@dataclass
class Watcher:
    """Watches ``feed``: ``take`` ingests a piece, ``set_aside`` puts one that cannot be read into quarantine.

    ``on_commit`` is called with each report, ``note_quiet`` after each look. It stops once ``stop`` is set, with the
    commit that is under way.
    """

    feed: Feed
    take: Take
    set_aside: Callable[[Piece, IngestError], SourceReport | None]
    every: float = 2.0
    stop: threading.Event = field(default_factory=threading.Event)
    on_commit: Callable[[SourceReport], object] | None = None
    note_quiet: Callable[[], object] = lambda: None
    after_commit: Callable[[], object] = lambda: None
    """Called once the feed knows of a commit: it must not wait for the upkeep behind it."""

    done: Watched = field(default_factory=Watched)

    def __post_init__(self) -> None:
        self.feed.stopping = self.stop.is_set

    def run(self, idle: float | None = None) -> Watched:
        """Watch until the feed ends, ``stop`` is set, or nothing came for ``idle`` seconds."""
        last = time.monotonic()
        while not self.stop.is_set():
            before, begun = self.done.sources + self.done.set_aside, time.monotonic()
            self.look()
            self.note_quiet()
            if self.feed.ended:
                break
            now = time.monotonic()
            if self.done.sources + self.done.set_aside > before:
                last = now
            if idle is not None and now - last >= idle and not self.feed.is_behind:
                break
            # A look takes that long by itself where messages were waited for.
            self.stop.wait(max(0.0, begun + self.every - now))
        return self.done

    def look(self) -> None:
        """Take what is new."""
        for piece in self.feed.pieces(self.every):
            try:
                reports = self.take(piece) if piece.error is None else [_unreadable(piece)]
            except SchemaConflict:
                raise
            except IngestError as error:
                aside = self.set_aside(piece, error)
                if aside is None:
                    continue
                reports = [aside]
            if piece.chain is not None and reports[0].status == "already ingested":
                self.feed.taken(piece)
            else:
                self.feed.committed(piece)
                for report in reports:
                    self._count(report)
                    if self.on_commit is not None:
                        self.on_commit(report)
                self.after_commit()
            if self.stop.is_set():
                return

    def _count(self, report: SourceReport) -> None:
        if report.status == "failed":
            self.done.set_aside += 1
        elif report.status == "ingested":
            self.done.sources += 1
            self.done.rows += report.committed
            self.done.rejected += report.rejected


def _unreadable(piece: Piece) -> SourceReport:
    return SourceReport(piece.given.name, "unreadable", error=piece.error)
