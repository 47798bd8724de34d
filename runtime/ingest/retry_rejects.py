"""Offers the rejected records of a stream again, with other options: each is taken at most once, whoever tries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from runtime.catalogue import Catalogue, SourceEntry
from runtime.errors import IngestError
from runtime.ingest.columns.event_times import FUTURE
from runtime.ingest.inputs.inputs import StreamInput
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.one_source import SourceRun, StreamTarget
from runtime.ingest.report import IngestReport, SourceReport
from runtime.ingest.report import counted as of_reason
from runtime.ingest.text.rejects import KeptRejects, kept_rejects
from runtime.objects import ObjectStore

_SUFFIX = " (its rejects)"


@dataclass(frozen=True)
class Rejected:
    """The rejects of one source that were not taken since. ``identity`` is that of the source which they make."""

    entry: SourceEntry
    kept: KeptRejects
    identity: str

    def source(self) -> StreamInput:
        """The records as a source."""
        text = self.kept.head + b"\n".join(raw for _, raw in self.kept.records) + b"\n"
        name = self.entry.name.removesuffix(_SUFFIX) + _SUFFIX
        return StreamInput(BytesIO(text), name, identity=self.identity)

    def options(self) -> Mapping[str, Any]:
        """The options with which they were read."""
        known = dict(self.entry.options)
        # The head of a CSV source is its header as it was understood: what came before it, and its dialect, is gone.
        if self.kept.head:
            known["format"] = "csv"
            for name in ("skip_rows", "comment", "names", "encoding"):
                known.pop(name, None)
        # Records of documents and logs were taken out of them already.
        if self.kept.as_json:
            known["format"] = "json"
            for name in ("records", "columnar", "names", "encoding"):
                known.pop(name, None)
        return known


def rejected(objects: ObjectStore, catalogue: Catalogue, stream: str) -> Iterator[Rejected]:
    """The rejects of a stream, source by source, without those that were taken later."""
    entries = {entry.id: entry for entry in catalogue.sources(stream)}
    for entry in entries.values():
        if entry.rejects_path is None or not entry.rejected:
            continue
        # Rows ahead of the clock wait, and are taken under this id when their source is offered again.
        resumed = None if entry.waiting is None else entry.waiting.next_id(entry.id)
        retried = hashlib.sha256(f"{entry.id}\nrejects".encode()).hexdigest()
        identity = retried if resumed is None or resumed in entries else resumed
        if identity in entries:
            continue
        path = entry.rejects_path
        found = kept_rejects(objects.read(path, 0, objects.size(path)), path)
        if resumed is not None and resumed in entries:
            found = found._replace(records=[r for r in found.records if not r[0].reason.endswith(FUTURE)])
        if found.records:
            yield Rejected(entry, found, identity)


def retry_rejects(target: StreamTarget, given: Mapping[str, Any]) -> IngestReport:
    """Ingest the rejects of a stream with the options of their sources and, over them, those ``given``; what is still
    rejected can be offered again. A source of which nothing can be taken stays as it is."""
    catalogue, reports = target.catalogue, []
    for source in list(rejected(target.objects, catalogue, target.name)):
        none = dict.fromkeys(("key", "time", "unit", "duplicates", "id", "missing_key"))
        options = {**none, "format": "auto", **source.options(), **given}
        settings = Settings.of(catalogue.schema(target.name), target.name, **options)
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
