"""``dataflow ingest``: reads points into a store."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.commands.shared import Command, UsageError, shown_progress, store_argument

_UNITS = ("s", "ms", "us", "ns", "iso")
_FORMATS = ("auto", "ndjson", "json", "csv", "parquet")
_DUPLICATES = ("keep", "exact", "latest")


def _ingest_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("files", metavar="FILE", nargs="+", help="files, or - for standard input; .gz and .zst too")
    parser.add_argument("--key", metavar="K", help="the field that names the device, account or user")
    parser.add_argument("--time", metavar="T", help="the field that holds the event time")
    parser.add_argument("--unit", choices=_UNITS, help="of numeric times; ISO-8601 text needs none")
    parser.add_argument("--format", choices=_FORMATS, default="auto", help="of the files (default: detected)")
    parser.add_argument(
        "--duplicates",
        choices=_DUPLICATES,
        help="points of equal key and time: keep all (default), drop exact repeats, or the latest wins by column",
    )
    parser.add_argument("--id", metavar="COLUMN", help="a column whose values count once per key and day")
    parser.add_argument("--missing-key", metavar="NAME", help="the key of points without one (default: reject them)")


def _ingest(options: argparse.Namespace) -> int:
    from runtime import Store

    store = Store(options.store, create=True)
    key, time = options.key, options.time
    if key is None or time is None:
        known = next((s for s in store.streams() if s.name == options.stream), None)
        if known is None:
            raise UsageError(f"the stream {options.stream} is new: --key and --time are needed")
        key, time = key or known.schema.key, time or known.schema.time
    with _ended_by_signal(), shown_progress() as progress:
        report = store.ingest(
            options.stream,
            *options.files,
            key=key,
            time=time,
            unit=options.unit,
            format=options.format,
            duplicates=options.duplicates,
            id=options.id,
            missing_key=options.missing_key,
            progress=progress,
        )
    print(report)
    return 0


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: report what was committed, discard the rest."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


COMMANDS: dict[str, Command] = {
    "ingest": Command(
        "read points from files into a stream; each file counts once",
        "dataflow ingest ./store telemetry points.ndjson.gz --key device --time ts --unit ms",
        _ingest_arguments,
        _ingest,
    ),
}
