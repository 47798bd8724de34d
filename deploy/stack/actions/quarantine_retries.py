"""Takes sources in quarantine again: through the deployment's queue, or here, where their bytes can be reached."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.handlers.events import Landed, message
from deploy.handlers.landing import LandedFile, ObjectGone, looked_up
from deploy.stack.actions.queues import DeployedQueue, existing
from deploy.stack.resources.resource_names import STORE, ResourceNames
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.catalogue import AttemptSwept
from runtime.errors import IngestError
from runtime.ingest import Settings, StreamInput, ingest, quarantine
from runtime.progress import count_of
from runtime.storage.locations import BucketLocation, locate
from runtime.upkeep.quarantined import QuarantinedSource, note_retries

if TYPE_CHECKING:
    from runtime import Store

HEAD = 1 << 16
"""Bytes that are read of a source to show its beginning."""

ENQUEUED, INGESTED, STILL, UNREACHED = "enqueued", "ingested", "still in quarantine", "not taken"
"""What became of a source that is retried."""

_UNREAD = "it cannot be read from here ({}): name the deployment with --name, or dismiss it."


class SourceUnreached(IngestError):
    """A source whose bytes are not there any more, or cannot be read from here."""


@dataclass(frozen=True)
class RetriedSource:
    """A source and its outcome, with details in a sentence."""

    source: QuarantinedSource
    outcome: str
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was taken, or is on its way."""
        return self.outcome in (ENQUEUED, INGESTED)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        found = self.source
        return {
            "stream": found.stream, "id": found.entry.id, "name": found.entry.name, "outcome": self.outcome,
            "details": self.why,
        }  # fmt: skip


def deployment_of(url: str) -> str | None:
    """The name of the deployment whose store has this URL; None for other stores."""
    place = locate(url)
    if not isinstance(place, BucketLocation):
        return None
    name = place.table.removesuffix("-catalogue")
    mine = place.table == ResourceNames(name).table and place.name.startswith(f"{name}-data-") and place.prefix == STORE
    return name if mine else None


