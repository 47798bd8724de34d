"""The streams that a metric over several of them reads, and the names of their columns in the merged rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from operators.types import Type


@dataclass(frozen=True)
class StreamColumns:
    """A stream as a metric sees it: its key, its event time and its typed columns."""

    key: str
    key_type: Type
    time: str
    columns: Mapping[str, Type]


@dataclass(frozen=True)
class TakenStream:
    """One use of a stream: its number among all uses, and by its own columns their names in the merged rows."""

    number: int
    name: str
    columns: StreamColumns
    merged: Mapping[str, str]


@dataclass
class Sources:
    """The uses of streams, numbered in the order of the text. ``order`` are their numbers in the order in which rows of
    one key and time are merged."""

    streams: Mapping[str, StreamColumns]
    order: Sequence[int] = (0,)
    taken: list[TakenStream] = field(default_factory=list)
    columns: dict[str, Type] = field(default_factory=dict)
    """The columns of the merged rows. Streams share a column if it has the same name and type in them."""

    @property
    def several(self) -> bool:
        """Whether rows of several uses are merged."""
        return len(self.order) > 1

    def take(self, name: str) -> TakenStream:
        """The next use of a stream."""
        stream, number = self.streams[name], len(self.taken)
        merged = {}
        reserved = {n for s in self.streams.values() for n in (s.key, s.time)} if self.several else set()
        for column, kind in stream.columns.items():
            shared = column not in reserved and self.columns.get(column, kind) is kind
            merged[column] = column if shared else f"${number}.{column}"
            self.columns[merged[column]] = kind
        found = TakenStream(number, name, stream, merged)
        self.taken.append(found)
        return found

    def lacks(self, number: int, column: str) -> bool:
        """Whether rows of this use are null in a column of the merged rows, because their stream does not have it."""
        return column not in self.taken[number].merged.values()
