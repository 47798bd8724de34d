"""Offers the rejected records of a stream again, with other options: each is taken once, also if several try."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from runtime.catalogue import Catalogue, SourceEntry, StreamSchema
from runtime.errors import IngestError
from runtime.ingest.columns.event_times import FUTURE
from runtime.ingest.inputs.composed import ITS_REJECTS
from runtime.ingest.inputs.encodings import is_utf8
from runtime.ingest.inputs.inputs import StreamInput
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.one_source import SourceRun, StreamTarget
from runtime.ingest.report import IngestReport, SourceReport
from runtime.ingest.report import counted as of_reason
from runtime.ingest.text.rejects import COPY, KeptRejects, kept_rejects
from runtime.objects import FileMissing, ObjectStore

_NAMING = ("rename", "columns", "drop")
_WELL_FORMED = ("key: ", "time: ")
"""How the reasons begin for which records are rejected that are well-formed."""


@dataclass(frozen=True)
class Rejected:
    """The rejects of one source that were not taken since. ``identity`` is that of the source which they make."""

    entry: SourceEntry
    kept: KeptRejects
    identity: str

    def source(self) -> StreamInput:
        """The records as a source: those that are malformed last, so that a quote in one takes no other with it."""
        head = self.kept.head if self.kept.rows is None else b""
        ordered = sorted(self.kept.records, key=lambda record: not record[0].reason.startswith(_WELL_FORMED))
        text = head + b"\n".join(raw for _, raw in ordered) + b"\n"
        name = self.entry.name.removesuffix(ITS_REJECTS) + ITS_REJECTS
        return StreamInput(BytesIO(text), name, identity=self.identity)

    def settings(self, schema: StreamSchema | None, stream: str, given: Mapping[str, Any]) -> Settings:
        """The settings to read them with: those of their source and, over them, those ``given``."""
        before, kept = self.entry.options, self.kept
        none = dict.fromkeys(("key", "time", "unit", "duplicates", "id", "missing_key"))
        # A format that was found by looking has a header (CSV), or the records are JSON.
        found = Settings.of(schema, stream, **{**none, "format": "json", **before, **given})
        reading = found.reading
        encoding = before.get("encoding")
        if encoding is not None and not is_utf8(encoding):  # they were decoded by it already
            found, reading = replace(found, is_utf8=True), replace(reading, encoding=encoding)
        # The header was understood: what came before it is gone. Records of documents and logs were taken out of them.
        if kept.head:
            found = replace(found, format="csv", rows=kept.rows)
            reading = replace(reading, skip_rows=0, comment=None, names=())
        elif kept.as_json:
            named = Reading.of({n: before[n] for n in _NAMING if n in before})
            is_named = all(getattr(named, n) == getattr(reading, n) for n in _NAMING)
            found = replace(found, format="json", as_records=is_named, table=kept.types)
            reading = replace(reading, records=None, columnar=None, names=())
        return replace(found, reading=reading, again=True)


def retried_id(source_id: str) -> str:
    """The id of the source that has a source's rejects, once they were taken."""
    return hashlib.sha256(f"{source_id}\nrejects".encode()).hexdigest()


def rejected(objects: ObjectStore, catalogue: Catalogue, stream: str) -> Iterator[Rejected]:
    """The rejects of a stream, source by source, without those that were taken later. What was taken back counts as
    never ingested."""
    entries = {entry.id: entry for entry in catalogue.sources(stream) if not entry.undone}
    for entry in entries.values():
        if entry.rejects_path is None or not entry.rejected:
            continue
        # Rows ahead of the clock wait, and are taken under this id when their source is offered again. Rejects that are
        # all kept take it, too; then it is called by their name.
        resumed = None if entry.waiting is None else entry.waiting.next_id(entry.id)
        retried = retried_id(entry.id)
        later = entries.get(resumed or "")
        if retried in entries or (later is not None and later.name.endswith(ITS_REJECTS)):
            continue
        path = entry.rejects_path
        found = kept_rejects(_read(objects, path), path)
        identity = retried if resumed is None or later is not None or found.not_listed else resumed
        if identity != resumed:
            found = found._replace(records=[r for r in found.records if not r[0].reason.endswith(FUTURE)])
        if found.records:
            yield Rejected(entry, found, identity)


def _read(objects: ObjectStore, path: str) -> bytes:
    """The content of an object of rejects, which an erasure may be writing anew."""
    try:
        return objects.read(path, 0, objects.size(path))
    except FileMissing:
        try:
            return objects.read(path + COPY, 0, objects.size(path + COPY))
        except FileMissing:
            return objects.read(path, 0, objects.size(path))


def retry_rejects(target: StreamTarget, given: Mapping[str, Any]) -> IngestReport:
    """Ingest the rejects of a stream with the options of their sources and, over them, those ``given``; what is still
    rejected can be offered again. A source of which nothing can be taken stays as it is."""
    catalogue, reports = target.catalogue, []
    for source in list(rejected(target.objects, catalogue, target.name)):
        settings = source.settings(catalogue.schema(target.name), target.name, given)
        offered = source.source()
        try:
            reports.append(SourceRun(target, settings, offered).report())
        except IngestError as error:
            reports.append(SourceReport(offered.name, "failed", error=str(error)))
    return IngestReport(target.name, tuple(reports))


def counted(found: Sequence[Rejected]) -> dict[str, int]:
    """The rejected records by reason, the most frequent first."""
    reasons: dict[str, int] = {}
    for source in found:
        for reject, _ in source.kept.records:
            reason = of_reason(reject.reason)
            reasons[reason] = reasons.get(reason, 0) + 1
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
