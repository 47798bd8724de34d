"""Which sources an ingest takes back in its own commits, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.catalogue import Catalogue, SourceEntry
from runtime.errors import QueryError
from runtime.ingest.one_source import Replacement
from runtime.upkeep.source_list import find_sources, named_so
from runtime.upkeep.taking_back import TakingBack


@dataclass(frozen=True)
class ByName:
    """Replaces the source that ``replace`` names; True: that with the name of the new one, and this one itself, if it
    is there. A new one whose name no source has replaces nothing."""

    catalogue: Catalogue
    back: TakingBack
    stream: str
    replace: str | bool

    @property
    def only_one(self) -> bool:
        """Whether there is one source to be replaced."""
        return self.replace is not True

    def found(self, name: str, source_id: str) -> list[SourceEntry]:
        """The live sources that the source of this name and id takes back, and what later ingests took of them."""
        if self.stream not in self.catalogue.streams():
            return [] if self.replace is True else find_sources([], str(self.replace))
        entries = [e for e in self.catalogue.sources(self.stream) if not e.undone and e.quarantined is None]
        own = find_sources(entries, source_id) if any(e.id == source_id for e in entries) else []
        if self.replace is not True:
            try:
                return find_sources(entries, str(self.replace))
            except QueryError:
                if own:  # the same command again: it has taken the place
                    return []
                raise
        return list({e.id: e for e in [*named_so(entries, name), *own]}.values())

    def replacement(self, found: Sequence[SourceEntry], attempt: str, number: int) -> Replacement:
        """See ``TakingBack.taken_back``."""
        taken, rows = self.back.taken_back([entry.id for entry in found], attempt, number)
        return Replacement(taken, tuple(entry.name for entry in found), rows)
