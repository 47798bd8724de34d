"""``dataflow watch``: ingests what a folder or a pipe has, and what comes to it, until it is stopped."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.commands.ingest_command import (
    duplicate_arguments,
    field_arguments,
    missing_key_argument,
    reading_arguments,
    reading_of,
)
from deploy.commands.long_running import connection_settings, stopped_by_signal
from deploy.commands.shared import Command, shown, store_argument

if TYPE_CHECKING:
    from runtime.ingest.report import SourceReport


def _arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, a pattern of files in quotes, s3://BUCKET/PREFIX, - for standard input, a named pipe, "
        "tcp://HOST:PORT, unix://PATH, kafka://BROKER/TOPIC, kinesis://STREAM, or mqtt://BROKER/TOPICS",
    )
    field_arguments(parser)
    duplicate_arguments(parser)
    missing_key_argument(parser)
    parser.add_argument("--every", metavar="TIME", default="2s", help="how often to commit what is new (default 2s)")
    parser.add_argument(
        "--settled", metavar="TIME", default="10s", help="a file without change for so long is complete (default 10s)"
    )
    parser.add_argument(
        "--from",
        dest="start",
        choices=("beginning", "end", "committed"),
        default="beginning",
        help="with all there is, behind what is there at first, or behind the lines of a pipe that are committed",
    )
    parser.add_argument("--watch-name", metavar="NAME", help="the name under which it goes on (default: SOURCE)")
    parser.add_argument(
        "--idle", metavar="TIME", default="5m",
        help="the watermark does not wait for feeds without points for so long, nor for ingests (default 5m)",
    )  # fmt: skip
    parser.add_argument(
        "--connection", metavar="FILE", help="settings of the connection to a broker, one NAME=VALUE a line"
    )
    parser.add_argument("--until-idle", metavar="TIME", help="end after so long without anything new")
    parser.add_argument(
        "--acknowledge", action="store_true", help="print, after each commit, how many lines of a pipe are committed"
    )
    parser.add_argument("--no-compact", action="store_true", help="do not merge small files")
    reading_arguments(parser)


def _watch(options: argparse.Namespace) -> int:
    from runtime import Store

    lines = 0

    def on_commit(report: SourceReport) -> None:
        nonlocal lines
        print(_line(report), file=sys.stderr, flush=True)
        if options.acknowledge and report.status == "ingested" and report.position is not None:
            lines = int(report.position.get("lines", lines))
            print(lines, flush=True)

    with stopped_by_signal() as stop, shown():
        print(f"watching {options.source}", file=sys.stderr, flush=True)
        done = Store(options.store, create=True).watch(
            options.stream, options.source, key=options.key, time=options.time, unit=options.unit,
            format=options.format, duplicates=options.duplicates, id=options.id, missing_key=options.missing_key,
            preset=options.preset, compact=not options.no_compact, name=options.watch_name, start=options.start,
            every=options.every, settled=options.settled, idle=options.idle,
            connection=None if options.connection is None else connection_settings(options.connection),
            until_idle=options.until_idle, stop=stop, on_commit=on_commit,
            **reading_of(options),
        )  # fmt: skip
    aside = f", {done.set_aside:,} set aside (dataflow quarantine)" if done.set_aside else ""
    rejected = f", {done.rejected:,} rejected" if done.rejected else ""
    print(f"{done.sources:,} commits: {done.rows:,} points{rejected}{aside}", file=sys.stderr)
    return 0


def _line(report: SourceReport) -> str:
    """A commit in one line."""
    name = Path(report.name).name if os.path.isabs(report.name) else report.name
    if report.error is not None:
        return f"{name}: {'set aside: ' * (report.status == 'failed')}{report.error}"
    if report.status != "ingested":
        return f"{name}: {report.status}"
    rejected = f", {report.rejected:,} rejected: {next(iter(report.reasons))}" if report.rejected else ""
    return f"{name}: {report.committed:,} points{rejected}"


COMMANDS: dict[str, Command] = {
    "watch": Command(
        "ingest what a folder or a pipe has, and what comes to it, until it is stopped",
        "dataflow watch ./store telemetry ./landing --key device --time ts --unit ms",
        _arguments,
        _watch,
    )
}
