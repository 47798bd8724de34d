"""Which source an object of the landing bucket is.

A source is known by its content. So that an event that comes again, and reconcile, need not read the object, an alias
leads from its place and version (``Landed.identity``) to it. Earlier versions knew sources by their place; objects that
cannot be read are set aside under it.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from deploy.handlers.events import Landed
from deploy.handlers.landing import LandedFile
from runtime.aws.client import Client
from runtime.catalogue import Catalogue, SourceEntry, new_attempt
from runtime.catalogue.items.changes import Left
from runtime.ingest import Settings, known_source, source_identity

KEPT = 32 << 20
"""Bytes of the largest object that is kept in memory once it is hashed; a larger one is read twice."""

_TRIES = 5


@dataclass(frozen=True)
class ObjectSource:
    """The source that an object is known to be, with its entry in the catalogue."""

    id: str
    entry: SourceEntry

    @property
    def is_quarantined(self) -> bool:
        """Whether it was set aside, so that it is tried again when it is offered again."""
        return self.entry.quarantined is not None and not self.entry.undone


def known_object(catalogue: Catalogue, stream: str, found: Landed) -> ObjectSource | None:
    """The source that the object is, without reading it; None if it has to be read to be known."""
    for source_id in (catalogue.alias(stream, found.identity), found.identity):
        entry = None if source_id is None else catalogue.is_ingested(stream, source_id)
        if source_id is not None and entry is not None:
            return ObjectSource(source_id, entry)
    return None


def state_of(catalogue: Catalogue, stream: str, found: Landed) -> str:
    """``missing``, ``known`` (also: taken back, or dismissed), ``quarantined``, or ``waiting``: rows that were ahead of
    the clock could be ingested by now."""
    source = known_object(catalogue, stream, found)
    if source is None:
        return "missing"
    if source.is_quarantined:
        return "known" if source.entry.dismissed else "quarantined"
    if source.entry.waiting is not None:
        known = known_source(catalogue, stream, source.id)
        return "waiting" if known is not None and known.acceptable else "known"
    return "known"


def content_of(client: Client, found: Landed) -> tuple[str, io.BytesIO | None]:
    """The SHA-256 of the object's bytes, and these unless there are many."""
    sha, pieces, file = hashlib.sha256(), [], LandedFile(client, found)
    keep = found.size is not None and found.size <= KEPT
    while piece := file.read(1 << 20):
        sha.update(piece)
        if keep:
            pieces.append(piece)
    return sha.hexdigest(), io.BytesIO(b"".join(pieces)) if keep else None


def identity_of(catalogue: Catalogue, stream: str, found: Landed, digest: str, settings: Settings) -> str:
    """The id of the object's source, which a file of this name and SHA-256 has on the console, too."""
    return source_identity(catalogue, stream, digest, found.name, settings)


def unquarantine(catalogue: Catalogue, stream: str, place: str) -> None:
    """Take back the record that the object at a place was set aside unread: its content is ingested by now.

    Nothing depends on it but the count of what is in quarantine; the next event of the object does it, too.
    """
    for _ in range(_TRIES):
        entry = catalogue.is_ingested(stream, place)
        if entry is None or entry.quarantined is None or entry.undone:
            return
        snapshot = catalogue.snapshot(stream)
        times = [t for file in snapshot.files for t in (file.t_min, file.t_max)]
        left = Left(snapshot.seq, min(times, default=None), max(times, default=None))
        if catalogue.undo(stream, [place], (), (), new_attempt(), left) is not None:
            return
