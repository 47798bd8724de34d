"""The commands of the console script: their arguments, and what they call."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.columns import Column
    from runtime.progress import Progress
    from runtime.provenance import Explanation

_TERMINAL_ROWS = 200
_UNITS = ("s", "ms", "us", "ns", "iso")
_FORMATS = ("auto", "ndjson", "json", "csv", "parquet")
_DUPLICATES = ("keep", "exact", "latest")


class UsageError(Exception):
    """Arguments that contradict each other; the script shows the usage and exits with 2."""


@dataclass(frozen=True)
class Command:
    """One command: a line on what it does, an example, its arguments and its action (returns the exit code)."""

    about: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# ---- what the commands share


def _store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="the store: a folder, or s3://bucket/prefix")


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return number


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form name=value")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, parsed if isinstance(parsed, (int, float, bool, str)) else value


def _row(text: str) -> dict[str, str]:
    """``firmware=1.0,day=2024-03-01``; a comma that no ``name=`` follows belongs to the value."""
    out: dict[str, str] = {}
    last = None
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name:
            out[name], last = value, name
        elif last is not None:
            out[last] += f",{part}"
        else:
            raise argparse.ArgumentTypeError(f"'{text}' is not of the form column=value,column=value")
    return out


@contextmanager
def _progress() -> Iterator[Progress]:
    """Progress on a terminal, gone before anything else is printed."""
    from runtime.progress import TerminalProgress, progress_for

    progress = progress_for(True)
    try:
        yield progress
    finally:
        if isinstance(progress, TerminalProgress):
            progress.close()


def use_color() -> bool:
    """Whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show_table(columns: Mapping[str, Column]) -> None:
    """Print columns: fitted to a terminal, whole when piped."""
    from runtime.table import text_table

    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        print(text_table(columns, width=width, color=use_color(), max_rows=_TERMINAL_ROWS))
    else:
        print(text_table(columns))


def show_json(value: object) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain))


