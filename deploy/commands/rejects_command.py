"""``dataflow rejects``: the records that were rejected, by reason."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deploy.commands.shared import Command, json_argument, positive, show_json, store_argument

if TYPE_CHECKING:
    from runtime import Store
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

    store = Store(options.store)
    found = store.rejects(options.stream)
    wanted = options.reason or ""
    if options.format == "json":
        show_json({"stream": options.stream, "sources": [_to_dict(source, wanted) for source in found]})
    else:
        print(_text(options.stream, found, wanted, options.rows, _of_erased(store, options.stream)))
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


def _of_erased(store: Store, stream: str) -> dict[str, int]:
    """For each source how many records were left out because their keys were erased; nothing is kept of them."""
    from runtime.ingest.columns.erased_keys import ERASED

    return {e.id: e.reject_reasons.get(ERASED, 0) for e in store.catalogue.sources(stream) if not e.undone}


def _text(stream: str, found: Sequence[Rejected], wanted: str, rows: int, erased: Mapping[str, int]) -> str:
    from runtime.display.text_tables import printable
    from runtime.ingest import counted
    from runtime.ingest.report import counted as of_reason
    from runtime.progress import count_of

    lines = []
    for reason, count in counted(found).items():
        if wanted not in reason:
            continue
        lines.append(f"{count:,} x {printable(reason, _TEXT)}")
        shown = ((source, r) for source in found for r, _ in source.kept.records if of_reason(r.reason) == reason)
        for (source, reject), _ in zip(shown, range(rows), strict=False):
            text = printable(reject.text[:_TEXT]) + ("..." if len(reject.text) > _TEXT else "")
            lines.append(f"  {printable(source.entry.name)}, line {reject.line:,}: {text}")
    if lost := sum(max(0, source.kept.not_listed - erased.get(source.entry.id, 0)) for source in found):
        lines.append(f"{lost:,} more were only counted: ingest their sources again into another stream to see them")
    gone = sum(erased.values())
    left_out = (
        f"{count_of(gone, 'record')} left out, because {'its key was' if gone == 1 else 'their keys were'} erased"
    )
    if not lines:
        if gone and not wanted:
            return f"{stream}: no rejected records but {left_out}"
        return f"{stream}: no rejected records" + (f" whose reason contains {wanted!r}" if wanted else "")
    if gone:
        lines.append(left_out)
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