@dataclass
class QuarantineRetry:
    """Retries sources of a store."""

    store: Store

    @property
    def access(self) -> Access:
        """The access of the store, which its objects are read with, too."""
        place = locate(self.store.url)
        return place.access if isinstance(place, BucketLocation) else Access()

    def through(self, name: str, sources: Sequence[QuarantinedSource]) -> list[RetriedSource]:
        """Enqueue the objects of sources for the deployment ``name``: its ingest takes them again within minutes."""
        queue = DeployedQueue(ResourceNames(name).queue, self.access)
        existing(name, [queue])
        outcomes: list[RetriedSource] = []
        found: dict[tuple[str, str], Landed] = {}
        for source in sources:
            try:
                found[source.stream, source.entry.id] = self._landed(source)
            except SourceUnreached as error:
                outcomes.append(RetriedSource(source, UNREACHED, str(error)))
        noted = note_retries(self.store.catalogue, [s for s in sources if (s.stream, s.entry.id) in found])
        # After the note: if the object fails again, that is a new record of it.
        queue.send([message(found[s.stream, s.entry.id]) for s in noted])
        return outcomes + [RetriedSource(source, ENQUEUED, f"to {queue.name}") for source in noted]

    def here(self, sources: Sequence[QuarantinedSource]) -> list[RetriedSource]:
        """Ingest sources in this process, with the stream's settings and the options of its newest source."""
        return [self._taken(source) for source in sources]

    def _taken(self, source: QuarantinedSource) -> RetriedSource:
        catalogue, stream, entry = self.store.catalogue, source.stream, source.entry
        try:
            file = self._opened(source)
        except SourceUnreached as error:
            return RetriedSource(source, UNREACHED, str(error))
        with closing(file):
            if not note_retries(catalogue, [source]):
                return RetriedSource(source, INGESTED, "meanwhile")
            given = StreamInput(file, entry.name, identity=entry.id)
            try:
                report = ingest(self.store.objects, catalogue, stream, given, again=False, **self._options(stream))
            except AttemptSwept:
                raise
            except IngestError as error:
                settings = Settings.of(catalogue.schema(stream), stream, **_NO_SETTINGS)
                quarantine(catalogue, stream, settings, entry.id, entry.name, entry.bytes, str(error))
                return RetriedSource(source, STILL, str(error))
        done = report.sources
        rows, rejected = sum(one.committed for one in done), sum(one.rejected for one in done)
        return RetriedSource(source, INGESTED, f"{count_of(rows, 'row')}, {rejected:,} rejected")

    def _options(self, stream: str) -> dict[str, Any]:
        """How the newest source of the stream was read that has points in it."""
        for known in self.store.sources(stream):
            if known.entry.quarantined is None and not known.entry.undone:
                return dict(known.entry.options)
        return {}

    def _landed(self, source: QuarantinedSource) -> Landed:
        """The source's object as it is now; SourceUnreached if it is not the one that was set aside."""
        entry = source.entry
        bucket, _, key = entry.name.removeprefix("s3://").partition("/")
        if not entry.name.startswith("s3://") or not key:
            raise SourceUnreached(f"{entry.name} is no object of a bucket: take it with --here where its file is.")
        try:
            found = looked_up(Client("s3", self.access), Landed(bucket, key))
        except ObjectGone:
            raise SourceUnreached(f"{entry.name} is not there any more: upload it again, or dismiss it.") from None
        if found.size != entry.bytes:
            raise SourceUnreached(
                f"{entry.name} was replaced since ({entry.bytes:,} bytes were set aside, it has {found.size:,}): the "
                "replacement has an event of its own; dismiss this one."
            )
        return found

    def _opened(self, source: QuarantinedSource) -> Any:
        """The source's bytes as a file; SourceUnreached if they are not there."""
        if source.entry.name.startswith("s3://"):
            return _Closing(LandedFile(Client("s3", self.access), self._landed(source)))
        path = Path(source.entry.name)
        try:
            file = path.open("rb")
        except OSError as error:
            raise SourceUnreached(f"{path}: {_UNREAD.format(error.strerror)}") from None
        size = os.fstat(file.fileno()).st_size
        if size != source.entry.bytes:
            file.close()
            raise SourceUnreached(
                f"{path} was changed since: {source.entry.bytes:,} bytes were set aside, it has {size:,}; ingest it as "
                "what it is now, and dismiss this one."
            )
        return file

    def beginning(self, source: QuarantinedSource, lines: int) -> list[str]:
        """The first lines of the source, unpacked if it is compressed; SourceUnreached, or StoreError."""
        name = source.entry.name
        if name.startswith("s3://"):
            found = self._landed(source)

            def attempt(s3: Any) -> bytes:
                with closing(
                    s3.get_object(Bucket=found.bucket, Key=found.key, Range=f"bytes=0-{HEAD - 1}")["Body"]
                ) as b:
                    data: bytes = b.read()
                return data

            data = Client("s3", self.access).call(f"read {name}", attempt) if found.size else b""
        else:
            with self._opened(source) as file:
                data = file.read(HEAD)
        return unpacked(data).decode(errors="backslashreplace").splitlines()[:lines]


_NO_SETTINGS: dict[str, Any] = {
    "format": "auto",
    **dict.fromkeys(("key", "time", "unit", "duplicates", "id", "missing_key")),
}


@dataclass(frozen=True)
class _Closing:
    """An object's file with a ``close``."""

    file: LandedFile

    def read(self, size: int, /) -> bytes:
        return self.file.read(size)

    def close(self) -> None:
        """Nothing is open between two requests."""


def unpacked(data: bytes) -> bytes:
    """The beginning of gzip or zstd data as far as it can be unpacked, at most ``HEAD`` bytes; other data as it is."""
    if data.startswith(b"\x1f\x8b"):
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, HEAD)
        except zlib.error:
            return data
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                found: bytes = reader.read(HEAD)
                return found
        except (zstandard.ZstdError, MemoryError):
            return data
    return data