def _plain(value: object) -> str:
    """A decimal as text with all of its places: not every reader of JSON keeps its digits otherwise."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(value)


# ---- ingest


def _ingest_arguments(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("files", metavar="FILE", nargs="+", help="files, or - for standard input; .gz and .zst too")
    parser.add_argument("--key", metavar="K", help="the field that names the device, account or user")
    parser.add_argument("--time", metavar="T", help="the field that holds the event time")
    parser.add_argument("--unit", choices=_UNITS, help="of numeric times; ISO-8601 text needs none")
    parser.add_argument("--format", choices=_FORMATS, default="auto", help="of the files (default: look inside)")
    parser.add_argument(
        "--duplicates",
        choices=_DUPLICATES,
        help="points of equal key and time: keep all (default), drop exact repeats, or the latest wins by column",
    )
    parser.add_argument("--id", metavar="COLUMN", help="a column whose values count once per key and day")
    parser.add_argument("--missing-key", metavar="NAME", help="the key to give to points without one")


def _ingest(options: argparse.Namespace) -> int:
    from runtime import Store

    store = Store(options.store, create=True)
    key, time = options.key, options.time
    if key is None or time is None:
        known = next((s for s in store.streams() if s.name == options.stream), None)
        if known is None:
            raise UsageError(f"the stream {options.stream} is new: --key and --time are needed")
        key, time = key or known.schema.key, time or known.schema.time
    with _progress() as progress:
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


# ---- query, explain


def _metric(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("metric", metavar="METRIC", help="file.py:name, or a JSON file")
    parser.add_argument("--since", metavar="TIME", help="start of the range, ISO-8601 UTC (default: the first point)")
    parser.add_argument("--until", metavar="TIME", help="end of the range, exclusive (default: just past the last)")
    parser.add_argument(
        "--param", metavar="k=v", type=_parameter, action="append", default=[], help="a parameter of the metric"
    )
    parser.add_argument("--workers", metavar="N", type=_positive, help="threads (default: one per core)")


def _query_arguments(parser: argparse.ArgumentParser) -> None:
    _metric(parser)
    parser.add_argument(
        "--executor", metavar="NAME", help="threads (default), lambda, or lambda:FUNCTION, on a store in S3"
    )
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="of the answer")
    parser.add_argument("--plot", metavar="FILE", help="also draw a chart: .png, .svg or .html")
    parser.add_argument(
        "--why",
        metavar="COLUMN=VALUE[,COLUMN=VALUE]",
        type=_row,
        help="instead of the answer what is behind one row of it: keys, intervals, files",
    )
    parser.add_argument(
        "--why-rows", metavar="N", type=_positive, default=1000, help="of those behind it, show so many (default 1000)"
    )


def _query(options: argparse.Namespace) -> int:
    from deploy.metric_file import load_metric
    from runtime import Store

    plot = Path(options.plot) if options.plot else None
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".html"):
        raise UsageError(f"--plot {plot}: end the file's name in .png, .svg or .html")
    metric = load_metric(options.metric)
    with _progress() as progress:
        result = Store(options.store).query(
            metric,
            since=options.since,
            until=options.until,
            params=dict(options.param),
            executor=options.executor,
            workers=options.workers,
            progress=progress,
        )
    if options.why is not None:
        _show_why(result.explain(options.why, options.why_rows), options.format)
    elif options.format == "json":
        show_json(result.to_dict())
    elif options.format == "csv":
        sys.stdout.write(result.to_csv() or "")
    else:
        show_table(result.columns)
    if plot is not None:
        result.plot(plot)
        print(f"chart written to {plot}", file=sys.stderr)
    return 0


def _show_why(why: Explanation, form: str) -> None:
    if form == "json":
        show_json(why.to_dict())
    elif form == "csv":
        sys.stdout.write(why.rows.to_csv() or "")
    elif sys.stdout.isatty():
        print(why.to_text(width=shutil.get_terminal_size().columns, color=use_color(), max_rows=_TERMINAL_ROWS))
    else:
        print(why.to_text(all_files=True))


def _explain(options: argparse.Namespace) -> int:
    from deploy.metric_file import load_metric
    from runtime import Store

    metric = load_metric(options.metric)
    store = Store(options.store)
    print(
        store.explain(
            metric, since=options.since, until=options.until, params=dict(options.param), workers=options.workers
        )
    )
    return 0


# ---- streams, files, verify


def _listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table", help="of the list")


def _store_listing(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    _listing(parser)


def _streams(options: argparse.Namespace) -> int:
    from deploy.listing import stream_text, streams_json
    from runtime import Store

    streams = list(Store(options.store).streams())
    if options.format == "json":
        show_json(streams_json(streams))
        return 0
    print("\n\n".join(stream_text(s) for s in streams) or "no streams yet: dataflow ingest makes them")
    return 0


def _files_arguments(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    _listing(parser)


def _files(options: argparse.Namespace) -> int:
    from deploy.listing import files_columns, files_json
    from runtime import Store

    files = Store(options.store).files(options.stream)
    if options.format == "json":
        show_json(files_json(files))
    else:
        show_table(files_columns(files))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from runtime import Store

    with _progress() as progress:
        report = Store(options.store).verify(progress=progress)
    if options.format == "json":
        show_json(report.to_dict())
    else:
        print(report)
    return 0 if report.ok else 1


# ---- simulate, demo


def _fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", metavar="N", type=_positive, default=300, help="in the fleet (default 300)")
    parser.add_argument("--days", metavar="D", type=_positive, default=7, help="that it is watched (default 7)")
    parser.add_argument("--seed", metavar="S", type=int, default=7, help="equal seeds give equal bytes (default 7)")


def fleet_of(options: argparse.Namespace) -> Any:
    """The fleet that the options describe."""
    from deploy.simulate import Fleet

    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give a whole number, 0 or above")
    if options.days > 10_000 or options.devices > 10_000_000:
        raise UsageError("a fleet has at most 10,000,000 devices and 10,000 days")
    return Fleet(options.devices, options.days, options.seed)


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="a new or empty folder for the files and truth.json")
    _fleet(parser)


def _simulate(options: argparse.Namespace) -> int:
    from deploy.telemetry import write_fleet
    from runtime.progress import human_bytes

    fleet = fleet_of(options)
    with _progress() as progress:
        task = progress.start("simulate", fleet.devices, "devices")
        try:
            written = write_fleet(fleet, Path(options.out), task.advance)
        finally:
            task.finish()
    print(f"{written.rows:,} points, {human_bytes(written.bytes)}, in {options.out}")
    print("next: dataflow ingest STORE telemetry", end=" ")
    print(f"{options.out}/telemetry-*.ndjson.gz --key device --time ts --unit ms --duplicates latest")
    return 0


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", nargs="?", default="antfold-demo", help="default: ./antfold-demo")
    _fleet(parser)


def _demo(options: argparse.Namespace) -> int:
    from deploy.demo import run_demo

    fleet = fleet_of(options)
    with _progress() as progress:
        return run_demo(options.store, fleet, progress)


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "simulate a fleet, ingest it, and answer up-time by firmware beside the simulator's own truth",
        "dataflow demo",
        _demo_arguments,
        _demo,
    ),
    "simulate": Command(
        "write the telemetry of a simulated fleet, of any size, as gzipped JSON lines",
        "dataflow simulate ./fleet --devices 1000 --days 30 --seed 1",
        _simulate_arguments,
        _simulate,
    ),
    "ingest": Command(
        "read points from files into a stream; each file counts once, however often it is given",
        "dataflow ingest ./store telemetry points.ndjson.gz --key device --time ts --unit ms",
        _ingest_arguments,
        _ingest,
    ),
    "query": Command(
        "answer a metric",
        "dataflow query ./store metrics.py:uptime --since 2024-03-01 --until 2024-03-08 --format csv",
        _query_arguments,
        _query,
    ),
    "explain": Command(
        "show how a metric would be answered, without running it",
        "dataflow explain ./store metrics.py:uptime",
        _metric,
        _explain,
    ),
    "streams": Command(
        "list the streams: rows, bytes, days, rejects, schema", "dataflow streams ./store", _store_listing, _streams
    ),
    "files": Command("list the point files of a stream", "dataflow files ./store telemetry", _files_arguments, _files),
    "verify": Command(
        "read every file again and check every checksum and count",
        "dataflow verify ./store",
        _store_listing,
        _verify,
    ),
}
"""By name, in the order of the overview."""
