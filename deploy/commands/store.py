"""``dataflow streams``, ``files``, ``verify`` and ``recover``: show, check and repair a store."""

from __future__ import annotations

import argparse

from deploy.commands.shared import (
    Command,
    json_argument,
    show_json,
    show_report,
    show_table,
    shown_progress,
    store_argument,
)


def _store_listing(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    json_argument(parser)


def _streams(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import stream_text, streams_json
    from runtime import Store

    streams = list(Store(options.store).streams())
    if options.format == "json":
        show_json(streams_json(streams))
        return 0
    print("\n\n".join(stream_text(s) for s in streams) or "no streams yet; create one with dataflow ingest")
    return 0


def _files_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    json_argument(parser)


def _files(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import files_columns, files_json
    from runtime import Store

    files = Store(options.store).files(options.stream)
    if options.format == "json":
        show_json(files_json(files))
    else:
        show_table(files_columns(files))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from runtime import Store

    with shown_progress() as progress:
        report = Store(options.store).verify(progress=progress)
    show_report(report, options.format)
    return 0 if report.ok else 1


def _recover_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument(
        "--from", dest="copy", metavar="PATH", help="a copy of catalogue.sqlite, or its folder, for example a backup"
    )
    json_argument(parser)


def _recover(options: argparse.Namespace) -> int:
    from runtime.recovery.recover import recover

    report = recover(options.store, options.copy)
    show_report(report, options.format)
    return 0


COMMANDS: dict[str, Command] = {
    "streams": Command(
        "list the streams: rows, bytes, days, rejects, schema", "dataflow streams ./store", _store_listing, _streams
    ),
    "files": Command("list the point files of a stream", "dataflow files ./store telemetry", _files_arguments, _files),
    "verify": Command(
        "read every file and check every checksum and count",
        "dataflow verify ./store",
        _store_listing,
        _verify,
    ),
    "recover": Command(
        "rebuild a lost or damaged catalogue from its remains, a copy, or the point files",
        "dataflow recover ./store --from ./backup",
        _recover_arguments,
        _recover,
    ),
}
