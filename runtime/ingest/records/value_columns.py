"""The values of one column, gathered from records and written into cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.records.flat_values import KINDS, fault_of
from runtime.ingest.text.json_strict import MinusZero
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import DECIMAL, FLOAT, INT, NULL, STRING

Ints = NDArray[np.int64]

_CHECKED = (INT, STRING)


class AddedTexts:
    """Texts behind the first ``size`` bytes of a buffer."""

    def __init__(self, size: int) -> None:
        self.parts: list[bytes] = []
        self._at = size

    def spans(self, texts: Sequence[str]) -> Ints:
        """The place of each text, start << 32 | length; the same one for equal texts."""
        places = dict.fromkeys(texts, 0)
        for text in places:
            raw = text.encode()
            places[text] = self._at << 32 | len(raw)
            self.parts.append(raw)
            self._at += len(raw)
        return np.fromiter(map(places.__getitem__, texts), np.int64, len(texts))


class ValueColumn:
    """Values of a column, and their rows."""

    __slots__ = ("rows", "values")

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[Any] = []

    def clear(self) -> None:
        """Forget the values."""
        self.rows, self.values = [], []

    def write(self, cells: RawCells, at: int, texts: AddedTexts, is_time: bool) -> None:
        """Write the values into column ``at``; rows with one that no column can hold become ``bad``."""
        types = list(map(type, self.values))
        rows = np.array(self.rows, np.intp)
        kinds = set(types)
        for of in kinds:
            index = None if len(kinds) == 1 else [k for k, type_ in enumerate(types) if type_ is of]
            values = self.values if index is None else [self.values[k] for k in index]
            self._write(cells, at, rows if index is None else rows[index], values, of, texts, is_time)

    def _write(
        self, cells: RawCells, at: int, rows: NDArray[np.intp], values: list[Any], of: type, texts: AddedTexts,
        is_time: bool,
    ) -> None:  # fmt: skip
        kind = KINDS.get(of)
        if kind is None:
            raise TypeError(f"a {of.__name__} is no value of a record")
        faults = [fault_of(value, kind) for value in values] if kind in _CHECKED else []
        if any(faults):
            cells.bad.update((int(row), fault) for row, fault in zip(rows, faults, strict=True) if fault)
            good = [k for k, fault in enumerate(faults) if not fault]
            rows, values = rows[good], [values[k] for k in good]
        as_text = cells.spans is not None
        spans: Ints | None = None
        if kind == STRING or (kind == FLOAT and is_time):
            cells.value[at, rows] = spans = texts.spans(values)
            cells.kind[at, rows] = STRING if kind == STRING else DECIMAL
            if as_text:
                cells.kind[at, rows[(spans & 0xFFFFFFFF) == 0]] = NULL
        else:
            cells.kind[at, rows] = kind
            if kind == FLOAT:
                cells.value.view(np.float64)[at, rows] = np.array(values, np.float64)
            elif kind != NULL:
                cells.value[at, rows] = np.array(values, np.int64)
            if as_text and kind != NULL:
                spans = texts.spans([_written(value) for value in values])
        if of is MinusZero:
            cells.minus_zeros += [(at, int(row)) for row in rows]
        if cells.spans is not None and spans is not None:
            cells.spans[at, rows] = spans


def _written(value: Any) -> str:
    """A number or boolean as it was written."""
    if type(value) is bool:
        return "true" if value else "false"
    return "-0" if type(value) is MinusZero else str(value)
