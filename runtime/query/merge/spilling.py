"""Groups that do not fit in memory: their states wait on disk, in parts that are merged one after the other.

Every state is split by a hash of the groups' keys, so each part has all states of its groups (as in a Grace hash join:
Kitsuregawa et al. 1983). States merge exactly, so the results have the same bits as if all groups had been in memory.

The file has no name: the system deletes it when the process ends, however it ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import Grouping
from dataflow.plan.stages import Plan
from operators import forking
from operators.distinct_values import distinct
from operators.states.groups import Groups, GroupState
from operators.states.state_parts import nbytes, part_numbers, part_of
from operators.types import Type
from runtime.errors import QueryError
from runtime.released_memory import freed

PARTS = 16
"""Parts of a state."""

MOST = 384 << 20
"""Bytes of group states in the memory of all tasks of a query, beyond which they are written to disk."""

_Array = tuple[int, str, tuple[int, ...]]
"""Where an array is, its type and its shape."""


@dataclass(frozen=True)
class _Run:
    """One part of one state in the file."""

    keys: _Array
    states: list[dict[str, _Array]]
    strings: _Array


def may_spill(plan: Plan) -> bool:
    """Whether the states of a plan's groups may be taken in the midst of a task.

    Not where the order of a key's rows matters to an aggregate, nor where empty buckets have to be added.
    """
    sink = plan.stages[-1].sink.grouping()
    if sink is None or plan.whole_keys:
        return False
    return in_parts(sink) and not any(a.aggregate.flags.ordered for a in sink.aggs)


def in_parts(sink: Grouping) -> bool:
    """Whether the groups can be finished a part at a time."""
    return bool(sink.by) and sink.filled is None


class Spill:
    """The states of one query on disk; thread-safe. ``most``: bytes of a task's state in memory."""

    def __init__(self, most: int, step: str) -> None:
        self.most = most
        self._step = step
        self._file: IO[bytes] | None = None
        self._runs: list[list[_Run]] = [[] for _ in range(PARTS)]
        self._lock = forking.lock()

    @property
    def is_used(self) -> bool:
        """Whether anything is on disk."""
        return self._file is not None

    def add(self, sink: Grouping, state: GroupState) -> None:
        """Write a settled state. QueryError if the disk is full."""
        for number, part in _split(sink, state):
            with self._lock:
                self._runs[number].append(self._written(part))
        freed(nbytes(state))

    def part(self, number: int) -> list[GroupState]:
        """The states of one part."""
        with self._lock:
            return [self._read(run) for run in self._runs[number]]

    def close(self) -> None:
        """Delete the file."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError):  # a disk that is full takes no more of what is not needed any more
                    file.close()
            self._runs = [[] for _ in range(PARTS)]

    def _written(self, part: GroupState) -> _Run:
        text = _framed(part.strings)
        return _Run(self._put(part.keys), self._states(part), self._put(np.frombuffer(text, np.uint8)))

    def _states(self, part: GroupState) -> list[dict[str, _Array]]:
        return [{name: self._put(array) for name, array in one.items()} for one in part.states]

    def _put(self, array: NDArray[Any]) -> _Array:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="antfold-")  # noqa: SIM115 - closed with the spill
            at = self._file.seek(0, 2)
            if array.size:
                self._file.write(np.ascontiguousarray(array).view(np.uint8).data)
                self._file.flush()
        except OSError as error:
            raise QueryError(
                f"{self._step}: the groups do not fit in memory, and the folder {tempfile.gettempdir()} does not take "
                f"them ({error.strerror}); set TMPDIR to a folder with more room, or group by fewer columns"
            ) from None
        return at, array.dtype.str, array.shape

    def _get(self, where: _Array) -> NDArray[Any]:
        at, kind, shape = where
        out = np.empty(shape, kind)
        assert self._file is not None
        if out.size:
            self._file.seek(at)
            if self._file.readinto(out.view(np.uint8).data) != out.nbytes:  # type: ignore[attr-defined]
                raise QueryError(f"{self._step}: a temporary file ended early; repeat the query")
        return out

    def _read(self, run: _Run) -> GroupState:
        strings = _unframed(self._get(run.strings).tobytes())
        states = [{name: self._get(where) for name, where in one.items()} for one in run.states]
        return GroupState(self._get(run.keys), states, strings)


@contextmanager
def spilling(plan: Plan, tasks: int, here: bool) -> Iterator[Spill | None]:
    """The place for groups of this many tasks that do not fit in memory; None if they may not be taken (``may_spill``),
    or the tasks do not run in this process."""
    if not here or not may_spill(plan):
        yield None
        return
    spill = Spill(MOST // max(1, tasks), plan.stages[-1].step)
    try:
        yield spill
    finally:
        spill.close()


def _framed(strings: Sequence[str]) -> bytes:
    """The strings after their number and their lengths."""
    encoded = [text.encode() for text in strings]
    lengths = np.array([len(encoded), *map(len, encoded)], np.int64)
    return lengths.tobytes() + b"".join(encoded)


def _unframed(data: bytes) -> list[str]:
    count = int.from_bytes(data[:8], "little")
    edges = np.cumsum(np.frombuffer(data, np.int64, count + 1)) - count + 8 * (count + 1)
    return [data[a:b].decode() for a, b in pairwise(edges.tolist())]


def _split(sink: Grouping, state: GroupState) -> Iterator[tuple[int, GroupState]]:
    """The parts of a state that have groups, with only the strings that they use."""
    kinds, aggregates = _types(sink), [a.aggregate for a in sink.aggs]
    numbers = part_numbers(kinds, state, PARTS)
    for number in distinct(numbers).tolist():
        yield number, _own_strings(sink, part_of(aggregates, state, np.flatnonzero(numbers == number)))


def _own_strings(sink: Grouping, part: GroupState) -> GroupState:
    if not part.strings:
        return part
    groups = Groups(_types(sink), [a.aggregate for a in sink.aggs])
    return groups.with_used_strings(part)


def _types(sink: Grouping) -> list[Type]:
    return [e.type for _, e in sink.by if e.type is not None]


def parts_of(sink: Grouping, states: Sequence[GroupState], spill: Spill | None) -> Iterator[list[GroupState]]:
    """For each part of the groups, its states: those in memory, and those on disk."""
    kinds, aggregates = _types(sink), [a.aggregate for a in sink.aggs]
    numbers = [part_numbers(kinds, state, PARTS) for state in states]
    for number in range(PARTS):
        found = [] if spill is None else spill.part(number)
        for of, state in zip(numbers, states, strict=True):
            index = np.flatnonzero(of == number)
            if len(index):
                found.append(_own_strings(sink, part_of(aggregates, state, index)))
        if found:
            yield found
