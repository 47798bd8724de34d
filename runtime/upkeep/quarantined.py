"""Sources in quarantine: which they are, why, and the commits by which a person dismisses them or has them taken again.

A dismissed source stays in quarantine, and every proof counts it; it only stops asking for attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from operators.nearest import meant
from runtime.catalogue import Catalogue, Committed, SourceEntry, new_attempt
from runtime.catalogue.items.changes import MAX_NAMED
from runtime.display.text_tables import iso, printable
from runtime.errors import QueryError, StoreError
from runtime.progress import count_of
from runtime.upkeep.source_list import naming_rules, shortened

_TRIES = 20
_LISTED = 10  # sources that an error names
_FEW = 100  # sources of which each commit is read by itself


@dataclass(frozen=True)
class QuarantinedSource:
    """A source in quarantine since the commit made at ``at`` (microseconds UTC).

    ``short`` is the beginning of its id, as long as needed to be unique among all that are in quarantine.
    """

    stream: str
    entry: SourceEntry
    at: int
    short: str

    @property
    def reason(self) -> str:
        """Why it was set aside."""
        return self.entry.quarantined or ""

    @property
    def short_reason(self) -> str:
        """The reason without the source's own name, which stands beside it: equal for equal faults."""
        return self.reason.removeprefix(self.entry.name).replace(self.entry.name, "it").strip()

    @property
    def state(self) -> str:
        """What was decided about it: ``waiting`` for a decision, ``retried`` or ``dismissed``."""
        return "dismissed" if self.entry.dismissed else "retried" if self.entry.retried else "waiting"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; the time is ISO-8601."""
        return {
            "stream": self.stream,
            "id": self.entry.id,
            "short_id": self.short,
            "name": self.entry.name,
            "bytes": self.entry.bytes,
            "at": iso(self.at),
            "state": self.state,
            "reason": self.reason,
        }


def quarantined_sources(catalogue: Catalogue, streams: Iterable[str]) -> list[QuarantinedSource]:
    """The sources of these streams that are in quarantine, also dismissed ones, newest first."""
    found = [(stream, entry) for stream in streams for entry in _entries(catalogue, stream)]
    short = shortened(entry.id for _, entry in found)
    out = []
    for stream, pairs in groupby(found, lambda pair: pair[0]):
        entries = [entry for _, entry in pairs]
        times = _times(catalogue, stream, entries)
        out += [QuarantinedSource(stream, e, times[e.id], short[e.id]) for e in entries if e.id in times]
    return sorted(out, key=lambda source: (-source.at, source.stream, source.entry.id))


def _entries(catalogue: Catalogue, stream: str) -> list[SourceEntry]:
    if not catalogue.snapshot(stream, 0, 0).quarantined:  # one look where most have none
        return []
    return [e for e in catalogue.sources(stream) if e.quarantined is not None and not e.undone]


def _times(catalogue: Catalogue, stream: str, entries: Sequence[SourceEntry]) -> dict[str, int]:
    """When each of these sources was last committed."""
    if len(entries) > _FEW:
        found = {record.source: record.at for record in catalogue.records(stream) if record.source is not None}
        return {entry.id: found[entry.id] for entry in entries}
    # The log of a stream that runs for months is long.
    commits = {entry.id: catalogue.source(stream, entry.id) for entry in entries}
    return {id_: catalogue.record(stream, known[1]).at for id_, known in commits.items() if known is not None}


def named_sources(found: Sequence[QuarantinedSource], texts: Iterable[str]) -> list[QuarantinedSource]:
    """The sources that these texts name: by id, by the beginning of the id (4 letters or more), by name or path, or by
    the last part of the name; each once. QueryError if a text fits none, or several."""
    chosen: dict[tuple[str, str], QuarantinedSource] = {}
    for text in texts:
        one = _named(found, text)
        chosen[one.stream, one.entry.id] = one
    return list(chosen.values())


def _named(found: Sequence[QuarantinedSource], text: str) -> QuarantinedSource:
    same_id, begins, by_name = naming_rules(text)
    for fits in (same_id, by_name[0], begins, *by_name[1:]):
        fitting = [source for source in found if fits(source.entry)]
        if len(fitting) > 1:
            listed = ", ".join(f"{s.short} ({printable(s.entry.name, None)}, of {s.stream})" for s in fitting[:_LISTED])
            more = f" and {len(fitting) - _LISTED} more" if len(fitting) > _LISTED else ""
            raise QueryError(
                f"{printable(text)!r} fits {len(fitting)} sources in quarantine: {listed}{more}; name one of them by "
                "its id, or give its stream with --stream"
            )
        if fitting:
            return fitting[0]
    names = sorted({name for s in found for name in (s.short, s.entry.name, s.entry.name.rpartition("/")[2])})
    hint = meant(text, names, "list them with `dataflow quarantine list`") if names else "nothing is in quarantine"
    raise QueryError(f"no source {printable(text)!r} is in quarantine; {hint}")


def dismiss(catalogue: Catalogue, sources: Sequence[QuarantinedSource]) -> list[QuarantinedSource]:
    """Dismiss sources; returns those that nobody else took or dismissed meanwhile."""
    return _settle(catalogue, sources, catalogue.dismiss, lambda e: e.waits_for_attention)


def note_retries(catalogue: Catalogue, sources: Sequence[QuarantinedSource]) -> list[QuarantinedSource]:
    """Note that sources are to be taken again, which ends their dismissal; returns those still in quarantine."""
    return _settle(catalogue, sources, catalogue.retry, lambda e: e.quarantined is not None and not e.undone)


def _settle(
    catalogue: Catalogue,
    sources: Sequence[QuarantinedSource],
    commit: Callable[[str, Sequence[str], str], Committed | None],
    fits: Callable[[SourceEntry], bool],
) -> list[QuarantinedSource]:
    done: list[QuarantinedSource] = []
    for stream, batch in _batches(sources):
        for _ in range(_TRIES):
            known = {s.entry.id: catalogue.is_ingested(stream, s.entry.id) for s in batch}
            batch = [s for s in batch if (entry := known[s.entry.id]) is not None and fits(entry)]
            if not batch or commit(stream, [s.entry.id for s in batch], new_attempt()) is not None:
                break
        else:
            raise StoreError(f"the sources in quarantine of {stream} change all the time: repeat it later.")
        done += batch
    return done


def _batches(sources: Sequence[QuarantinedSource]) -> Iterator[tuple[str, list[QuarantinedSource]]]:
    """As many sources of one stream as one commit takes."""
    ordered = sorted(sources, key=lambda source: source.stream)
    for stream, group in groupby(ordered, lambda source: source.stream):
        of_stream = list(group)
        for at in range(0, len(of_stream), MAX_NAMED):
            yield stream, of_stream[at : at + MAX_NAMED]


def counts_by_reason(found: Sequence[QuarantinedSource]) -> dict[str, int]:
    """How many sources have each reason, the most frequent first."""
    counts: dict[str, int] = {}
    for source in found:
        counts[source.short_reason] = counts.get(source.short_reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class DismissReport:
    """What was dismissed, or with ``dry_run`` would be."""

    sources: tuple[QuarantinedSource, ...]
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"dismissed": [source.to_dict() for source in self.sources], "dry_run": self.dry_run}

    def __str__(self) -> str:
        what = "would be dismissed" if self.dry_run else "dismissed"
        lines = [f"{s.short} {printable(s.entry.name, None)}, of {s.stream}: {what}" for s in self.sources]
        left = "they stay in quarantine, and every proof counts them; `dataflow quarantine retry` takes them after all"
        return "\n".join([*lines, left]) if lines else f"{count_of(0, 'source')} dismissed"
