"""Reads sources in pieces of any size, and the cells of a reader back as plain records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from runtime.ingest.formats import known_formats
from runtime.ingest.inputs import byte_stream
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import BOOL, FLOAT, INT, NULL

SIZES = (1, 5, 37)

_NO_VALUES = {"", "na", "n/a", "nan", "null", "none", "?", "-", "unavailable", "unknown", "inf", "infinity"}


def is_text(text: str) -> bool:
    """Whether a column with no other values keeps the text: it is no word for a missing value."""
    return text.strip().lstrip("+-").lower() not in _NO_VALUES


@contextmanager
def in_pieces(size: int) -> Iterator[None]:
    """Read ``size`` bytes at a time. The format must be declared: there is too little to detect it."""
    more = byte_stream.Text.more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_stream, "_READ", size)
        patch.setattr(known_formats, "_HEAD", size)
        patch.setattr(byte_stream.Text, "more", lambda self, keep, asked=0: more(self, keep, size))
        yield


def in_any_pieces(run: Callable[[], Any]) -> Any:
    """What ``run`` returns, which must be the same for pieces of each size."""
    whole = run()
    for size in SIZES:
        with in_pieces(size):
            assert run() == whole, f"in pieces of {size} bytes"
    return whole


def plain(batches: Iterable[RawCells]) -> list[dict[str, Any]]:
    """The records of cells, by column name, without nulls."""
    out = []
    for cells in batches:
        for row in range(len(cells)):
            kinds = cells.kind[:, row]
            out.append({cells.names[c]: _value(cells, c, row) for c in np.flatnonzero(kinds > NULL).tolist()})
    return out


def _value(cells: RawCells, column: int, row: int) -> Any:
    kind, value = cells.kind[column, row], cells.value[column, row]
    if kind == FLOAT:
        return float(value.view(np.float64))
    if kind in (INT, BOOL):
        return bool(value) if kind == BOOL else int(value)
    start, size = int(value) >> 32, int(value) & 0xFFFFFFFF
    return cells.data[start : start + size].tobytes().decode()
