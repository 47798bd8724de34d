"""Entries of what is no source of rows: in quarantine, with its reason, an archive whose files are the sources, or a
place in a feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.types import Type
from runtime.catalogue import Catalogue, Committed, SourceEntry, new_attempt
from runtime.ingest.inputs.inputs import StreamInput
from runtime.ingest.inputs.settings import Settings

_REASON = 1_000  # maximum characters of a reason


def quarantine(
    catalogue: Catalogue,
    stream: str,
    settings: Settings,
    source_id: str,
    name: str,
    size: int,
    reason: str,
    position: Mapping[str, Any] | None = None,
) -> bool:
    """Record that the source (``size`` bytes) is not ingested, and why; False if it is ingested or recorded already.

    ``settings`` create the stream if it does not exist. Such a source may be ingested later, which replaces the record.
    ``position`` is where the feed goes on whose part it is.
    """
    known = settings.known or settings.schema(Type.STRING, {})
    entry = SourceEntry(id=source_id, name=name, bytes=size, quarantined=reason[:_REASON], position=position)
    return isinstance(catalogue.commit(stream, known, entry, (), new_attempt()), Committed)


def position_noted(
    catalogue: Catalogue, stream: str, settings: Settings, source_id: str, name: str, position: Mapping[str, Any]
) -> bool:
    """Record where a feed goes on, without rows; False if another process was faster."""
    known = settings.known or settings.schema(Type.STRING, {})
    entry = SourceEntry(id=source_id, name=name, bytes=0, position=position)
    return isinstance(catalogue.commit(stream, known, entry, (), new_attempt()), Committed)


def archive_done(catalogue: Catalogue, stream: str, settings: Settings, archive: StreamInput, size: int) -> None:
    """Record that all files of an archive with an identity of its own are ingested: it need not be read again."""
    assert archive.identity is not None
    known = settings.known or settings.schema(Type.STRING, {})
    catalogue.commit(stream, known, SourceEntry(id=archive.identity, name=archive.name, bytes=size), (), new_attempt())
