"""What the files of a compaction say, in their origin, of the files that they replace: for `dataflow recover`.

A compaction writes its files before its commit, and its inputs stay for a while after it. So a recovery that has only
the files finds rows twice, and must know which files hold rows of others:

- Rows of a file as it was ingested have its commit order in ``$seq``.
- A file that a compaction wrote is named in ``inputs`` of those that replace it.
- ``replaces`` is the sum of all inputs' contents (``FileEntry.content_hash``), for a check where all are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.catalogue.items.commit_order import LETTERS
from runtime.catalogue.items.entries import FileEntry

_MODULUS = 1 << 256
_HASH = re.compile("[0-9a-f]{64}")
_NAME = re.compile(f"[a-z0-9]{{1,{LETTERS}}}-[0-9]{{1,9}}")


def short_name(path: str) -> str:
    """The name by which a file of a compaction is listed: the beginning of its attempt's id, and its number."""
    attempt, _, number = path.rpartition("/")[2].removesuffix(".points").rpartition("-")
    return f"{attempt[:LETTERS]}-{number}"


def content_of_last(inputs: Iterable[FileEntry], others: Iterable[FileEntry]) -> str:
    """The ``FileEntry.content`` of the last file that a compaction writes, which makes the contents add up.

    ``others`` are its other files: the content of each is the SHA-256 of its path.
    """
    total = sum(f.content_hash for f in inputs) - sum(f.content_hash for f in others)
    return f"{total % _MODULUS:064x}"


@dataclass(frozen=True)
class Replaced:
    """What a file of a compaction says.

    ``inputs`` are short names of those inputs that a compaction wrote, ``replaces`` the sum of all inputs' contents.
    ``repeats`` and ``content`` are those of its entry; an empty content is the SHA-256 of its path.
    """

    inputs: tuple[str, ...]
    replaces: int
    repeats: int
    content: str = ""

    @classmethod
    def by(cls, inputs: Iterable[FileEntry], repeats: int, content: str = "") -> Replaced:
        """Of a file that replaces ``inputs``, together with the others of its attempt."""
        listed = list(inputs)
        names = tuple(short_name(f.path) for f in listed if f.compacted)
        return cls(names, sum(f.content_hash for f in listed) % _MODULUS, repeats, content)

    def origin(self) -> dict[str, str]:
        """The members of the file's origin."""
        out = {"replaces": f"{self.replaces:064x}", "inputs": " ".join(self.inputs), "repeats": str(self.repeats)}
        return out | ({"content": self.content} if self.content else {})

    @classmethod
    def parse(cls, origin: Mapping[str, str] | None) -> Replaced | None:
        """What an origin says; None if it is not that of a compaction."""
        found = origin or {}
        sum_, repeats, content = found.get("replaces", ""), found.get("repeats", ""), found.get("content", "")
        inputs = tuple(found.get("inputs", "").split())
        valid = _HASH.fullmatch(sum_) and repeats.isascii() and repeats.isdigit() and len(repeats) < 19
        if not valid or not (_HASH.fullmatch(content) or not content) or not all(map(_NAME.fullmatch, inputs)):
            return None
        return cls(inputs, int(sum_, 16), int(repeats), content)
