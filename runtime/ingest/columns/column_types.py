"""The types of one source's columns, settled by its accepted rows; a rejected row settles nothing.

The rule, row by row: a row is accepted if each of its values fits its column, and only then do its values settle types.
A column without a type gets that of its first value (CSV: see ``samples``). An int64 column becomes float64 at its
first fraction, unless it holds an integer beyond 2^53, here or in the stream: such a fraction is rejected. ``fit``
applies this rule to a whole batch at once: all rows between two type changes are judged together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.ingest.columns.batch import EXACT
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import BOOL, FLOAT, INT, NULL, STRING

MAX_COLUMNS = 1000
KEY_ROWS = 1 << 16
"""Maximum rows without a key before the first key settles the keys' type; beyond that, keys are text."""

TYPES = {BOOL: Type.BOOL, INT: Type.INT, FLOAT: Type.FLOAT, STRING: Type.STRING}
TOO_BIG = "an integer beyond 2^53, which a float64 column cannot hold exactly"
TOO_FINE = "float64, and it holds integers beyond 2^53, which float64 cannot hold exactly"
TOO_MANY = f"more than {MAX_COLUMNS:,} columns"

Mask = NDArray[np.bool_]
Kinds = NDArray[np.uint8]
Ints = NDArray[np.int64]
Rows = NDArray[np.intp]

_KEY = 0


class _State(NamedTuple):
    """A column's type (None: not settled), and whether it is int64 with integers beyond 2^53."""

    type: Type | None
    wide: bool = False


@dataclass
class _Column:
    """A column within one batch: its states by first row, and the rows that would change it."""

    at: int
    present: Mask
    states: list[tuple[int, _State]]
    misfits: Mask
    events: Rows
    next: int = 0


@dataclass
class Fit:
    """The outcome for a batch: the rows that fit, and why the others do not."""

    good: Mask
    reasons: dict[int, str]


@dataclass
class ColumnTypes:
    """Types of the columns and of the key, and whether their integers are beyond 2^53.

    ``key_type`` None is not settled yet. ``wide`` are int64 columns with integers beyond 2^53; ``unsure`` are those for
    which only the stored points can say, by ``stored_wide``. ``keyless`` counts the rows accepted before the key's type
    was settled.
    """

    key: str
    key_type: Type | None
    types: dict[str, Type]
    wide: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    stored_wide: Callable[[str], bool] = lambda name: False
    keyless: int = 0

    def copy(self) -> ColumnTypes:
        """A copy of the types, to try rows on."""
        return ColumnTypes(
            self.key, self.key_type, dict(self.types), set(self.wide), set(self.unsure), self.stored_wide, self.keyless
        )

    def may_widen(self, name: str) -> bool:
        """Whether an int64 column may become float64; reads the stored points if only they can say."""
        if name in self.unsure:
            self.unsure.discard(name)
            if self.stored_wide(name):
                self.wide.add(name)
        return name not in self.wide

    def settle(self, name: str, type_: Type, wide: bool = False) -> None:
        """The column has this type from now on."""
        self.types[name] = type_
        if wide:
            self.wide.add(name)

    def fit(self, cells: RawCells, good: Mask) -> Fit:
        """Which of the good rows are accepted; the types are updated to those after the last one."""
        return _Batch(self, cells, good).run()

    def certain_misfits(self, cells: RawCells, good: Mask) -> Mask:
        """Good rows that cannot be accepted whatever the other rows are, because their column's type is settled."""
        out = np.zeros(len(good), np.bool_)
        for column in _Batch(self, cells, good).columns.values():
            out |= column.misfits
        return out


