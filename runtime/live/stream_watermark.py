"""The watermark of a stream: how far all that reports to it has come in event time, read from the log.

After the Dataflow model (Akidau et al., The Dataflow Model, VLDB 2015), of which it is the heuristic kind. It depends
on the commits alone, never on a clock, so that all who follow a stream have the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.catalogue import Catalogue, Record, SourceEntry

INGESTS = ""
"""The partition of all points that are of no feed."""

PARTITION, IDLE = "partition", "idle"
"""Fields of a feed's position: of which partition the source is; that nothing came from it for a while."""

_FEW = 1_000
"""Commits whose sources are looked up one by one."""

_OFTEN = 1_000
"""Commits from one note to the next."""


@dataclass
class StreamWatermark:
    """The smallest, over the stream's partitions, of their newest event times; it never goes back.

    A partition is a feed that is watched, or a part of one that has a clock of its own; all ingests are one. One that a
    commit calls idle is left out until points come from it again. Nothing is left out of answers.
    """

    catalogue: Catalogue
    stream: str
    seq: int = 0
    """The last commit that is counted."""

    mark: int | None = None
    """Microseconds UTC; None before the first point."""

    newest: dict[str, int] = field(default_factory=dict)
    """The newest event time of each partition that is not left out."""

    reported: dict[str, int] = field(default_factory=dict)
    """The last commit with points of each."""

    is_kept: bool = False
    """Whether it is noted in the catalogue now and then, so that others need not read the whole log."""

    _hash: str = ""
    _noted: int = 0

    def at(self, seq: int) -> int | None:
        """The watermark as of commit ``seq``; ask in ascending order."""
        if not self.seq:
            self._begin(seq)
        if seq > self.seq:
            records = [r for r in self.catalogue.records(self.stream, self.seq) if r.seq <= seq]
            positions = self._positions(records)
            for record in records:
                self._count(record, positions)
            if self.is_kept and self.seq >= self._noted + _OFTEN:
                self._note()
        return self.mark

    def _begin(self, seq: int) -> None:
        """Begin with what is noted, if it is of this log and not beyond commit ``seq``."""
        held = self.catalogue.note(self._note_name)
        if held is None or not 0 < held["seq"] <= seq:
            return
        if self.catalogue.record(self.stream, held["seq"]).hash == held["hash"]:
            self.seq = self._noted = held["seq"]
            self.mark, self.newest, self.reported = held["mark"], dict(held["newest"]), dict(held["reported"])

    def _note(self) -> None:
        mine = {
            "seq": self.seq, "hash": self._hash, "mark": self.mark, "newest": self.newest, "reported": self.reported,
        }  # fmt: skip
        self.catalogue.change_note(
            self._note_name, lambda held: held if held is not None and held["seq"] > self.seq else mine
        )
        self._noted = self.seq

    @property
    def _note_name(self) -> str:
        return f"watermark of {self.stream}"

    def _positions(self, records: Sequence[Record]) -> Mapping[str, Mapping[str, Any]]:
        """The positions of the sources of these commits, by source; of an ingest it is empty."""
        wanted = [r.source for r in records if r.source is not None]
        entries: list[SourceEntry | None]
        if len(wanted) > _FEW:
            entries = list(self.catalogue.sources(self.stream))
        else:
            entries = [self.catalogue.is_ingested(self.stream, source) for source in wanted]
        return {entry.id: entry.position or {} for entry in entries if entry is not None}

    def _count(self, record: Record, positions: Mapping[str, Mapping[str, Any]]) -> None:
        self.seq, self._hash = record.seq, record.hash
        if record.totals.begun == record.seq:  # the whole stream was erased: all partitions begin anew
            self.newest, self.reported = {}, {}
        if record.source is None or record.source not in positions:  # upkeep; or it was erased with the stream
            return
        position = positions[record.source]
        partition = str(position.get(PARTITION, INGESTS))
        if position.get(IDLE):
            self.newest.pop(partition, None)
            self.reported.pop(partition, None)
        elif record.adds:
            newest = max(file.t_max for file in record.adds)
            self.newest[partition] = max(newest, self.newest.get(partition, newest))
            self.reported[partition] = record.seq
        if self.newest:
            oldest = min(self.newest.values())
            self.mark = oldest if self.mark is None else max(oldest, self.mark)


@dataclass
class QuietPartitions:
    """Which partitions of a stream have said nothing for ``idle`` seconds while others went on, by the clock of this
    process."""

    watermark: StreamWatermark
    idle: float
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, tuple[int, float]] = field(default_factory=dict)
    """The last commit of each, and when it was seen."""

    def found(self) -> list[str]:
        """Those that the watermark should no longer wait for."""
        now, of = self.clock(), self.watermark
        of.at(of.catalogue.order(of.stream).seq)
        self._since = {
            partition: known if (known := self._since.get(partition, (0, 0.0)))[0] == seq else (seq, now)
            for partition, seq in of.reported.items()
        }
        quiet = [partition for partition, (_, since) in self._since.items() if now - since >= self.idle]
        return quiet if len(quiet) < len(self._since) else []
