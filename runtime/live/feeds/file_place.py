"""What a place is that holds files: it lists them and reads their bytes; a folder, or a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from operators.errors import Portable
from runtime.ingest.inputs.inputs import FileInput

UNFINISHED = (".part", ".tmp")
"""How names end of files that are still being written; so are those whose names begin with a dot."""


def is_unfinished(name: str) -> bool:
    """Whether a file of this name, or in a folder of this name, is waited for."""
    return name.startswith(".") or name.endswith(UNFINISHED)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that there is: ``id`` identifies it for as long as it is there, ``version`` changes with its content."""

    id: Hashable
    path: str
    version: Hashable
    size: int


class Unreadable(Portable, OSError):
    """A file that cannot be read now; the message says which one, and why."""


class PlaceAway(Portable, Exception):
    """A place that does not answer; the message says which one, and why. It is asked again."""


class FilePlace(Protocol):
    """Where files are. A file that is gone raises ``FileNotFoundError``, one that cannot be read another OSError."""

    name: str
    """What it is called in messages."""

    is_atomic: bool
    """Whether a file appears whole, and changes by being replaced as a whole: it never grows in place."""

    again: float
    """Seconds until a file that could not be read is tried again."""

    def listed(self) -> Iterator[Sequence[FoundFile]]:
        """The files that there are, some at a time; each once."""
        ...

    def seen(self, found: FoundFile) -> FoundFile | None:
        """It as it is now; None if it is gone, or another one has its name."""
        ...

    def read(self, found: FoundFile, at: int, size: int) -> bytes:
        """Up to ``size`` of its bytes; fewer where it ends."""
        ...

    def whole(self, found: FoundFile) -> FileInput:
        """All of it as an input, until the next one is asked for."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...
