"""``dataflow undo``: takes sources back."""

from __future__ import annotations

import argparse

from deploy.commands.shared import Command, UsageError, json_argument, show_report, store_argument


def _undo_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("sources", metavar="SOURCE", nargs="*", help="names, paths or ids, as `dataflow sources` lists")
    parser.add_argument("--last", action="store_true", help="instead of names: the source that was ingested last")
    parser.add_argument("--dry-run", action="store_true", help="say what would be taken back, and do nothing")
    json_argument(parser)


def _undo(options: argparse.Namespace) -> int:
    from runtime import Store
    from runtime.errors import QueryError

    store = Store(options.store)
    named = list(options.sources)
    if named and options.last:
        raise UsageError("name the sources to take back, or give --last: not both")
    if options.last:
        newest = next(
            (s for s in store.sources(options.stream) if not s.entry.undone and s.entry.quarantined is None), None
        )
        if newest is None:
            raise QueryError(f"nothing of {options.stream} can be taken back: no source is in the stream")
        named.append(newest.entry.id)
    if not named:
        raise UsageError("name the sources to take back (dataflow sources lists them), or give --last")
    report = store.undo(options.stream, *named, dry_run=options.dry_run)
    show_report(report, options.format)
    return 0


COMMANDS: dict[str, Command] = {
    "undo": Command(
        "take sources back, as if they had not been ingested",
        "dataflow undo ./store telemetry monday.ndjson.gz",
        _undo_arguments,
        _undo,
    ),
}
