"""``dataflow sources``, ``sweep`` and ``backup``: what was ingested, what can go, a copy of the catalogue."""

from __future__ import annotations

import argparse

from deploy.commands.shared import (
    Command,
    json_argument,
    positive,
    show_json,
    show_report,
    show_table,
    shown_progress,
    store_argument,
)


def _sources_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("--limit", metavar="N", type=positive, help="only the N newest")
    json_argument(parser)


def _sources(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import sources_columns
    from runtime import Store

    found = Store(options.store).sources(options.stream, options.limit)
    if options.format == "json":
        show_json({"stream": options.stream, "sources": [source.to_dict() for source in found]})
    elif found:
        show_table(sources_columns(found), "source")
    else:
        print(f"{options.stream}: nothing was ingested yet")
    return 0


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
    parser.add_argument(
        "--allow-many", action="store_true", help="also if more than 1 in 100 of the point files are in no commit"
    )
    json_argument(parser)


def _sweep(options: argparse.Namespace) -> int:
    from runtime import Store

    with shown_progress() as progress:
        report = Store(options.store).sweep(options.dry_run, options.allow_many, progress=progress)
    show_report(report, options.format)
    return 0


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("to", metavar="TO", help="a folder, or a file that ends in .sqlite")
    parser.add_argument("--force", action="store_true", help="replace a backup that is there")
    json_argument(parser)


def _backup(options: argparse.Namespace) -> int:
    from runtime import Store

    report = Store(options.store).backup(options.to, options.force)
    show_report(report, options.format)
    return 0


COMMANDS: dict[str, Command] = {
    "sources": Command(
        "list what was ingested into a stream: when, from what, rows, rejects",
        "dataflow sources ./store telemetry --limit 20",
        _sources_arguments,
        _sources,
    ),
    "sweep": Command(
        "remove files that nothing needs any more: replaced ones, those of no commit, temporary ones",
        "dataflow sweep ./store --dry-run",
        _sweep_arguments,
        _sweep,
    ),
    "backup": Command(
        "copy the catalogue of a store in a folder, while it is used",
        "dataflow backup ./store ./backup",
        _backup_arguments,
        _backup,
    ),
}
