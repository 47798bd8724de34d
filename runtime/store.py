"""`Store`, the public entry point: ingests points into a folder or S3 and queries them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack

from runtime.catalogue import StreamSchema
from runtime.followed_store import FollowedStore
from runtime.moments import Moment, microseconds
from runtime.queried_store import progress_of
from runtime.storage.replaced_files import of_present_files

# Methods import planning and results on demand: a worker only opens files and starts faster without them.
if TYPE_CHECKING:
    from runtime.ingest import IngestReport, Rejected
    from runtime.ingest.inputs.reading import ReadingOptions
    from runtime.ingest.report import SourceReport
    from runtime.live.feeds.feed import Piece
    from runtime.live.watching import Watched
    from runtime.points.describe_points import StreamSummary
    from runtime.points.export_points import ExportReport
    from runtime.progress import Progress
    from runtime.recovery.recover import RecoverReport
    from runtime.result.result import Result
    from runtime.storage.verify_store import VerifyReport


@dataclass(frozen=True)
class StreamInfo:
    """Summary of one stream in a store; times are microseconds UTC, None while there are no points.

    ``days`` is the number of UTC days that its files cover, each from its first to its last point. ``bytes`` and
    ``files`` are with what is carried in at the floor.
    """

    name: str
    schema: StreamSchema
    rows: int
    bytes: int
    files: int
    days: int
    first_time: int | None
    last_time: int | None
    rejected: int
    dropped: int
    sources: int
    quarantined: int


class Store(FollowedStore):
    """A store in the folder or at the s3:// URL ``url``, created by the first ingest (or at first use, with
    ``create``).

    ``s3://bucket/prefix``: the bucket must exist; the catalogue is the DynamoDB table ``antfold``, or ``?table=NAME``,
    which stores may share. Credentials and region come from boto3's usual configuration (profile, region,
    ``AWS_ENDPOINT_URL``), or from ``profile=``, ``region=`` and ``endpoint=`` in the URL.

    Safe to use from several threads and processes. Raises StoreError if there is no store and none may be created.
    """

    # ---- ingest

    def ingest(
        self,
        stream: str,
        *sources: Any,
        key: str | None = None,
        time: str | None = None,
        unit: str | None = None,
        format: str = "auto",
        duplicates: str | None = None,
        id: str | None = None,
        missing_key: str | None = None,
        preset: str | None = None,
        progress: bool | Progress = True,
        compact: bool = True,
        replace: str | bool = False,
        source: str | None = None,
        **reading: Unpack[ReadingOptions],
    ) -> IngestReport:
        """Ingest files (paths, globs, ``-``, open files, tables), each exactly once; see ``runtime.ingest``.

        ``key`` and ``time`` are required for a new stream, unless a ``preset`` (``dataflow formats``) or format knows
        them; an existing stream knows its own. ``reading`` are the options of ``runtime.ingest.Reading``: how records
        are read. With ``compact``, small or overlapping files of the years that the points are in are merged at the end
        where that pays off; see ``runtime.upkeep``. ``replace`` takes back, in the same commit, the source that it
        names (as ``undo`` does; then there is one input), or if True the one that has the name of the new one, if any,
        and the new one itself, if it is there, which is read anew. ``source`` names the one input, in place of its
        bytes and name.
        """
        from runtime.ingest import ingest

        self._create = True
        report = ingest(
            self.objects, self.catalogue, stream, sources, key=key, time=time, unit=unit, format=format,  # type: ignore[arg-type]
            duplicates=duplicates, id=id, missing_key=missing_key, preset=preset,  # type: ignore[arg-type]
            progress=progress_of(progress), replacing=self.replacing(stream, replace) if replace else None,
            source=source, **reading,
        )  # fmt: skip
        return self._after(report, progress) if compact else report

    def _after(self, report: IngestReport, progress: bool | Progress) -> IngestReport:
        from runtime.upkeep.after_ingest import compacted

        return compacted(report, self.compaction(report.stream, progress))

    def watch(
        self,
        stream: str,
        source: str,
        *,
        key: str | None = None,
        time: str | None = None,
        unit: str | None = None,
        format: str = "auto",
        duplicates: str | None = None,
        id: str | None = None,
        missing_key: str | None = None,
        preset: str | None = None,
        compact: bool = True,
        name: str | None = None,
        start: str = "beginning",
        every: str | timedelta = "2s",
        settled: str | timedelta = "10s",
        idle: str | timedelta = "5m",
        until_idle: str | timedelta | None = None,
        connection: Mapping[str, str] | None = None,
        stop: threading.Event | None = None,
        on_commit: Callable[[SourceReport], object] | None = None,
        **reading: Unpack[ReadingOptions],
    ) -> Watched:
        """Ingest what a feed has, and what comes to it, each record exactly once, until it is stopped.

        ``source`` is a folder, a pattern of files, ``s3://bucket/prefix``, ``-`` (standard input) or a named pipe.
        Files of one record a line may grow, be renamed and be cut off (rotated logs); others are taken as a whole. A
        file is complete, as is a line without an end, once it has not changed for ``settled``. Names that begin with a
        dot, or end in ``.part`` or ``.tmp``, are waited for. What is new is committed ``every`` so often.

        A ``source`` like ``kafka://broker:9092/topic?key=device`` is a topic of Kafka with one JSON object a message;
        ``key``, ``timestamp``, ``partition`` and ``offset`` of a message become columns of the names given.
        ``connection`` has more settings of librdkafka by name, such as ``{"security.protocol": "SASL_SSL"}``. One like
        ``kinesis://stream?region=eu-west-1&key=device`` is a stream of Kinesis, with ``shard`` and ``sequence``. One
        like ``mqtt://broker:1883/site/+device/+metric?value=reading`` is topics of MQTT, whose named levels, and
        messages that are one value, become columns (``runtime/LIVE.md``).

        How far the feed was read is in the commits themselves. It is known by ``name`` (by default what ``source``
        names): whoever watches it under that name goes on there, also beside another process. ``start`` is
        "beginning", "end" (what is there at first is left out) or, for a pipe whose producer begins anew,
        "committed" (its first lines are left out, as many as are committed). A piece or file that cannot be read
        is set aside (``dataflow quarantine``). Other options are those of ``ingest``.

        The watermark that ``follow`` goes by waits for each feed of the stream, and for ingests; while others go on, it
        does not wait for one without points for ``idle``, until points come from it again.

        It ends with the feed, once ``stop`` is set, or after ``until_idle`` without anything new. ``on_commit`` is
        called with the report of each commit.
        """
        from runtime.ingest import ingest
        from runtime.live.feeds.opened_feed import message_format, open_feed
        from runtime.live.stream_watermark import QuietPartitions, StreamWatermark
        from runtime.live.watch_stream import StreamWatch
        from runtime.live.watching import Watcher, WatchOptions

        options = WatchOptions.of(every, settled, idle, until_idle, start)
        self._create = True
        given = {
            "key": key, "time": time, "unit": unit, "format": message_format(source, format), "duplicates": duplicates,
            "id": id, "missing_key": missing_key, "preset": preset, **reading,
        }  # fmt: skip

        taken: list[IngestReport] = []

        def take(piece: Piece) -> IngestReport:
            report = ingest(
                self.objects, self.catalogue, stream, [piece.given], position=piece.position, rows=piece.rows, **given  # type: ignore[arg-type]
            )  # fmt: skip
            taken[:] = [report]
            return report

        def after_commit() -> None:
            while compact and taken:
                self._after(taken.pop(), False)

        watch = StreamWatch(self.catalogue, stream, take, given)
        feed = open_feed(
            source, self.catalogue, stream, name=name, start=start, settings=watch.settings(),
            settled=options.settled, connection=connection,
        )  # fmt: skip
        quiet = QuietPartitions(StreamWatermark(self.catalogue, stream, is_kept=True), options.idle)
        watcher = Watcher(
            feed, watch.take, watch.set_aside, options.every, stop or threading.Event(), on_commit,
            lambda: watch.note_quiet(quiet), after_commit,
        )  # fmt: skip
        try:
            return watcher.run(options.until_idle)
        finally:
            feed.close()

    def rejects(self, stream: str) -> list[Rejected]:
        """The rejected records of a stream, source by source, without those that were taken later."""
        from runtime.ingest import rejected

        self.be_known(stream)
        return list(rejected(self.objects, self.catalogue, stream))

    def retry_rejects(
        self, stream: str, *, progress: bool | Progress = True, compact: bool = True, **options: Any
    ) -> IngestReport:
        """Ingest the rejected records of a stream again, each exactly once, with the options of their sources and, over
        them, the given ones: those of ``ingest``. Key, time, duplicates and id are the stream's."""
        from runtime.ingest import MEMORY_ROWS, retry_rejects
        from runtime.ingest.one_source import StreamTarget

        self.be_known(stream)
        target = StreamTarget(self.objects, self.catalogue, stream, MEMORY_ROWS, progress_of(progress), again=True)
        report = retry_rejects(target, options)
        return self._after(report, progress) if compact else report

    # ---- contents

    def streams(self) -> list[StreamInfo]:
        """All streams of the store, by name."""
        out = []
        for name in self.catalogue.streams():
            s = self.catalogue.snapshot(name)
            points = s.points
            days = len({day for f in points for day in range(f.day, f.day + f.days)})
            out.append(
                StreamInfo(
                    name, s.schema, sum(f.rows for f in points), s.total_bytes, s.total_files, days, s.first_time,
                    s.last_time, s.rejected, s.dropped, s.sources, s.quarantined,
                )
            )  # fmt: skip
        return out

    @of_present_files
    def head(self, stream: str, rows: int = 10, since: Moment | None = None, key: str | int | None = None) -> Result:
        """The first points of a stream from ``since`` on, of one ``key`` if given, in the order of time, then of the
        key: its key, time and value columns."""
        from runtime.points.head_points import head
        from runtime.points.point_scan import PointRange

        return head(self, stream, PointRange(microseconds(since, "since"), None, key), rows)

    @of_present_files
    def describe(
        self, stream: str, since: Moment | None = None, until: Moment | None = None, rows: int = 1_000_000
    ) -> StreamSummary:
        """The columns of a stream by its points in [since, until): types, counts, nulls, ranges, most frequent values.

        If there are more than ``rows`` points, about so many are read, of days spread over the range; the summary says
        how many.
        """
        from runtime.points.describe_points import describe
        from runtime.points.point_scan import PointRange

        return describe(self, stream, PointRange(microseconds(since, "since"), microseconds(until, "until")), rows)

    @of_present_files
    def export(
        self,
        stream: str,
        path: str | Path | BinaryIO,
        since: Moment | None = None,
        until: Moment | None = None,
        key: str | int | None = None,
        format: str | None = None,
        force: bool = False,
        progress: bool | Progress = True,
    ) -> ExportReport:
        """Write the points of [since, until), of one ``key`` if given, to a Parquet, CSV or NDJSON file.

        ``format`` is ``"parquet"``, ``"csv"`` or ``"ndjson"``; by default as the name ends, also in ``.csv.gz`` or
        ``.ndjson.zst``. The file appears whole or not at all; one that is there is replaced only with ``force``.
        ``path`` may be a binary file object, which needs a ``format``. Values are exact and columns have their names;
        days follow each other, and each key's points are in the order of time. ``ingest`` reads the file back. See
        ``runtime.display.table_files`` for how each type is written.
        """
        from runtime.points.export_points import export
        from runtime.points.point_scan import PointRange

        wanted = PointRange(microseconds(since, "since"), microseconds(until, "until"), key)
        return export(self, stream, path, wanted, format, force, progress_of(progress))

    def verify(self, progress: bool | Progress = False) -> VerifyReport:
        """Re-read every checksum of the store and check the catalogue against it."""
        from runtime.points.stored_repeats import repeats_in
        from runtime.storage.verify_store import verify

        return verify(self.objects, self.catalogue, progress=progress_of(progress), repeats_in=repeats_in)

    def recover(self, copy: str | Path | None = None) -> RecoverReport:
        """Rebuild a lost or damaged catalogue, while the store is not in use; see ``runtime.recovery.recover``."""
        from runtime.recovery.recover import recover

        self.close()
        return recover(self.url, copy)
