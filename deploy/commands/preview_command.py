"""``dataflow preview``: what an ingest would make of the first records of files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deploy.commands.ingest_command import field_arguments, missing_key_argument, reading_arguments, reading_of
from deploy.commands.shared import Command, positive, show_json

if TYPE_CHECKING:
    from runtime.ingest.preview import Preview


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="files, or - for standard input; .gz and .zst too")
    parser.add_argument("--rows", metavar="N", type=positive, default=1000, help="records to look at (1000)")
    # --format is that of the files, as for ingest.
    parser.add_argument("--output", choices=("text", "json"), default="text", help="of the preview")
    field_arguments(parser)
    missing_key_argument(parser)
    reading_arguments(parser)


def _preview(options: argparse.Namespace) -> int:
    from runtime.ingest.preview import previews

    given = {name: getattr(options, name) for name in ("key", "time", "unit", "format", "preset", "missing_key")}
    reading = reading_of(options)
    found = [p for file in options.files for p in previews(file, options.rows, **given, **reading)]
    if options.output == "json":
        show_json({"previews": [p.to_dict() for p in found], "commands": _commands(found)})
    else:
        parts = [str(p) for p in found]
        commands = _commands(found)
        parts += ["to ingest:\n" + "\n".join(f"  {command}" for command in commands)] if commands else []
        print("\n\n".join(parts))
    return 0 if all(p.fault is None for p in found) else 1


def _commands(found: list[Preview]) -> list[str]:
    """The commands that ingest what can be taken: one for all files with the same options."""
    from runtime.ingest.preview import ingest_command

    alike: list[tuple[dict[str, object], list[str]]] = []
    for one in found:
        if one.fault is not None or one.source is None:
            continue
        options = dict(one.options)
        sources = next((sources for same, sources in alike if same == options), None)
        if sources is None:
            alike.append((options, [one.source]))
        elif one.source not in sources:
            sources.append(one.source)
    return [ingest_command(sources, options) for options, sources in alike]


COMMANDS: dict[str, Command] = {
    "preview": Command(
        "show what an ingest would make of files, and the command for it; nothing is stored",
        "dataflow preview points.ndjson.gz",
        _arguments,
        _preview,
    ),
}
