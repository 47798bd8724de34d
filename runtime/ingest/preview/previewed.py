"""`Preview`: what an ingest would make of the first records of a source, and the command for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.display.text_tables import cell_width, printable
from runtime.ingest.report import ColumnReport, Reject

_FIELDS = 50
_NOTES = 20
_OTHERS = 4
_TEXT = 100
_NO_KEY = re.compile("key: column .* is (empty|missing or null)", re.DOTALL)
_JOINED = ("json", "columns", "drop", "null", "names")
"""Options with several names in one text."""


@dataclass(frozen=True)
class FieldPreview:
    """A field of the first records: the ``type`` of its column, how many values and distinct ones, some of them."""

    name: str
    type: str
    values: int
    distinct: int
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What an ingest would make of the first ``rows`` records of a source; ``whole``: it has no more.

    ``form`` is what its format is called. ``keys`` and ``times`` are the fields that may be the key and the time, the
    likeliest first. ``options`` are those of ``Store.ingest`` that were tried: the given ones and what was found.
    ``taken`` rows would be committed; the others would be ``rejected``, for ``reasons``, with ``examples``. ``columns``
    and ``left_out`` are as in ``SourceReport``, ``remarks`` say how it was read. ``inside`` are options that read
    arrays within the records as records instead. ``fault`` says why nothing could be taken. ``hints`` are sentences on
    options that may be missing.
    """

    name: str
    form: str
    rows: int
    whole: bool
    fields: tuple[FieldPreview, ...] = ()
    keys: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    taken: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Reject, ...] = ()
    columns: Mapping[str, ColumnReport] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    fault: str | None = None
    source: str | None = None

    @property
    def command(self) -> str | None:
        """The command that ingests the source; None if nothing could be taken, or if it is no file."""
        return None if self.fault is not None or self.source is None else ingest_command([self.source], self.options)

    def notes(self) -> Iterator[str]:
        """What a person should know of rejected and left out values, a sentence each."""
        if self.inside:
            yield f"there are arrays inside of the records: {' or '.join(self.inside)} takes them as the records"
        for reason, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])):
            first = next((e for e in self.examples if getattr(e.reason, "counted", e.reason) == reason), None)
            hint = "; --missing-key NAME would take them" if _NO_KEY.fullmatch(reason) else ""
            if first is None:
                yield f"{count:,} rejected: {reason}{hint}"
            else:
                text = printable(first.text, _TEXT)
                yield f"{count:,} rejected: {first.reason}{hint} (the first in line {first.line:,}: {text})"
        yield from self.remarks
        for name, column in self.columns.items():
            yield from column.notes(name)
        for reason, count in sorted(self.left_out.items()):
            yield f"{count:,} values left out: {reason}"
        yield from self.hints
        for name, column in self.columns.items():
            yield from column.missing(name)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        plain = ("name", "form", "rows", "whole", "taken", "rejected", "fault", "command")
        out: dict[str, Any] = {name: getattr(self, name) for name in plain}
        out["fields"] = [{**vars(f), "samples": list(f.samples)} for f in self.fields]
        out["keys"], out["times"] = list(self.keys), list(self.times)
        out["options"] = {n: list(v) if isinstance(v, tuple) else v for n, v in self.options.items()}
        out["inside"] = list(self.inside)
        out["reasons"], out["left_out"] = dict(self.reasons), dict(self.left_out)
        out["examples"] = [example._asdict() for example in self.examples]
        out["notes"] = list(self.notes())
        return out

    def __str__(self) -> str:
        lines = [f"{printable(self.name, None)}: {self.form or 'of no known form'}"]
        if self.rows:
            records = "1 record" if self.rows == 1 else f"{self.rows:,} records"
            lines[0] += f", {records} in all" if self.whole else f", the first {records}"
        lines += self._table()
        for what, found in (("key", self.keys), ("time", self.times)):
            if found:
                more = f" and {len(found) - _OTHERS:,} more" if len(found) > _OTHERS else ""
                lines.append(f"  {what}: perhaps {', '.join(map(printable, found[:_OTHERS]))}{more}")
        if self.taken or self.rejected:
            lines.append(f"  {self.taken:,} would be taken, {self.rejected:,} rejected")
        notes = list(self.notes())
        lines += [f"  {printable(note, None)}" for note in notes[:_NOTES]]
        if len(notes) > _NOTES:
            lines.append(f"  and {len(notes) - _NOTES:,} more such notes (--output json)")
        if self.fault is not None:
            lines.append(f"nothing could be taken: {printable(self.fault, None)}")
        return "\n".join(lines)

    def _table(self) -> list[str]:
        rows = [("field", "type", "values", "distinct", "samples")]
        for f in self.fields[:_FIELDS]:
            samples = ", ".join(printable(s) for s in f.samples)
            rows.append((printable(f.name), f.type, str(f.values), str(f.distinct), samples))
        if len(rows) == 1:
            return []
        widths = [max(cell_width(row[at]) for row in rows) for at in range(4)]
        lines = []
        for row in rows:
            cells = [
                text + " " * (w - cell_width(text)) if at < 2 else " " * (w - cell_width(text)) + text
                for at, (text, w) in enumerate(zip(row, widths, strict=False))
            ]
            lines.append("  " + "  ".join([*cells, row[4]]).rstrip())
        if len(self.fields) > _FIELDS:
            lines.append(f"  and {len(self.fields) - _FIELDS:,} more fields (--output json)")
        return lines


def ingest_command(sources: Sequence[str], options: Mapping[str, Any]) -> str:
    """The command that ingests these files with these options, quoted for a shell."""
    words = ["dataflow", "ingest", "STORE", "STREAM"]
    words += [f"./{source}" if source.startswith("-") and source != "-" else source for source in sources]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            texts = [f"{left}={right}" for left, right in value.items()]
        elif isinstance(value, (list, tuple)):
            texts = [",".join(value)] if name in _JOINED else list(value)
        else:
            texts = [str(value)]
        for text in texts:
            words += [f"{option}={text}"] if text.startswith("-") or not text else [option, text]
    return " ".join(map(shlex.quote, words))
