"""``dataflow erase``: erases a key, or a stream, from everything that the store has of it."""

from __future__ import annotations

import argparse
import sys

from deploy.commands.shared import Command, be_sure, json_argument, show_report, store_argument


def _erase_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("--key", metavar="KEY", help="only the points of this key (default: all of the stream)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would be erased, and do nothing")
    json_argument(parser)


def _erase(options: argparse.Namespace) -> int:
    from runtime import Store
    from runtime.upkeep.erasing import NOT_COVERED

    store = Store(options.store)
    if not (options.yes or options.dry_run):
        _be_sure(store.erase(options.stream, options.key, dry_run=True).rows, options.stream, options.key)
    report = store.erase(options.stream, options.key, dry_run=options.dry_run)
    show_report(report, options.format)
    # Not on standard output: that is the record, and has none of the data.
    if report.names:
        print("the catalogue keeps the names and options of these sources, which have the key:", file=sys.stderr)
        for name in report.names:
            print(f"  {name}", file=sys.stderr)
    print(NOT_COVERED, file=sys.stderr)
    return 0


def _be_sure(rows: int, stream: str, key: str | None) -> None:
    from runtime.progress import count_of

    points = count_of(rows, "point")
    what = f"all {points} of {stream}" if key is None else f"the {points} of key {key} of {stream}"
    be_sure(f"this erases {what}", stream, "nothing was erased")


COMMANDS: dict[str, Command] = {
    "erase": Command(
        "erase a key, or a stream, for good",
        "dataflow erase ./store telemetry --key device-17",
        _erase_arguments,
        _erase,
    ),
}
