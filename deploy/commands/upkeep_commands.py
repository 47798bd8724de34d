"""``dataflow sources``, ``sweep`` and ``backup``: what was ingested, what can go, a copy of the catalogue."""

from __future__ import annotations

import argparse

from deploy.commands.shared import Command, json_argument, positive, show_json, show_table, store_argument


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


COMMANDS: dict[str, Command] = {
    "sources": Command(
        "list what was ingested into a stream: when, from what, rows, rejects",
        "dataflow sources ./store telemetry --limit 20",
        _sources_arguments,
        _sources,
    ),
}
