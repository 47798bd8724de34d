"""Loaded chunks of some columns and blocks, and their decoding in one compiled call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.errors import FormatError
from runtime.pointfile.directory import FramePlaces
from runtime.pointfile.layout import BITWISE, CONST, DELTA, LINEAR, RUNS
from runtime.pointfile.reading import unpack
from runtime.pointfile.reading.decoded_blocks import Array, Block, Buffers, Changes, Maps

_KINDS = {Type.BOOL: unpack.BOOL, Type.FLOAT: unpack.FLOAT, Type.STRING: unpack.STRING}
_TYPES = {unpack.BOOL: "u1", unpack.STRING: "i4"}
_EMPTY = np.zeros(0, np.int64)
_EMPTY.flags.writeable = False
_NO_CODES = np.zeros(0, np.int32)

NO_HOLD = (1 << 63) - 1
"""A hold without end."""

_OUTPUT = 1 << 18
"""Maximum rows that one call for changes writes, or those of two blocks if that is more."""

_WORTH = 4
"""Decoding by runs pays off if there is at most one run per this many rows."""


class Directory(Protocol):
    """The parts of an open file that decoding needs; see ``PointFile``."""

    name: str
    time_name: str
    schema: dict[str, Type]
    places: FramePlaces

    @property
    def chunk_table(self) -> NDArray[np.int64]:
        """The chunks in the form of compiled loops."""

    @property
    def block_table(self) -> NDArray[np.int64]:
        """The blocks in the form of compiled loops."""

    @property
    def run_starts(self) -> NDArray[np.int64]:
        """The first row of each key."""

    def slot(self, column: str) -> int:
        """The number of a column."""

    def columns(self, columns: Sequence[str], time: bool) -> Columns:
        """These columns in the form of compiled loops."""

    def code_map(self, column: str, maps: Maps | None) -> NDArray[np.int32]:
        """The new code for each code of a string column's dictionary."""


@dataclass(frozen=True)
class Columns:
    """Columns of a file in the form of compiled loops; the event time, if loaded, is the first."""

    names: tuple[str, ...]
    slots: tuple[int, ...]
    kinds: NDArray[np.int64]
    places: NDArray[np.int64]
    chunks: NDArray[np.int64]

    @classmethod
    def of(cls, file: Directory, columns: Sequence[str], time: bool) -> Columns:
        """These columns, with the event time if ``time`` or if it is one of them."""
        names = [*([file.time_name] if time else []), *(c for c in columns if c != file.time_name)]
        slots = [file.slot(name) for name in names]
        if file.time_name in columns and not time:
            names, slots = [*names, file.time_name], [*slots, 0]
        kinds = [
            unpack.WHOLE if slot == 0 else _KINDS.get(file.schema[name], unpack.WHOLE)
            for name, slot in zip(names, slots, strict=True)
        ]
        seen: dict[str, int] = {}
        places = []
        for k in kinds:
            dtype = _TYPES.get(k, "i8")
            places.append(seen.get(dtype, 0))
            seen[dtype] = places[-1] + 1
        return cls(
            tuple(names),
            tuple(slots),
            np.array(kinds, np.int64),
            np.array(places, np.int64),
            np.ascontiguousarray(file.chunk_table[slots]),
        )

    def outputs(self, name: str, buffers: Buffers, rows: int) -> tuple[Any, Any, Any, Any]:
        """The arrays for values of eight, four and one bytes, and for validities."""
        four, one = int((self.kinds == unpack.STRING).sum()), int((self.kinds == unpack.BOOL).sum())
        n = len(self.kinds)
        return (
            buffers.array(name, "i8", n - four - one, rows),
            buffers.array(name, "i4", four, rows),
            buffers.array(name, "u1", one, rows),
            buffers.array(name + " valid", "u1", n, rows),
        )

    def values(self, j: int, out: tuple[Any, Any, Any, Any], n: int) -> Array:
        """Column j's first ``n`` values."""
        kind = int(self.kinds[j])
        array: Array = out[1 if kind == unpack.STRING else 2 if kind == unpack.BOOL else 0][self.places[j], :n]
        return array.view(np.float64) if kind == unpack.FLOAT else array


def address(part: memoryview) -> int:
    """The memory address of the bytes."""
    found: int = np.frombuffer(part, np.uint8).__array_interface__["data"][0]
    return found


