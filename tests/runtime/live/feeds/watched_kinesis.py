"""Watches of a stream of Kinesis in memory, on its clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime import Store
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.aws.retry import Budget
from runtime.ingest.report import SourceReport
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.kinesis_feed import KinesisFeed
from runtime.live.feeds.kinesis_stream import KinesisAddress, KinesisStream
from tests.runtime.live.feeds.fake_kinesis import FakeStream
from tests.runtime.live.feeds.watched import STREAM, Watch

ADDRESS = "kinesis://s"


class WatchingKinesis:
    """A watcher of a stream, which may end at any time: then another one begins. The clock is the stream's."""

    def __init__(self, store: Store, folder: Path, stream: FakeStream, source: str = ADDRESS, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.watch, self.stream = Watch(store, folder, format="ndjson"), stream
        client = Client("kinesis", Access(), Budget(seconds=0.0))
        client._client = stream
        self.feed = KinesisFeed(
            KinesisStream("s", client), KinesisAddress.of(source),
            lambda part: SourceChain(store.catalogue, STREAM, part, part),
            clock=lambda: stream.now, sleep=self._sleep, **options,
        )  # fmt: skip
        take = self.watch.watcher.take

        def taken(piece: Piece) -> SourceReport:
            stream.commits.step()
            report = take(piece)
            stream.commits.step()
            return report

        self.watch.watcher.feed, self.watch.watcher.take = self.feed, taken

    def _sleep(self, seconds: float) -> None:
        self.stream.now += max(seconds, 0.01)

    def look(self, times: int = 1) -> list[tuple[str, int]]:
        """What was committed that has points, or failed."""
        self.watch.watcher.every = 2.0
        return [(status, rows) for status, rows in self.watch.look(times) if rows or status != "ingested"]
