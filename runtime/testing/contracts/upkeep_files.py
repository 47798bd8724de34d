"""Files and commits of upkeep, as the contracts make them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from runtime.catalogue import DAY, Catalogue, Committed, FileEntry, Left, new_attempt
from runtime.catalogue.items.entries import SEQ
from runtime.testing.contracts.catalogue_contract import files, source


def merged(gone: Sequence[FileEntry], attempt: str, number: int = 0) -> FileEntry:
    """The entry of a file with the rows of others, as a compaction writes it."""
    first, last = min(f.t_min for f in gone), max(f.t_max for f in gone)
    (made,) = files("s", attempt, first // DAY)
    content = sum(f.content_hash for f in gone) % (1 << 256)
    return replace(
        made,
        path=made.path.replace("-0.", f"-{number}."),
        rows=sum(f.rows for f in gone),
        t_min=first,
        t_max=last,
        nulls={**made.nulls, SEQ: 0},
        content=f"{content:064x}",
    )


def left_of(catalogue: Catalogue, dels: Sequence[FileEntry], adds: Sequence[FileEntry] = ()) -> Left:
    """What is left of the stream without some files and with others."""
    snapshot = catalogue.snapshot("s")
    rest = [f for f in (*snapshot.files, *adds) if f.path not in {gone.path for gone in dels}]
    return Left(snapshot.seq, min((f.t_min for f in rest), default=None), max((f.t_max for f in rest), default=None))


def of_commit(catalogue: Catalogue, *seqs: int) -> list[FileEntry]:
    """The live files of some commits."""
    return [file for file in catalogue.snapshot("s").files if file.seq in seqs]


def digest(key: str) -> str:
    """The digest of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def ids(*names: str) -> list[str]:
    """The ids of sources."""
    return [source(name).id for name in names]


def compact(catalogue: Catalogue, gone: Sequence[FileEntry]) -> FileEntry:
    """Replace files by one."""
    attempt = new_attempt()
    made = merged(gone, attempt)
    done = catalogue.replace("s", gone, [made], attempt)
    assert isinstance(done, Committed)
    return replace(made, seq=done.seq)
