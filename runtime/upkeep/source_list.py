"""What a stream was ingested from: when, how much of it, and how a person names one of these sources."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from operators.nearest import meant
from runtime.catalogue import Catalogue, SourceEntry
from runtime.display.text_tables import iso, printable
from runtime.errors import QueryError
from runtime.ingest.retry_rejects import retried_id
from runtime.progress import count_of

SHORTEST = 8
"""Letters of a shortened id; more where these are not unique in the stream."""

_HEX = re.compile(r"[0-9a-f]{4,64}")
_LISTED = 10


@dataclass(frozen=True)
class IngestedSource:
    """A source and its commit: the number ``seq``, made at ``at`` (microseconds UTC).

    ``short`` is the beginning of its id, as long as needed to be unique in the stream. ``waiting`` is the number of its
    rows that were too far in the future and that no later ingest has taken.
    """

    entry: SourceEntry
    seq: int
    at: int
    short: str
    waiting: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; times ISO-8601."""
        e = self.entry
        return {
            "id": e.id,
            "short_id": self.short,
            "name": e.name,
            "commit": self.seq,
            "at": iso(self.at),
            "bytes": e.bytes,
            "rows_read": e.rows_read,
            "rows": e.rows_committed,
            "rejected": e.rejected,
            "reject_reasons": dict(e.reject_reasons),
            "rejects_path": e.rejects_path,
            "dropped": e.dropped,
            "waiting": self.waiting,
            "resumed": e.resumed,
            "quarantined": e.quarantined,
            "dismissed": e.dismissed or None,
            "undone": e.undone or None,
            "options": dict(e.options),
        }


def ingested_sources(catalogue: Catalogue, stream: str) -> list[IngestedSource]:
    """The sources of a stream, newest first.

    A source that was quarantined and ingested later is listed once, with its last commit.
    """
    entries = catalogue.sources(stream)
    # Read after the sources, so that each has its record.
    commits = {record.source: record for record in catalogue.records(stream) if record.source is not None}
    short = shortened(entry.id for entry in entries)
    live = {entry.id for entry in entries if not entry.undone}
    out = []
    for entry in entries:
        record = commits[entry.id]
        waits = entry.waiting is not None and entry.waiting.next_id(entry.id) not in live
        waiting = entry.waiting.rows if entry.waiting is not None and waits else 0
        out.append(IngestedSource(entry, record.seq, record.at, short[entry.id], waiting))
    return sorted(out, key=lambda source: -source.seq)


def shortened(ids: Iterable[str]) -> dict[str, str]:
    """For each id its shortest beginning of at least ``SHORTEST`` letters that no other one has."""
    known = sorted(set(ids))
    out = {}
    for at, id_ in enumerate(known):
        neighbours = (*known[max(0, at - 1) : at], *known[at + 1 : at + 2])
        length = SHORTEST
        while any(other.startswith(id_[:length]) for other in neighbours):
            length += 1
        out[id_] = id_[:length]
    return out


def find_sources(entries: Sequence[SourceEntry], text: str) -> list[SourceEntry]:
    """The source that ``text`` names, and after it what later ingests took of it.

    ``text`` is an id, a name, the beginning of an id (4 letters or more), the path of a file, or a file's name; the
    first of these that fits any source decides. A name means the source that is in the stream, if there is one such,
    before those that were taken back. Later ingests take rows that were too far in the future at first, and
    rejected records (``retry_rejects``); they are sources of their own, which this one does not stand without.
    QueryError if no source fits, or several do.
    """
    wanted = str(text)
    if not wanted.strip():
        raise QueryError("a source is named by its name, its path or the beginning of its id, got an empty text")
    same_id, begins, by_name = naming_rules(wanted)
    for fits in (same_id, by_name[0], begins, *by_name[1:]):
        found = [entry for entry in entries if fits(entry)]
        if found:
            return _one(entries, found, wanted, fits is not begins)
    short = shortened(entry.id for entry in entries)
    names = {name for e in entries for name in (e.name, PurePath(e.name).name, short[e.id])}
    hint = meant(wanted, sorted(names), "list them with `dataflow sources`")
    raise QueryError(f"no source {printable(wanted)!r} was ingested into this stream; {hint}")


def named_so(entries: Sequence[SourceEntry], name: str) -> list[SourceEntry]:
    """As ``find_sources``, but never by an id, and empty if no source fits."""
    for fits in naming_rules(name)[2]:
        found = [entry for entry in entries if fits(entry)]
        if found:
            return _one(entries, found, name, True)
    return []


_Fits = Callable[[SourceEntry], bool]


def naming_rules(wanted: str) -> tuple[_Fits, _Fits, tuple[_Fits, ...]]:
    """How a source is named: by its id, by the beginning of its id, and by name."""
    path = _normal(wanted)
    return (
        lambda e: e.id == wanted.lower(),
        lambda e: _HEX.fullmatch(wanted.lower()) is not None and e.id.startswith(wanted.lower()),
        (
            lambda e: e.name == wanted,
            lambda e: _normal(e.name) == path,
            lambda e: "/" not in wanted and PurePath(e.name).name == wanted,
        ),
    )


def _one(entries: Sequence[SourceEntry], found: Sequence[SourceEntry], wanted: str, by_name: bool) -> list[SourceEntry]:
    by_id = {entry.id: entry for entry in entries}
    later = {entry.id: _later(by_id, entry) for entry in found}
    followed = {entry.id for them in later.values() for entry in them}
    first = [entry for entry in found if entry.id not in followed]
    live = [entry for entry in first if not entry.undone and entry.quarantined is None]
    if by_name and len(live) == 1:
        first = live
    if len(first) == 1:
        return [first[0], *later[first[0].id]]
    short = shortened(by_id)
    listed = [
        f"{short[e.id]} ({printable(e.name)}, {_state(e)})" for e in [*live, *(e for e in first if e not in live)]
    ]
    more = f" and {len(first) - _LISTED} more" if len(first) > _LISTED else ""
    raise QueryError(
        f"{printable(wanted)!r} fits {len(first)} sources: {', '.join(listed[:_LISTED])}{more}; "
        "name one of them by its id"
    )


def _state(entry: SourceEntry) -> str:
    return "taken back" if entry.undone else count_of(entry.rows_committed, "row")


def _later(by_id: dict[str, SourceEntry], entry: SourceEntry) -> list[SourceEntry]:
    """What later ingests took of a source, in this order: rows that waited, rejected records."""
    ids = [retried_id(entry.id)]
    if entry.waiting is not None:
        ids.insert(0, entry.waiting.next_id(entry.id))
    out: list[SourceEntry] = []
    for id_ in ids:
        if id_ in by_id:
            out += [by_id[id_], *_later(by_id, by_id[id_])]
    return out


def _normal(name: str) -> str:
    """A path in one form; names that are no paths (``s3://bucket/key``, ``-``) stay as they are."""
    return name if "://" in name else os.path.abspath(name)
