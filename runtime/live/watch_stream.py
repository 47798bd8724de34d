"""What becomes of the pieces of a feed in a stream of a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput, FileInput
from runtime.ingest.inputs.quarantine import position_noted, quarantine
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.report import IngestReport, SourceReport
from runtime.live.chains import Position
from runtime.live.feeds.feed import Piece


@dataclass
class StreamWatch:
    """What becomes of pieces: ``ingest`` takes one with its position; ``options`` are those of an ingest, all of them.

    Options that do not fit the stream are an error at once.
    """

    catalogue: Catalogue
    stream: str
    ingest: Callable[[FileInput, Position | None], IngestReport]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.settings()

    def settings(self) -> Settings:
        """How pieces are read, as the stream is now."""
        return Settings.of(self.catalogue.schema(self.stream), self.stream, **self.options)

    def take(self, piece: Piece) -> SourceReport:
        """Ingest a piece as one commit."""
        given = piece.given
        if isinstance(given, BytesInput) and piece.position is not None and not given.data:
            assert given.identity is not None
            place = self.catalogue, self.stream, self.settings(), given.identity, given.name, piece.position
            return SourceReport(given.name, "ingested" if position_noted(*place) else "already ingested")
        (report,) = self.ingest(given, piece.position).sources
        return report

    def set_aside(self, piece: Piece, error: IngestError) -> SourceReport:
        """Put a piece that cannot be read into quarantine; the error itself for a stream without any source yet, as
        then the options may be wrong."""
        if self.catalogue.schema(self.stream) is None:
            raise error
        given = piece.given
        digest, version = given.digest()
        source_id = given.identity or digest
        quarantine(
            self.catalogue, self.stream, self.settings(), source_id, given.name, version[2], str(error), piece.position
        )
        return SourceReport(given.name, "failed", error=str(error))
