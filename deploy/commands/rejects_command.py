"""``dataflow rejects``: the records that were rejected, by reason."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.commands.shared import Command, json_argument, positive, show_json, store_argument

if TYPE_CHECKING:
    from runtime.ingest import Rejected

_TEXT = 200


def _arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason contains this")
    parser.add_argument("--rows", metavar="N", type=positive, default=3, help="records to show of each reason (3)")
    json_argument(parser)


def _rejects(options: argparse.Namespace) -> int:
    from runtime import Store

    found = Store(options.store).rejects(options.stream)
    wanted = options.reason or ""
    if options.format == "json":
        show_json({"stream": options.stream, "sources": [_to_dict(source, wanted) for source in found]})
    else:
        print(_text(options.stream, found, wanted, options.rows))
    return 0


def _to_dict(source: Rejected, wanted: str) -> dict[str, object]:
    records = [reject._asdict() for reject, _ in source.kept.records if wanted in reject.reason]
    return {
        "name": source.entry.name,
        "id": source.entry.id,
        "options": dict(source.entry.options),
        "not_listed": source.kept.not_listed,
        "records": records,
    }


def _text(stream: str, found: Sequence[Rejected], wanted: str, rows: int) -> str:
    from runtime.display.text_tables import printable
    from runtime.ingest import counted
    from runtime.ingest.report import counted as of_reason

    lines = []
    for reason, count in counted(found).items():
        if wanted not in reason:
            continue
        lines.append(f"{count:,} x {printable(reason, _TEXT)}")
        shown = ((source, r) for source in found for r, _ in source.kept.records if of_reason(r.reason) == reason)
        for (source, reject), _ in zip(shown, range(rows), strict=False):
            text = printable(reject.text[:_TEXT]) + ("..." if len(reject.text) > _TEXT else "")
            lines.append(f"  {printable(source.entry.name)}, line {reject.line:,}: {text}")
    if lost := sum(source.kept.not_listed for source in found):
        lines.append(f"{lost:,} more were only counted: ingest their sources again into another stream to see them")
    if not lines:
        return f"{stream}: no rejected records" + (f" whose reason contains {wanted!r}" if wanted else "")
    lines.append(f"after a change of options: dataflow ingest STORE {stream} --retry-rejects [options]")
    return "\n".join(lines)


COMMANDS: dict[str, Command] = {
    "rejects": Command(
        "show rejected records by reason",
        "dataflow rejects ./store telemetry",
        _arguments,
        _rejects,
    ),
}
