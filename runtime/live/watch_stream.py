"""What becomes of the pieces of a feed in a stream of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput, FileInput
from runtime.ingest.inputs.quarantine import position_noted, quarantine
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.report import IngestReport, SourceReport
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import Piece
from runtime.live.stream_watermark import IDLE, QuietPartitions

_STEP = 1 << 20


@dataclass
class StreamWatch:
    """What becomes of pieces: ``ingest`` takes one; ``options`` are those of an ingest, all of them.

    Options that do not fit the stream are an error at once.
    """

    catalogue: Catalogue
    stream: str
    ingest: Callable[[Piece], IngestReport]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.settings()

    def settings(self) -> Settings:
        """How pieces are read, as the stream is now."""
        return Settings.of(self.catalogue.schema(self.stream), self.stream, **self.options)

    def take(self, piece: Piece) -> Sequence[SourceReport]:
        """Ingest a piece as one commit; of an archive, each file in it is one."""
        given = piece.given
        if isinstance(given, BytesInput) and piece.position is not None and not given.data:
            assert given.identity is not None
            place = self.catalogue, self.stream, self.settings(), given.identity, given.name, piece.position
            return [SourceReport(given.name, "ingested" if position_noted(*place) else "already ingested")]
        if piece.chain is not None:
            return self.ingest(piece).sources
        alias, digest = hashlib.sha256(json.dumps(["watched", given.name]).encode()).hexdigest(), given.digest()[0]
        self._check_not_grown(given, self.catalogue.alias(self.stream, alias))
        reports = self.ingest(piece).sources
        self.catalogue.put_alias(self.stream, alias, digest)
        return reports

    def _check_not_grown(self, given: FileInput, before: str | None) -> None:
        """IngestError if the file was ingested as a whole, as the source ``before``, and has only grown since."""
        entry = None if before is None else self.catalogue.is_ingested(self.stream, before)
        if entry is None:
            return
        hashed, left = hashlib.sha256(), entry.bytes
        with given.open() as file:
            while left and (step := file.read(min(left, _STEP))):
                hashed.update(step)
                left -= len(step)
            has_more = bool(file.read(1))
        if has_more and not left and hashed.hexdigest() == before:
            raise IngestError(
                f"{given.name} was ingested as a whole and has grown since: its first points would count twice. Ingest "
                "it with --replace, or have one record written per line."
            )

    def note_quiet(self, quiet: QuietPartitions) -> None:
        """Commit which partitions the watermark no longer waits for."""
        if self.catalogue.schema(self.stream) is None:
            return
        for partition in quiet.found():
            chain = SourceChain(self.catalogue, self.stream, f"{partition}\n{IDLE}", partition)
            identity = chain.identity(chain.reached().number + 1)
            name = f"{partition or 'ingests'}: no points for a while"
            position_noted(self.catalogue, self.stream, self.settings(), identity, name, chain.position(idle=True))

    def set_aside(self, piece: Piece, error: IngestError) -> SourceReport | None:
        """Put a piece that cannot be read into quarantine; the error itself for a stream without any source yet, as
        then the options may be wrong. None if there is nothing to put there: a file that went, or was closed to us,
        since it was found. The feed then says what is wrong at its next look."""
        given = piece.given
        try:
            digest, version = given.digest()
        except IngestError:
            return None
        if self.catalogue.schema(self.stream) is None:
            raise error
        source_id = given.identity or digest
        quarantine(
            self.catalogue, self.stream, self.settings(), source_id, given.name, version[2], str(error), piece.position
        )
        return SourceReport(given.name, "failed", error=str(error))
