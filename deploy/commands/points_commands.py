"""``dataflow head``, ``describe`` and ``export``: the points of a stream, some of them, their columns, all of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.commands.range_times import time_of_range
from deploy.commands.result_output import checked_output, output_arguments, show_result
from deploy.commands.shared import (
    Command,
    UsageError,
    ended_by_signal,
    json_argument,
    positive,
    show_json,
    shown_progress,
    store_argument,
    terminal_form,
)

if TYPE_CHECKING:
    from runtime.points.describe_points import StreamSummary

_FORMS = ("parquet", "csv", "ndjson")
_READ = 1_000_000
"""Points that a description reads."""


def _points_arguments(parser: argparse.ArgumentParser, *, until: bool = True, key: bool = True) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument(
        "--since", metavar="TIME", type=time_of_range, help="points from this time on, ISO-8601 UTC, or -7d, today"
    )
    if until:
        parser.add_argument("--until", metavar="TIME", type=time_of_range, help="points before this time")
    if key:
        parser.add_argument("--key", metavar="K", help="only the points of this key")


def _head_arguments(parser: argparse.ArgumentParser) -> None:
    _points_arguments(parser, until=False)
    parser.add_argument("--rows", metavar="N", type=positive, default=10, help="at most so many (default 10)")
    output_arguments(parser)


def _head(options: argparse.Namespace) -> int:
    from runtime import Store

    form = checked_output(options)
    found = Store(options.store).head(options.stream, options.rows, since=options.since, key=options.key)
    show_result(found, form, options.output)
    return 0


def _describe_arguments(parser: argparse.ArgumentParser) -> None:
    _points_arguments(parser, key=False)
    parser.add_argument(
        "--rows", metavar="N", type=positive, default=_READ, help="read about so many, of days spread over the range"
    )
    json_argument(parser)


def _describe(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import summary_columns
    from runtime import Store
    from runtime.display.text_tables import text_table

    found = Store(options.store).describe(options.stream, since=options.since, until=options.until, rows=options.rows)
    if options.format == "json":
        show_json(found.to_dict())
        return 0
    print(text_table(summary_columns(found), **terminal_form(), footer=[_read(found)], noun="column"))
    return 0


def _read(found: StreamSummary) -> str:
    days = "1 day" if found.all_days == 1 else f"{found.all_days:,} days"
    if found.whole:
        return f"{found.stream}: all {found.rows:,} points of the range, of {days}"
    some = f"{found.rows:,} points, from {found.days:,} of {days}"
    return f"{found.stream}: {some}, of {found.listed:,} in all (--rows reads more)"


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    _points_arguments(parser)
    parser.add_argument(
        "--to",
        metavar="FILE",
        required=True,
        help="the file to write: .parquet, .csv, .ndjson (.csv.gz, .ndjson.zst, ...), or - for standard output",
    )
    parser.add_argument("--format", choices=_FORMS, help="of the file (default: as its name ends)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _export(options: argparse.Namespace) -> int:
    from operators.errors import DataflowError
    from runtime import Store
    from runtime.display.table_files import form_of

    to_pipe = options.to == "-"
    if to_pipe and options.format is None:
        raise UsageError(f"--to - needs a --format: {', '.join(_FORMS)}")
    if to_pipe and options.format == "parquet" and sys.stdout.isatty():
        raise UsageError("parquet is not text: name a file, or send it into a pipe")
    if not to_pipe and options.format is None:
        try:
            form_of(Path(options.to))
        except DataflowError as error:
            raise UsageError(f"--to {error}") from None
    with ended_by_signal(), shown_progress() as progress:
        report = Store(options.store).export(
            options.stream,
            sys.stdout.buffer if to_pipe else options.to,
            since=options.since,
            until=options.until,
            key=options.key,
            format=options.format,
            force=options.force,
            progress=progress,
        )
    print(report, file=sys.stderr if to_pipe else sys.stdout)
    return 0


COMMANDS: dict[str, Command] = {
    "head": Command(
        "show the first points of a stream, or of one of its keys",
        "dataflow head ./store telemetry --key device-7 --since 2024-03-01",
        _head_arguments,
        _head,
    ),
    "describe": Command(
        "show the columns of a stream: types, nulls, ranges, most frequent values",
        "dataflow describe ./store telemetry --since=-7d",
        _describe_arguments,
        _describe,
    ),
    "export": Command(
        "write the points of a stream to a file",
        "dataflow export ./store telemetry --since 2024-03-01 --to points.parquet",
        _export_arguments,
        _export,
    ),
}
