"""One attempt known from its point files only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runtime.catalogue import FileEntry, file_path
from runtime.catalogue.items.commit_order import LETTERS, Order, Started
from runtime.catalogue.items.compaction_origin import REWRITTEN
from runtime.pointfile import PointFile
from runtime.progress import count_of


def number_of(path: str) -> int:
    """The number of a file in its attempt, which is also its place in the commit."""
    return int(path.rpartition("-")[2].removesuffix(".points"))


@dataclass(frozen=True)
class Attempt:
    """The files of an attempt; ``written`` is when its last file was written, by the object store's clock (microseconds
    UTC)."""

    stream: str
    name: str
    written: int
    files: tuple[tuple[FileEntry, PointFile], ...]
    floor: int | None = None
    """The day to which it raised the floor, known from the files that hold what is ``carried`` in; None: it did not."""
    carried: tuple[FileEntry, ...] = ()
    absent: tuple[FileEntry, ...] = ()
    """Stand-ins for files that are gone, so that the others have the numbers in the commit that they had."""

    @property
    def entries(self) -> list[FileEntry]:
        """All files of its commit."""
        return sorted([*self.absent, *(e for e, _ in self.files)], key=lambda e: number_of(e.path))

    @property
    def gaps(self) -> list[int]:
        """The numbers of files of an ingest that are not there, below those that are."""
        there = {number_of(e.path) for e, _ in self.files if not e.compacted}
        return [n for n in range(max(there, default=0)) if n not in there]

    def with_absent(self, rows: Mapping[int, int]) -> Attempt:
        """The same with stand-ins for files that are gone, which had so many rows, by number."""
        first = self.files[0][0]
        absent = [
            replace(
                first, path=file_path(self.stream, first.day, self.name, n), rows=max(1, rows.get(n, 0)), bytes=1,
                t_max=first.t_min, sha256="0" * 64, keys=1, nulls={}, footer="",
            )
            for n in self.gaps
        ]  # fmt: skip
        return replace(self, absent=tuple(absent))

    @property
    def compacted(self) -> bool:
        """Whether it is a compaction: all its files hold rows of others."""
        return self.files[0][0].compacted

    @property
    def rewritten(self) -> tuple[tuple[FileEntry, PointFile], ...]:
        """Its files with rows of others: all those of a compaction, some of an ingest that replaces sources."""
        return tuple(f for f in self.files if f[0].compacted)

    def without_rewritten(self) -> Attempt:
        """The same without files with rows of others."""
        return replace(self, files=tuple(f for f in self.files if not f[0].compacted))

    @property
    def missing(self) -> list[str]:
        """Short names of files of a compaction that are not there, as far as they are known."""
        # What an ingest that replaces sources has written again has numbers of its own.
        own = [(number_of(e.path), file) for e, file in self.files if number_of(e.path) < REWRITTEN]
        there = {number for number, _ in own}
        counts = [(file.origin or {}).get("files", "") for _, file in own]
        last = max([*there, *(int(n) - 1 for n in counts if n.isascii() and n.isdigit())], default=-1)
        return [f"{self.name[:LETTERS]}-{n}" for n in range(last + 1) if n not in there]

    @property
    def what(self) -> str:
        """What it is, in a sentence."""
        return f"attempt {self.name} with {count_of(self.rows, 'row')}"

    @property
    def rows(self) -> int:
        """Rows of its files."""
        return sum(entry.rows for entry, _ in self.files)

    @property
    def origin(self) -> Mapping[str, str]:
        """The origin in its files."""
        return self.files[0][1].origin or {}

    @property
    def order(self) -> Order | None:
        """The commits before it began; None in files of earlier versions."""
        return Order.parse(self.origin.get("order"))

    @property
    def started(self) -> Started:
        """What is known of its place in the commit order."""
        return Started(self.order, self.written)

    @property
    def is_whole(self) -> bool | None:
        """Whether all its files exist; None in files of earlier versions."""
        if self.order is None:
            return None
        own = self.files if self.compacted else self.without_rewritten().files
        return str(len(own)) in [(file.origin or {}).get("files", "") for _, file in own]

    @property
    def content(self) -> tuple[str, ...]:
        """Digests of its files' content, independent of the writer."""
        return tuple(sorted(file.content_digest for _, file in self.files))