class _Batch:
    """One batch being judged."""

    def __init__(self, types: ColumnTypes, cells: RawCells, good: Mask) -> None:
        self._types = types
        self._cells = cells
        self._text = cells.spans is not None
        self._good = good
        self._bad = ~good
        self._crowded: list[int] = []
        self.columns: dict[int, _Column] = {}
        for at in range(len(cells.kind)):
            if at != 1 and (column := self._column(at)) is not None:
                self.columns[at] = column

    def run(self) -> Fit:
        columns = self.columns
        for column in columns.values():
            self._bad |= column.misfits
        if any(len(column.events) for column in columns.values()):
            self._changes()
        types = self._types
        if types.key_type is None:
            types.keyless += int(np.count_nonzero(~self._bad))
            if types.keyless >= KEY_ROWS:
                types.key_type = Type.STRING
        return Fit(~self._bad, self._reasons())

    def _column(self, at: int) -> _Column | None:
        """The column before the batch; None if it has no value, or is text and accepts any."""
        kind = self._cells.kind[at]
        state = self._state(at)
        if self._text and state.type is Type.STRING:
            return None
        present = self._good & (kind > NULL)
        if not present.any():
            return None
        misfits, events = self._judged(at, state, present)
        return _Column(at, present, [(0, state)], misfits, np.flatnonzero(events))

    def _state(self, at: int) -> _State:
        types = self._types
        if at == _KEY:
            return _State(types.key_type)
        name = self._cells.names[at]
        return _State(types.types.get(name), name in types.wide)

    def _judged(self, at: int, state: _State, present: Mask) -> tuple[Mask, Mask]:
        """Among rows with a value: those that never fit, and those that would change the state."""
        kind, value = self._cells.kind[at], self._cells.value[at]
        none = np.zeros(len(kind), np.bool_)
        type_ = state.type
        if type_ is None:
            full = at != _KEY and len(self._types.types) >= MAX_COLUMNS
            return (present, none) if full else (none, present)
        if type_ is Type.STRING:
            return (none if self._text else present & (kind != STRING)), none
        if type_ is Type.BOOL:
            return present & (kind != BOOL), none
        if type_ is Type.INT:
            other = present & (kind != INT)
            if at == _KEY or state.wide:
                return other, none
            real = other & (kind == FLOAT)
            return other & ~real, real | (present & (kind == INT) & beyond(value))
        if type_ is Type.FLOAT:
            whole = kind == INT
            return present & ((~whole & (kind != FLOAT)) | (whole & beyond(value))), none
        return present, none  # times and durations come from typed inputs only

    # ---- rows that change a type

    def _changes(self) -> None:
        heap = [(int(c.events[0]), c.at) for c in self.columns.values() if len(c.events)]
        heapify(heap)
        while heap:
            row = heap[0][0]
            here = []
            while heap and heap[0][0] == row:
                here.append(heappop(heap)[1])
            if not self._bad[row]:
                self._change(row, here)
            for at in here:
                column = self.columns[at]
                events, k = column.events, column.next
                while k < len(events) and (events[k] <= row or self._bad[events[k]]):
                    k += 1
                column.next = k
                if k < len(events):
                    heappush(heap, (int(events[k]), at))

    def _change(self, row: int, here: list[int]) -> None:
        """Accept the row with its new types, or reject it for a reason known only now."""
        types, cells = self._types, self._cells
        if _KEY in here and types.keyless + int(np.count_nonzero(~self._bad[:row])) >= KEY_ROWS:
            types.key_type = Type.STRING
            self._restart(self.columns[_KEY], row)
        for at in here:
            name = cells.names[at]
            widens = at != _KEY and types.types.get(name) is Type.INT and cells.kind[at, row] == FLOAT
            if widens and not types.may_widen(name):
                self._restart(self.columns[at], row)
        if self._bad[row]:
            return
        new = [at for at in here if at != _KEY and cells.names[at] not in types.types]
        if len(types.types) + len(new) > MAX_COLUMNS:
            self._bad[row] = True
            self._crowded.append(row)
            return
        for at in here:
            kind, name = int(cells.kind[at, row]), cells.names[at]
            if at == _KEY:
                types.key_type = types.key_type or TYPES[kind]
            else:
                wide = kind == INT and bool(beyond(cells.value[at, row : row + 1])[0])
                types.settle(name, TYPES[kind], wide)
            self._restart(self.columns[at], row + 1)
        if new and len(types.types) >= MAX_COLUMNS:
            for column in self.columns.values():
                if column.states[-1][1].type is None:
                    self._restart(column, row + 1)

    def _restart(self, column: _Column, row: int) -> None:
        """Judge the column's rows from here on by its new state."""
        state = self._state(column.at)
        present = column.present.copy()
        present[:row] = False
        misfits, events = self._judged(column.at, state, present)
        column.states.append((row, state))
        column.misfits |= misfits
        self._bad |= misfits
        column.events, column.next = np.flatnonzero(events), 0

    # ---- why

    def _reasons(self) -> dict[int, str]:
        out = dict.fromkeys(self._crowded, TOO_MANY)
        open_ = self._bad & self._good
        open_[self._crowded] = False
        for at in sorted(self.columns):
            column = self.columns[at]
            mine = column.misfits & open_
            if not mine.any():
                continue
            open_ &= ~mine
            rows = np.flatnonzero(mine)
            starts = [start for start, _ in column.states]
            which = np.searchsorted(starts, rows, side="right") - 1
            for row, k in zip(rows.tolist(), which.tolist(), strict=True):
                out[row] = self._reason(at, row, column.states[k][1])
        return out

    def _reason(self, at: int, row: int, state: _State) -> str:
        name, got = self._cells.names[at], TYPES[int(self._cells.kind[at, row])]
        if state.type is None:
            return TOO_MANY
        if at == _KEY:
            return f"key: column {name} is {state.type}, got {got}"
        shown: str = got
        if state.type is Type.FLOAT and got is Type.INT:
            shown = TOO_BIG
        elif state.type is Type.INT and got is Type.FLOAT and state.wide:
            shown = TOO_FINE
        return f"type: column {name} is {state.type}, got {shown}"


def beyond(values: Ints) -> Mask:
    """Which integers float64 may not represent exactly."""
    return (values > EXACT) | (values < -EXACT)


def narrowest(kinds: Iterable[int]) -> Type:
    """The narrowest type for CSV cells of these kinds."""
    seen = set(kinds)
    if seen == {BOOL}:
        return Type.BOOL
    if seen == {INT}:
        return Type.INT
    if seen and seen <= {INT, FLOAT}:
        return Type.FLOAT
    return Type.STRING
