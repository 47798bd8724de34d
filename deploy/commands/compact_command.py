"""``dataflow compact`` and ``optimize``: fewer files, now or as a timer would."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from deploy.commands.shared import (
    Command,
    UsageError,
    ended_by_signal,
    json_argument,
    show_json,
    shown_progress,
    store_argument,
)

if TYPE_CHECKING:
    from runtime import Store


def _compact_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("streams", metavar="STREAM", nargs="*", help="the streams (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    json_argument(parser)


def _compact(options: argparse.Namespace) -> int:
    from operators.errors import DataflowError
    from runtime import Store

    store = Store(options.store)
    if options.dry_run:
        return _show_plan(store, options)
    reports, failed = [], 0
    for stream in options.streams:
        store.be_known(stream)
    for stream in options.streams or store.catalogue.streams():
        try:
            with ended_by_signal(), shown_progress() as progress:
                reports += store.compact(stream, progress=progress)
        except DataflowError as error:
            print(f"{stream}: not compacted: {error}", file=sys.stderr)
            failed = 1
    if options.format == "json":
        show_json([asdict(report) for report in reports])
    elif reports or not failed:
        print("\n".join(map(str, reports)) or "no streams yet; create one with dataflow ingest")
    return failed


def _show_plan(store: Store, options: argparse.Namespace) -> int:
    from runtime.progress import count_of

    plans = {name: store.compaction(name).planned() for name in options.streams or store.catalogue.streams()}
    if options.format == "json":
        jobs = [
            {"stream": name, "files": [f.path for f in job.files], "spans": [[s.begin, s.end] for s in job.spans]}
            for name, planned in plans.items()
            for job in planned
        ]
        show_json(jobs)
        return 0
    for name, planned in plans.items():
        files, rows = sum(len(job.files) for job in planned), sum(f.rows for job in planned for f in job.files)
        all_of_it = f"{count_of(files, 'file')} with {count_of(rows, 'row')}"
        print(f"{name}: {all_of_it} would be written again" if planned else f"{name}: nothing")
        for job in planned:
            begin, end = (datetime.fromtimestamp(t / 1e6, UTC).date() for t in (job.spans[0].begin, job.spans[-1].end))
            parts = f", one for each of {len(job.spans)} spans" if len(job.spans) > 1 else ""
            print(f"  {begin} to {end}: {count_of(len(job.files), 'file')}{parts}")
    return 0


def _optimize_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument(
        "--watch",
        metavar="T",
        nargs="?",
        const="10m",
        help="keep doing it, every T (10m if not given), until interrupted",
    )


def _optimize(options: argparse.Namespace) -> int:
    from dataflow.times.durations import parse_duration
    from operators.errors import DataflowError
    from runtime import Store
    from runtime.upkeep.compaction import UpkeepFailure

    try:
        seconds = None if options.watch is None else parse_duration(options.watch, "--watch") / 1e6
    except DataflowError as error:
        raise UsageError(str(error)) from None
    store = Store(options.store)
    with ended_by_signal():
        while True:
            try:
                failed = 0
                with shown_progress() as progress:
                    for report in store.optimize(progress):
                        failed |= isinstance(report, UpkeepFailure)
                        print(report, flush=True, file=sys.stderr if isinstance(report, UpkeepFailure) else None)
            except DataflowError as error:
                if seconds is None:
                    raise
                print(f"{error} (next try in {options.watch})", file=sys.stderr, flush=True)
            if seconds is None:
                return failed
            time.sleep(seconds)


COMMANDS: dict[str, Command] = {
    "compact": Command(
        "write the files of a stream again as fewer ones; no answer changes",
        "dataflow compact ./store telemetry",
        _compact_arguments,
        _compact,
    ),
    "optimize": Command(
        "do what is due: compact where that pays off, then sweep",
        "dataflow optimize ./store --watch",
        _optimize_arguments,
        _optimize,
    ),
}
