"""The values of one column, gathered from records and written into cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.records.flat_values import KINDS, SPANS, fault_of
from runtime.ingest.text.added_texts import AddedTexts
from runtime.ingest.text.json_strict import JsonText, MinusZero, _compact
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import BIG, DECIMAL, FLOAT, INFINITE, INT, MISSING, NAN, NULL, STRING

Ints = NDArray[np.int64]
Rows = NDArray[np.intp]

_LEAST, _MOST = -(2**63), 2**63 - 1


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
        """Write the values into column ``at``."""
        types = list(map(type, self.values))
        rows = np.array(self.rows, np.intp)
        kinds = set(types)
        for of in kinds:
            kind = KINDS.get(of)
            if kind is None:
                raise TypeError(f"a {of.__name__} is no value of a record")
            if len(kinds) == 1:
                _write(cells, at, rows, self.values, kind, texts, is_time)
            else:
                index = [k for k, type_ in enumerate(types) if type_ is of]
                _write(cells, at, rows[index], [self.values[k] for k in index], kind, texts, is_time)
            if of is MinusZero:
                cells.minus_zeros += [(at, row) for row, type_ in zip(self.rows, types, strict=True) if type_ is of]


class RowTexts:
    """The rows of a batch as JSON objects, from rows and values by column."""

    def __init__(self, columns: Mapping[str, tuple[list[int], list[Any]]]) -> None:
        self._columns = columns
        self._rows: dict[int, list[str]] | None = None

    def text(self, row: int) -> bytes:
        """The row as one JSON object, without nulls; numbers as they were written."""
        if self._rows is None:
            self._rows = {}
            for name, (rows, values) in self._columns.items():
                title = json.dumps(name, ensure_ascii=False)
                for at, value in zip(rows, values, strict=True):
                    if value is not None:
                        self._rows.setdefault(at, []).append(f"{title}:{_json(value)}")
        return ("{" + ",".join(self._rows.get(row, ())) + "}").encode("utf-8", "surrogatepass")


def _json(value: Any) -> str:
    if type(value) is JsonText and value[:1] == "[":
        return value
    return "-0" if type(value) is MinusZero else _compact(value, [])


def _write(
    cells: RawCells, at: int, rows: Rows, values: list[Any], kind: int, texts: AddedTexts, is_time: bool
) -> None:
    """Write values of one type."""
    if kind == INT and not (min(values) >= _LEAST and max(values) <= _MOST):
        beyond = [not _LEAST <= value <= _MOST for value in values]
        far = [k for k, b in enumerate(beyond) if b]
        _write(cells, at, rows[far], [str(values[k]) for k in far], BIG, texts, is_time)
        near = [k for k, b in enumerate(beyond) if not b]
        if near:
            _write(cells, at, rows[near], [values[k] for k in near], kind, texts, is_time)
        return
    as_text = cells.spans is not None
    cells.kind[at, rows] = kind
    spans: Ints | None = None
    if kind in SPANS or (kind == FLOAT and is_time):
        if is_time and kind in (FLOAT, BIG):
            cells.kind[at, rows] = DECIMAL
        elif kind == STRING:
            values = _without_faults(cells, at, rows, values)
        spans = texts.spans(values)
        cells.value[at, rows] = spans
        if as_text and kind == STRING:
            cells.kind[at, rows[(spans & 0xFFFFFFFF) == 0]] = NULL
    elif kind == FLOAT:
        cells.value.view(np.float64)[at, rows] = np.array(values, np.float64)
    elif kind == NAN:
        cells.kind[at, rows[np.isinf(np.array(values, np.float64))]] = INFINITE
    elif kind != NULL:
        cells.value[at, rows] = np.array(values, np.int64)
    if as_text and spans is None and kind != NULL:
        spans = texts.spans([_written(value) for value in values])
    if cells.spans is not None and spans is not None:
        cells.spans[at, rows] = spans


def _without_faults(cells: RawCells, at: int, rows: Rows, values: list[str]) -> list[str]:
    """The texts; those that no column can hold are left out, and empty here."""
    faults = [(k, fault) for k, fault in enumerate(map(fault_of, values)) if fault]
    if faults:
        values = list(values)
        for k, fault in faults:
            values[k] = ""
            cells.kind[at, rows[k]] = MISSING
            cells.left_out.append((int(rows[k]), fault))
    return values


def _written(value: Any) -> str:
    """A number or boolean as it was written."""
    if type(value) is bool:
        return "true" if value else "false"
    return "-0" if type(value) is MinusZero else str(value)
