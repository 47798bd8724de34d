"""``dataflow formats``: lists the forms of files that ingest reads, and the presets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deploy.commands.shared import Command, json_argument, show_json, show_table

if TYPE_CHECKING:
    from runtime.ingest.formats import SourceFormat


def _formats(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import column
    from operators.types import Type
    from runtime.ingest.formats import formats
    from runtime.ingest.inputs.presets import PRESETS

    forms = {name: made for made in sorted(formats(), key=lambda made: made.names) for name in made.names}
    if options.format == "json":
        show_json({"formats": [_form(name, made) for name, made in forms.items()], "presets": list(_presets())})
        return 0
    rows = [(name, made.about or made.title, _written(_defaults(name))) for name, made in forms.items()]
    rows += [(name, preset.about, _written(preset.sets())) for name, preset in PRESETS.items() if name not in forms]
    heads = ("name", "what it is", "what it sets")
    show_table({head: column(Type.STRING, [row[k] for row in rows]) for k, head in enumerate(heads)})
    return 0


def _form(name: str, made: SourceFormat) -> dict[str, Any]:
    return {"name": name, "about": made.about or made.title, "sets": _defaults(name)}


def _presets() -> Iterator[dict[str, Any]]:
    from runtime.ingest.inputs.presets import PRESETS

    for name, preset in PRESETS.items():
        yield {"name": name, "about": preset.about, "sets": preset.sets()}


def _defaults(name: str) -> dict[str, Any]:
    """What a format sets: its preset, without the format."""
    from runtime.ingest.inputs.presets import PRESETS

    preset = PRESETS.get(name)
    return {n: v for n, v in preset.sets().items() if n != "format"} if preset else {}


def _written(sets: dict[str, Any]) -> str:
    """Options as they are written on the command line."""
    return " ".join(
        f"--{name.replace('_', '-')} {_quoted(','.join(value) if isinstance(value, tuple) else value)}"
        for name, value in sets.items()
    )


def _quoted(value: str) -> str:
    from shlex import quote

    return quote(value)


COMMANDS: dict[str, Command] = {
    "formats": Command(
        "list the forms of files and the presets for well-known sources", "dataflow formats", json_argument, _formats
    ),
}
