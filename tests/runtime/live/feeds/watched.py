"""Watches that look when they are told to, on a clock of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.ingest import IngestReport, ingest
from runtime.ingest.report import SourceReport
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.opened_feed import open_feed
from runtime.live.watch_stream import StreamWatch
from runtime.live.watching import Watcher

STREAM = "p"
OPTIONS: dict[str, Any] = {
    "key": "k", "time": "t", "unit": "s", "format": "auto", "duplicates": None, "id": None, "missing_key": None,
    "preset": None,
}  # fmt: skip


def lines(*numbers: int, key: str = "a") -> str:
    """Records, one a line; the number is the time."""
    return "".join(json.dumps({"k": key, "t": n, "n": n}) + "\n" for n in numbers)


def numbers_in(store: Store) -> list[int]:
    """The numbers of the points that are in the store, each as often as it is there."""
    if STREAM not in store.catalogue.streams():
        return []
    found = store.query(df.stream(STREAM).select("n"), progress=False)["n"]
    return sorted(n for n in found if isinstance(n, int))


class Watch:
    """A watch of a folder in a process that may end at any time: then another one begins."""

    def __init__(self, store: Store, source: Path | str, **options: Any) -> None:
        self.now = 0.0
        self.reports: list[SourceReport] = []
        given = {**OPTIONS, **{n: v for n, v in options.items() if n in OPTIONS}}
        reading = {n: v for n, v in options.items() if n not in OPTIONS and n not in ("start", "name")}

        def take(piece: Piece) -> IngestReport:
            return ingest(
                store.objects, store.catalogue, STREAM, [piece.given], position=piece.position, rows=piece.rows,
                **given, **reading,
            )  # fmt: skip

        store._create = True
        self.stream = StreamWatch(store.catalogue, STREAM, take, {**given, **reading})
        feed = open_feed(
            str(source), store.catalogue, STREAM, name=options.get("name"), start=options.get("start", "beginning"),
            settings=self.stream.settings(), settled=10.0,
        )  # fmt: skip
        assert isinstance(feed, FolderFeed)
        self.feed = feed
        feed._clock = lambda: self.now
        self.watcher = Watcher(feed, self.stream.take, self.stream.set_aside, on_commit=self.reports.append)

    def look(self, times: int = 1, seconds: float = 1.0) -> list[tuple[str, int]]:
        """Let it look; what was committed: the status and the number of points."""
        self.reports.clear()
        for _ in range(times):
            self.watcher.look()
            self.now += seconds
        return [(r.status, r.committed) for r in self.reports]


def check_scenarios(law: Callable[[Any], object], scenarios: Iterable[Any], plant: Callable[[], object] | None) -> None:
    """The law holds in each scenario; with a mutant to plant, it fails in one of them."""
    if plant is not None:
        plant()
    with nullcontext() if plant is None else pytest.raises((AssertionError, DataflowError)):
        for events in scenarios:
            law(events)


def names(reports: Sequence[SourceReport]) -> list[str]:
    return [Path(r.name).name for r in reports]
