"""Cells that the CSV scanner leaves to Python: doubled quotes, long numbers, and numbers with declared marks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from runtime.ingest.inputs.reading import Reading
from runtime.ingest.text.dialects.written_numbers import Marks
from runtime.ingest.text.json_strict import MinusZero
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import BIG, BIGINT, DECIMAL, ESCAPED, FLOAT, INT, STRING

_TIME = 1
_REMEMBERED = 1 << 16
_DIGITS = 25  # more are beyond 64 bits


def resolve(cells: RawCells, quote: str) -> None:
    """Resolve doubled quotes, and convert the numbers that the scanner left as text."""
    assert cells.spans is not None
    kind, value, spans = cells.kind, cells.value, cells.spans
    data = cells.data.tobytes()
    extra: list[bytes] = []
    size = len(data)
    single, double = quote.encode(), (2 * quote).encode()
    for column, row in np.argwhere((kind == ESCAPED) | (kind == BIGINT) | (kind == DECIMAL)).tolist():
        span = int(spans[column, row])
        raw = _bytes_of(data, span)
        if kind[column, row] == ESCAPED:
            raw = raw.replace(double, single)
            spans[column, row] = value[column, row] = size << 32 | len(raw)
            kind[column, row] = STRING
            extra.append(raw)
            size += len(raw)
        elif kind[column, row] == BIGINT:
            number = int(raw) if len(raw) < _DIGITS else 2**63
            _put(cells, column, row, MinusZero(0) if number == 0 else number)
        elif column != _TIME:
            _put(cells, column, row, float(raw))
    if extra:
        cells.data = np.frombuffer(data + b"".join(extra), np.uint8)


def _bytes_of(data: bytes, span: int) -> bytes:
    return data[span >> 32 : (span >> 32) + (span & 0xFFFFFFFF)]


def _put(cells: RawCells, column: int, row: int, number: int | float) -> None:
    """Make the cell this number; ``BIG`` beyond 64 bits or float64."""
    assert cells.spans is not None
    kind, value = cells.kind, cells.value
    if isinstance(number, float) and not np.isinf(number):
        kind[column, row], value[column, row] = FLOAT, np.float64(number).view(np.int64)
    elif isinstance(number, int) and -(2**63) <= number < 2**63:
        kind[column, row], value[column, row] = INT, number
        if isinstance(number, MinusZero):
            cells.minus_zeros.append((column, row))
    else:
        kind[column, row] = BIG
        value[column, row] = cells.spans[column, row]


class WrittenCells:
    """Turns cells of text into the numbers that they are with the declared marks; the key and the time stay."""

    def __init__(self, reading: Reading) -> None:
        self._marks: dict[str, Marks] = defaultdict(lambda: Marks(reading.decimal, reading.thousands))

    def convert(self, cells: RawCells) -> None:
        """The numbers among cells of text; those with a point that the scanner took for numbers may mean another."""
        assert cells.spans is not None
        data = cells.data.tobytes()
        for column in range(_TIME + 1, len(cells.names)):
            marks, kind = self._marks[cells.names[column]], cells.kind[column]
            read_again = (kind == FLOAT) & (not marks.keeps_point)
            rows = np.flatnonzero((kind == STRING) | read_again)
            numbers = self._numbers(marks, data, cells.spans[column, rows].tolist())
            kind[read_again], cells.value[column, read_again] = STRING, cells.spans[column, read_again]
            found = [(row, number) for row, number in zip(rows.tolist(), numbers, strict=True) if number is not None]
            reals = np.array([(row, number) for row, number in found if isinstance(number, float)]).reshape(-1, 2)
            reals = reals[np.isfinite(reals[:, 1])]
            at = reals[:, 0].astype(np.intp)
            kind[at], cells.value[column, at] = FLOAT, np.ascontiguousarray(reals[:, 1]).view(np.int64)
            for row, number in found:
                if not isinstance(number, float):
                    _put(cells, column, row, number)

    def _numbers(self, marks: Marks, data: bytes, spans: list[int]) -> Iterator[int | float | None]:
        """The number in each place of the data, if there is one; texts that repeat are read once."""
        known: dict[bytes, int | float | None] = {}
        for span in spans:
            raw = _bytes_of(data, span)
            if raw not in known:
                if len(known) == _REMEMBERED:
                    known.clear()
                known[raw] = marks.number(raw.decode(errors="replace"))
            yield known[raw]

    def notes(self) -> list[str]:
        """A sentence for every column whose numbers had a currency."""
        out = []
        for name, marks in self._marks.items():
            if found := sorted(marks.currencies):
                several = ": they are of different currencies" if len(found) > 1 else ""
                out.append(f"column {name} holds numbers without their {', '.join(found)}{several}")
        return out
