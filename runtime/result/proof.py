"""The proof that a result is complete, computed from the tasks' coverage and checked before the result is returned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from runtime.catalogue import FileEntry
from runtime.errors import IncompleteResult


@dataclass(frozen=True)
class StreamProof:
    """What was read of one of several streams: its commit, the files and rows planned, the rows read, its first and
    last event time (microseconds UTC, both inclusive; None without points), and its retention floor."""

    stream: str
    snapshot: int
    files_planned: int
    rows_catalogued: int
    rows_scanned: int
    first_time: int | None
    last_time: int | None
    retention_floor: int | None


@dataclass(frozen=True)
class Proof:
    """What was planned and read, with digests of plan, kernels and result.

    ``snapshot`` is the commit that was read; ``plan`` the SHA-256 of graph, parameters and range; ``kernels`` that of
    the compiled stages; ``result`` that of the result. If planned and merged files differ in number or set hash, or
    catalogued rows from scanned rows, there is no result. ``files_cached`` of the files were not read: their states,
    and the rows read for them, come from the cache. ``duplicates`` are rows that the stream's policy left out of this
    result; ``duplicates_at_ingest``, ``rejected`` and ``quarantined`` count for the whole stream. ``times_outside``
    counts times outside the years 1900 to 2261, which became null. ``tzdata`` is the release of the time zone database.
    ``dismissed`` of the quarantined sources were dismissed by a person; they are still not in the result.
    ``catalogue`` is "checked" if every item of it that was read carries a checksum, "unchecked" for a stream that only
    earlier versions have written; ``files_unchecked`` counts the files that those committed: only rows, keys, times and
    nulls were compared, no digest. ``carried`` says which rows before the range a carry snapshot stands for (None:
    there is none); its files and rows are counted like those of points, and duplicates before it are not. ``notes`` are
    sentences that a reader of the result should know. ``parts`` are the proofs of the metrics inside this one, whose
    results ``plan`` and ``result`` depend on; rows and files are counted in each proof for itself.
    ``rows_without_key`` were read and left out, since they have no value in the column of ``key_by``.

    Of a metric over several streams, ``streams`` says the same of each, ``stream`` has all names, ``snapshot`` is that
    of the first, and other numbers are sums (``retention_floor``: the latest).
    """

    stream: str
    snapshot: int
    since: int
    until: int
    until_clipped: bool
    plan: str
    files_planned: int
    files_merged: int
    files_hash_planned: str
    files_hash_merged: str
    files_cached: int
    rows_catalogued: int
    rows_scanned: int
    rows_ruled_out: int
    duplicates: int
    duplicates_at_ingest: int
    rejected: int
    quarantined: int
    retention_floor: int | None
    times_outside: int
    tzdata: str
    tasks: int
    kernels: str
    result: str
    catalogue: str
    files_unchecked: int
    notes: tuple[str, ...] = ()
    carried: str | None = None
    dismissed: int = 0
    parts: tuple[PartProof, ...] = ()
    rows_without_key: int = 0
    streams: tuple[StreamProof, ...] = ()

    @property
    def watermark(self) -> int | None:
        """Of several streams, the last event time that all have reached (microseconds UTC, inclusive)."""
        last = [s.last_time for s in self.streams]
        return None if None in last else min((t for t in last if t is not None), default=None)

    @property
    def complete(self) -> bool:
        """Whether every planned row was read exactly once, also for the parts."""
        return (
            self.files_planned == self.files_merged
            and self.files_hash_planned == self.files_hash_merged
            and self.rows_catalogued == self.rows_scanned
            and all(part.proof.complete for part in self.parts)
        )

    def to_dict(self) -> dict[str, object]:
        """The proof as plain JSON values; times are microseconds UTC."""
        out = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "streams"}
        parts = [{"step": part.step, "proof": part.proof.to_dict()} for part in self.parts]
        out |= {"notes": list(self.notes), "parts": parts, "complete": self.complete}
        if self.streams:
            out |= {"streams": [asdict(s) for s in self.streams], "watermark": self.watermark}
        return out


@dataclass(frozen=True)
class PartProof:
    """The proof of a metric inside another: ``step`` names the step that takes its answer."""

    step: str
    proof: Proof


def check_coverage(files: Sequence[FileEntry], covered: Mapping[str, int], stream: str) -> None:
    """Raise IncompleteResult unless every file's rows were covered exactly once."""
    for f in files:
        if covered.get(f.path, 0) != f.rows:
            raise IncompleteResult(
                f"stream {stream}: of {f.path}, {covered.get(f.path, 0)} rows were read and {f.rows} are catalogued; "
                "run `dataflow verify` on the store"
            )
    if extra := set(covered) - {f.path for f in files}:
        raise IncompleteResult(f"stream {stream}: {min(extra)} was read but not planned")


def merged_files(files: Sequence[FileEntry], covered: Mapping[str, int]) -> list[str]:
    """Paths of the files whose rows were all covered."""
    return [f.path for f in files if covered.get(f.path, 0) == f.rows]


def digest(*parts: bytes | memoryview) -> str:
    """SHA-256 over length-prefixed parts, hex."""
    out = hashlib.sha256()
    for p in parts:
        out.update(len(p).to_bytes(8, "little"))
        out.update(p)
    return out.hexdigest()
