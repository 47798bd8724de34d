"""What the files of a compaction say, in their origin, of the files that they replace: for `dataflow recover`.

A compaction writes its files before its commit, and its inputs stay for a while after it. So a recovery that has only
the files finds rows twice, and must know which files hold rows of others:

- Rows of a file as it was ingested have its commit order in ``$seq``.
- A file that a compaction wrote is named in ``inputs`` of those that replace it.

An undo, an erasure, or an ingest that replaces sources, too, writes files again, without some rows: ``removes`` says
which. Files that it removes whole are named in ``gone``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.catalogue.items.commit_order import LETTERS
from runtime.catalogue.items.entries import FileEntry

REWRITTEN, A_TRY = 900_000, 4_000
"""An ingest that replaces sources numbers the files that it writes again from ``REWRITTEN`` on, those of each try
``A_TRY`` further on."""

_NAME = re.compile(f"[a-z0-9]{{1,{LETTERS}}}-[0-9]{{1,9}}")


def short_name(path: str) -> str:
    """The name by which a file of a compaction is listed: the beginning of its attempt's id, and its number."""
    attempt, _, number = path.rpartition("/")[2].removesuffix(".points").rpartition("-")
    return f"{attempt[:LETTERS]}-{number}"


@dataclass(frozen=True)
class Replaced:
    """What a file of a compaction says.

    ``inputs`` are short names of those inputs that a compaction wrote, ``repeats`` is that of its entry. ``removes``
    is empty for a compaction, else ``undo`` (of an ingest: ``replace``) and the ids of the sources, or ``erase`` and
    the digest of the key; the files ``gone`` by short names are removed whole.
    """

    inputs: tuple[str, ...]
    repeats: int
    removes: str = ""
    gone: tuple[str, ...] = ()

    @classmethod
    def by(cls, inputs: Iterable[FileEntry], repeats: int) -> Replaced:
        """Of a file that replaces ``inputs``, together with the others of its attempt."""
        return cls(tuple(short_name(f.path) for f in inputs if f.compacted), repeats)

    def origin(self) -> dict[str, str]:
        """The members of the file's origin."""
        more = {"removes": self.removes} if self.removes else {}
        more |= {"gone": " ".join(self.gone)} if self.gone else {}
        return {"inputs": " ".join(self.inputs), "repeats": str(self.repeats), **more}

    @classmethod
    def parse(cls, origin: Mapping[str, str] | None) -> Replaced | None:
        """What an origin says; None if it is not that of a compaction."""
        found = origin or {}
        repeats, inputs = found.get("repeats", ""), tuple(found.get("inputs", "").split())
        gone = tuple(found.get("gone", "").split())
        valid = "inputs" in found and repeats.isascii() and repeats.isdigit() and len(repeats) < 19
        if not valid or not all(map(_NAME.fullmatch, (*inputs, *gone))):
            return None
        return cls(inputs, int(repeats), found.get("removes", ""), gone)
