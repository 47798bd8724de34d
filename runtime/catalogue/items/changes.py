"""What a commit changes in a stream, whatever its kind, and what is known of files and keys that are gone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.catalogue.items.entries import FileEntry, SourceEntry
from runtime.catalogue.items.schema import StreamSchema
from runtime.errors import StoreError

MAX_NAMED = 90
"""The most sources that one commit takes back or dismisses, and the most keys that it erases: each is an item of its
transaction."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Left:
    """What a commit that takes rows away leaves, by a snapshot of the whole stream at commit ``seq``.

    ``first`` and ``last`` are the first and last event times (microseconds UTC) of its files without those that are
    replaced and with those that replace them; None if there are none.
    """

    seq: int
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class TakenBack:
    """Sources that a commit takes back: ``dels`` are all live files with rows of them, ``adds`` those that replace
    them, with the rows of other sources; ``left`` is the rest of the stream."""

    sources: Sequence[str]
    dels: Sequence[FileEntry]
    adds: Sequence[FileEntry]
    left: Left


@dataclass(frozen=True)
class StreamChange:
    """A commit to be made: its ``adds`` and ``dels``, and what else it does.

    Either it adds a ``source`` with its ``schema`` (``again``: also one that was taken back; ``known``: the number of
    erased keys that its files respect), or it is upkeep. ``undone`` are sources that it takes back, ``floor`` the
    first day that it keeps, ``erased`` the digests of keys that it erases, ``whole``: it erases the stream. ``left``
    is given if it takes rows away. ``dismissed`` are sources in quarantine that it dismisses, ``retried`` those
    that are to be taken again.
    """

    attempt: str
    adds: Sequence[FileEntry] = ()
    dels: Sequence[FileEntry] = ()
    source: SourceEntry | None = None
    schema: StreamSchema | None = None
    again: bool = False
    known: int | None = None
    undone: tuple[str, ...] = ()
    floor: int | None = None
    erased: tuple[str, ...] = ()
    whole: bool = False
    left: Left | None = None
    dismissed: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()

    @property
    def source_id(self) -> str | None:
        """The id of the source that it adds."""
        return None if self.source is None else self.source.id

    def checked(self, stream: str) -> StreamChange:
        """The change itself if one commit can make it, else ``StoreError``."""
        for what, noun, ids in (
            ("takes back", "sources", self.undone),
            ("erases", "keys", self.erased),
            ("dismisses", "sources", self.dismissed),
            ("retries", "sources", self.retried),
        ):
            if len(ids) > MAX_NAMED:
                raise StoreError(
                    f"one commit to stream {stream!r} {what} at most {MAX_NAMED} {noun}, not {len(ids):,}: repeat it "
                    "with a part of them at a time."
                )
            if len(set(ids)) < len(ids) or not all(_DIGEST.fullmatch(id_) for id_ in ids):
                raise StoreError(f"the {noun} that a commit to stream {stream!r} {what} are not distinct SHA-256.")
        places = {(file.seq, file.ordinal) for file in self.dels}
        if len(places) < len(self.dels) or any(seq < 1 for seq, _ in places):
            raise StoreError(f"the files to be replaced in stream {stream!r} are not those of a snapshot, each once.")
        return self


@dataclass(frozen=True)
class Gone:
    """A file that commit ``seq`` replaced or removed, made at ``at`` (microseconds UTC); ``bytes`` long."""

    path: str
    seq: int
    at: int
    bytes: int


@dataclass(frozen=True)
class Erasure:
    """The last commit that erased a key, made at ``at`` (microseconds UTC); ``times`` commits did."""

    seq: int
    at: int
    times: int = 1


def key_digest(key: str | int) -> str:
    """The SHA-256 by which an erased key is known: of its type and value, as CATALOGUE.md says."""
    text = f"int64\n{key}" if isinstance(key, int) else f"string\n{key}"
    return hashlib.sha256(text.encode()).hexdigest()
