"""Which objects were read to their end, so that they are not read again: noted beside the commits that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from runtime.catalogue import Catalogue
from runtime.helpers import Helpers
from runtime.live.feeds.file_place import FoundFile

_AT_ONCE = 16
"""Notes that are looked up at once."""


@dataclass
class ReadObjects:
    """Notes in a stream about the objects of the feed ``called``: which source was the last of a version of one.

    A note counts only while that source is there. Losing one costs that the object is read again, and found to be known
    by its content.
    """

    catalogue: Catalogue
    stream: str
    called: str

    def among(self, files: Sequence[FoundFile]) -> Mapping[Hashable, tuple[Hashable, str]]:
        """Those of the files that were read to their end: the version, and the SHA-256 up to where it was read as
        lines."""
        if not files:
            return {}
        if len(files) == 1:
            digests = [self._digest_of(files[0])]
        else:
            with Helpers(_AT_ONCE, "notes") as pool:
                digests = list(pool.map(self._digest_of, files))
        return {f.id: (f.version, digest) for f, digest in zip(files, digests, strict=True) if digest is not None}

    def note(self, found: FoundFile, source: str) -> None:
        """The object was read to its end, at last by this source, which is committed."""
        self.catalogue.put_alias(self.stream, self._alias(found), source)

    def _digest_of(self, found: FoundFile) -> str | None:
        source = self.catalogue.alias(self.stream, self._alias(found))
        entry = None if source is None else self.catalogue.is_ingested(self.stream, source)
        if entry is None:
            return None
        files = (entry.position or {}).get("files")
        return str(files[-1][1]) if files else ""

    def _alias(self, found: FoundFile) -> str:
        return hashlib.sha256(
            json.dumps(["read", self.called, found.path, found.version, self._begun]).encode()
        ).hexdigest()

    @cached_property
    def _begun(self) -> int:
        """The commit with which the stream was erased as a whole: what was noted before counts no more."""
        seq = self.catalogue.order(self.stream).seq if self.stream in self.catalogue.streams() else 0
        return self.catalogue.record(self.stream, seq).totals.begun if seq else 0