def with_changes(file: Directory, columns: Sequence[str], reported: Sequence[str]) -> NDArray[np.bool_]:
    """For each block, whether ``Loaded.changes`` is possible for these columns, and pays off.

    ``reported`` are columns that must not be null there. The times must be loaded.
    """
    rows, runs = file.block_table[:, unpack.ROWS], file.block_table[:, unpack.KEYS]
    time = file.chunk_table[0]
    good: NDArray[np.bool_] = (time[:, unpack.ENCODING] == DELTA) | (time[:, unpack.ENCODING] == LINEAR)
    good &= time[:, unpack.SCALE] == BITWISE
    for name in columns:
        chunks = file.chunk_table[file.slot(name)]
        nulls, is_runs = chunks[:, unpack.NULLS], chunks[:, unpack.ENCODING] == RUNS
        whole = nulls == 0
        if name not in reported:
            whole |= nulls == rows
        good &= whole & (is_runs | (chunks[:, unpack.ENCODING] == CONST))
        runs = runs + np.where(is_runs, chunks[:, unpack.COUNT], 0)
    return good & (runs * _WORTH <= rows)


class Loaded:
    """Chunks of some columns and blocks, read but not decoded."""

    def __init__(self, file: Directory, parts: dict[int, memoryview], time: bool, block_lo: int, block_hi: int) -> None:
        self.file = file
        self.block_lo = block_lo
        self.block_hi = block_hi
        self.time = time
        self._parts = parts

    @property
    def nbytes(self) -> int:
        """Bytes of the file in memory."""
        return sum(map(len, self._parts.values()))

    def block(self, b: int, columns: Sequence[str], buffers: Buffers, code_maps: Maps | None = None) -> Block:
        """Block number ``b`` of the file, decoded; see ``rows``."""
        return self.rows(b, b + 1, columns, buffers, code_maps)

    def rows(
        self, first: int, last: int, columns: Sequence[str], buffers: Buffers, code_maps: Maps | None = None
    ) -> Block:
        """Blocks ``first`` to ``last - 1`` of the file, decoded, as if they were one.

        ``code_maps`` gives, per string column, an int32 array by which its codes are replaced (as long as the column's
        dictionary, at least). FormatError for damaged bytes names the file, the block and the column.
        """
        self._check(first, last)
        asked, file = self._columns(columns), self.file
        bases, tables, table_at = self._sources(asked, code_maps)
        blocks = file.block_table[first:last]
        rows, keys = int(blocks[:, unpack.ROWS].sum()), int(blocks[:, unpack.KEYS].sum())
        largest, most = int(blocks[:, unpack.ROWS].max()), int(blocks[:, unpack.KEYS].max())
        wide = self._wide(asked, first, last)
        out = asked.outputs("block", buffers, rows)
        lengths = buffers.array("lengths", "i8", keys)
        st = np.zeros(6, np.int64)
        wrong = buffers.unpack_blocks(
            buffers.zstd.words, st, file.places.offsets, bases, asked.kinds, asked.places, wide, asked.chunks,
            file.block_table, first, last, file.run_starts, tables, table_at,
            buffers.array("block lengths", "i8", most), lengths,
            buffers.array("planes", "u1", unpack.planes_size(largest)), buffers.array("whole", "u8", largest),
            buffers.array("counts", "i8", largest), *out,
        )  # fmt: skip
        if wrong:
            raise self._damaged(wrong, int(st[unpack.BAD_BLOCK]), asked, int(st[unpack.BAD_COLUMN]))
        decoded: dict[str, tuple[Array, NDArray[np.uint8]]] = {}
        for j, name in enumerate(asked.names):
            values = asked.values(j, out, rows if wide[j] & unpack.VALUES else 1)
            decoded[name] = (values, out[3][j, : rows if wide[j] & unpack.VALIDITIES else 1])
        # The event time was decoded with the columns, but is one of them only if requested.
        time: NDArray[np.int64] = decoded[file.time_name][0] if self.time else _EMPTY  # type: ignore[assignment]
        if file.time_name not in columns:
            decoded.pop(file.time_name, None)
        runs = int(st[unpack.OUT_RUNS])
        row_start, first_key = int(blocks[0, unpack.FIRST_ROW]), int(blocks[0, unpack.FIRST_KEY])
        return Block(row_start, rows, first_key, lengths[:runs], time, decoded)  # type: ignore[arg-type]

    def _wide(self, asked: Columns, first: int, last: int) -> NDArray[np.int64]:
        """For each column, whether values and validities are needed row by row, or one entry serves all blocks."""
        chunks = asked.chunks[:, first:last]
        nulls, rows = chunks[:, :, unpack.NULLS], self.file.block_table[first:last, unpack.ROWS]
        none, all_null = (nulls == 0).all(axis=1), (nulls == rows).all(axis=1)
        base = chunks[:, :, unpack.BASE]
        constant = (chunks[:, :, unpack.ENCODING] == CONST).all(axis=1) & ((base == base[:, :1]).all(axis=1) | all_null)
        # An all-null block is CONST with an arbitrary value; among other blocks it needs a value for each row.
        constant &= none | all_null | (last - first == 1)
        wide = np.where(constant, 0, unpack.VALUES) | np.where(none | all_null, 0, unpack.VALIDITIES)
        if self.time:
            wide[0] |= unpack.VALUES
        return wide.astype(np.int64)

    def changes(
        self, first: int, last: int, columns: Sequence[str], hold: int, buffers: Buffers, code_maps: Maps | None = None
    ) -> tuple[int, Changes]:
        """The rows of blocks ``first`` to ``last - 1`` that change a value, or of as many blocks as fit.

        ``PointFile.has_changes`` must hold for all of these blocks. Skipped are rows with the same values as the row
        before them (of their key, in their block), at most ``hold`` later, unless they are the last of their key in
        their block, or a gap follows. Also returns the number of the first remaining block.
        """
        self._check(first, last)
        asked, file = self._columns(columns), self.file
        bases, tables, table_at = self._sources(asked, code_maps)
        sizes = file.block_table[first:last]
        rows, keys = int(sizes[:, unpack.ROWS].max()), int(sizes[:, unpack.KEYS].max())
        capacity = max(_OUTPUT, 2 * rows)
        out = asked.outputs("changes", buffers, capacity)
        key_out, len_out = buffers.array("run keys", "i8", capacity), buffers.array("run lengths", "i8", capacity)
        bridged: NDArray[np.uint8] = buffers.array("bridged", "u1", capacity)  # type: ignore[assignment]
        n = len(asked.kinds)
        scratch = [buffers.array("runs", dtype, n, rows) for dtype in ("i8", "i4", "u1")]
        st = np.zeros(6, np.int64)
        st[unpack.OUT_ROWS] = capacity
        done = buffers.changes(
            buffers.zstd.words, st, file.places.offsets, bases, asked.kinds, asked.places, asked.chunks,
            file.block_table, first, last, file.run_starts, tables, table_at, hold,
            buffers.array("lengths", "i8", keys), buffers.array("planes", "u1", unpack.planes_size(rows)),
            buffers.array("whole", "u8", rows), buffers.array("ends", "i8", n, rows), *scratch,
            buffers.array("current", "i8", n), buffers.array("next", "i8", n), key_out, len_out, bridged, *out,
        )  # fmt: skip
        if done < 0:
            raise self._damaged(-done, int(st[unpack.BAD_BLOCK]), asked, int(st[unpack.BAD_COLUMN]))
        on, runs = int(st[unpack.OUT_ROWS]), int(st[unpack.OUT_RUNS])
        decoded = {name: (asked.values(j, out, on), out[3][j, :on]) for j, name in enumerate(asked.names) if j}
        time: NDArray[np.int64] = asked.values(0, out, on)  # type: ignore[assignment]
        return done, Changes(key_out[:runs], len_out[:runs], time, bridged[:on], decoded)  # type: ignore[arg-type]

    def _check(self, first: int, last: int) -> None:
        if not self.block_lo <= first < last <= self.block_hi:
            asked = f"block {first} was" if last == first + 1 else f"blocks {first} to {last - 1} were"
            raise ValueError(f"{asked} not loaded; blocks {self.block_lo} to {self.block_hi - 1} were")

    def _columns(self, columns: Sequence[str]) -> Columns:
        asked = self.file.columns(columns, self.time)
        if not self._parts.keys() >= set(asked.slots):
            name = next(n for n, slot in zip(asked.names, asked.slots, strict=True) if slot not in self._parts)
            raise ValueError(f"column {name!r} was not loaded")
        return asked

    def _sources(
        self, asked: Columns, code_maps: Maps | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """The addresses of each column's bytes, the concatenated code maps, and where each begins."""
        # For each column's bytes, the address that the file's first byte would have.
        offsets, frames, first = self.file.places.offsets, self.file.places.chunk_frames, self.block_lo
        bases = [address(self._parts[slot]) - int(offsets[frames[slot, first]]) for slot in asked.slots]
        tables, ends = [_NO_CODES], [0]
        for name, kind in zip(asked.names, asked.kinds.tolist(), strict=True):
            if kind == unpack.STRING:
                tables.append(self.file.code_map(name, code_maps))
            ends.append(ends[-1] + (len(tables[-1]) if kind == unpack.STRING else 0))
        return np.array(bases, np.int64), np.concatenate(tables), np.array(ends, np.int64)

    def _damaged(self, wrong: int, b: int, asked: Columns, j: int) -> FormatError:
        what = unpack.WRONG[wrong]
        return FormatError(f"{self.file.name} is damaged: block {b} of column {asked.names[j]!r}: {what}")
