"""From cells to typed batches: keys, times and column types are settled here, and what does not fit is rejected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.batch import EXACT, Batch, Values
from runtime.ingest.cells import Cells
from runtime.ingest.rejects import Fault, Rejects
from runtime.ingest.times import TimeReader
from runtime.ingest.tokens import BIGINT, BOOL, DECIMAL, FLOAT, INT, KINDS, MISSING, NULL, STRING
from runtime.ingest.words import Words

MAX_COLUMNS = 1000
TYPES = {BOOL: Type.BOOL, INT: Type.INT, FLOAT: Type.FLOAT, STRING: Type.STRING}
TOO_BIG = "an integer beyond 2^53, which a float64 column cannot hold exactly"

Mask = NDArray[np.bool_]


class Assembler:
    """The state of one source on its way in: what type each column has, the words of its strings, the rejects.

    ``types`` are those that the stream already has; a column without one gets the type of its first value. An int64
    column that meets a fraction becomes float64, unless it held an integer that a float64 cannot.
    """

    def __init__(
        self,
        key: str,
        time: TimeReader,
        key_type: Type | None,
        types: Mapping[str, Type],
        missing_key: str | None,
        name: str,
    ) -> None:
        self.key = key
        self.key_type = key_type
        self.types = dict(types)
        self.rejects = Rejects()
        self.words: dict[str, Words] = {}
        self.rows_read = 0
        self._time = time
        self._missing_key = missing_key
        self._name = name
        self._big: set[str] = set()

    def reset_words(self) -> None:
        """Forget all strings; for when everything that uses their codes is written."""
        self.words = {}

    @property
    def word_bytes(self) -> int:
        """Memory taken by distinct strings."""
        return sum(words.nbytes for words in self.words.values())

    def take(self, cells: Cells) -> Batch:
        """The rows of the cells that are accepted; the rejects are taken note of."""
        n = len(cells)
        good = np.ones(n, np.bool_)
        reasons: dict[int, str] = {}
        _reject(good, reasons, cells.bad)
        key = self._keys(cells, good, reasons)
        time, late = self._time.read(cells.data, cells.kind[1], cells.value[1], good)
        _reject(good, reasons, late)
        columns: dict[str, Values] = {}
        for at in range(2, len(cells.kind)):
            kind = cells.kind[at]
            counts = np.bincount(kind, minlength=KINDS)
            if counts[MISSING] + counts[NULL] == n:
                continue
            found = self._column(cells, at, good, reasons)
            if found is not None:
                columns[cells.names[at]] = found
        faults = cells.faults + [Fault(int(cells.start[r]), int(cells.end[r]), why) for r, why in reasons.items()]
        self.rejects.add(faults, cells.data, cells.base, cells.line)
        self.rows_read += n + len(cells.faults)
        batch = Batch(key, time, columns)
        return batch if good.all() else batch.take(np.flatnonzero(good))

    # ---- keys

    def _keys(self, cells: Cells, good: Mask, reasons: dict[int, str]) -> Values:
        kind, value = cells.kind[0], cells.value[0]
        absent = kind <= NULL
        if self._missing_key is None:
            _reject_all(good, reasons, absent, f"key: column {self.key} is missing or null")
        usable = (kind == STRING) | (kind == INT)
        if cells.spans is not None and self.key_type is not Type.INT:
            usable = ~absent  # in CSV a key is text, whatever it looks like
        for what, shown in ((BOOL, "a bool"), (FLOAT, "a float64"), (DECIMAL, "a float64"), (BIGINT, "too large")):
            _reject_all(good, reasons, (kind == what) & ~usable, f"key: column {self.key} is {shown}")
        if self.key_type is None:
            self.key_type = self._first_key_type(cells, good & usable)
        wanted = STRING if self.key_type is Type.STRING else INT
        if cells.spans is None or self.key_type is Type.INT:
            other = "int64" if wanted == STRING else "string"
            off = usable & (kind != wanted)
            _reject_all(good, reasons, off, f"key: column {self.key} is {self.key_type}, got {other}")
        present = good & usable
        if self.key_type is Type.STRING:
            spans = value if cells.spans is None else cells.spans[0]
            codes = np.zeros(len(kind), np.int32)
            words = self.words.setdefault(self.key, Words())
            codes[present] = words.codes(cells.data, spans[present])
            if self._missing_key is not None and absent.any():
                codes[absent] = words.codes_of([self._missing_key])[0]
            return Values(Type.STRING, codes, None)
        keys = np.where(present, value, 0)
        if self._missing_key is not None and absent.any():
            keys[absent] = whole_key(self._missing_key, self.key)
        return Values(Type.INT, keys, None)

    def _first_key_type(self, cells: Cells, present: Mask) -> Type:
        if cells.spans is not None or not present.any():
            return Type.STRING
        return TYPES[int(cells.kind[0][int(present.argmax())])]

    # ---- value columns

    def _column(self, cells: Cells, at: int, good: Mask, reasons: dict[int, str]) -> Values | None:
        name, kind = cells.names[at], cells.kind[at]
        present = good & (kind > NULL)
        if not present.any():
            return None
        type_ = self.types.get(name)
        if type_ is None:
            if len(self.types) >= MAX_COLUMNS:
                _reject_all(good, reasons, present, f"more than {MAX_COLUMNS:,} columns")
                return None
            type_ = self.guess(cells, at, present) if cells.spans is not None else TYPES[int(kind[present.argmax()])]
            self.types[name] = type_
        if type_ is Type.STRING and cells.spans is not None:
            fits = present
        else:
            type_, fits = self._fitting(name, type_, kind, cells.value[at], present)
            if not np.array_equal(fits, present):
                self._mismatch(name, type_, cells, at, present & ~fits, good, reasons)
        if not fits.any():
            return None
        return self._values(name, type_, cells, at, fits)

    def _fitting(
        self, name: str, type_: Type, kind: NDArray[np.uint8], value: NDArray[np.int64], present: Mask
    ) -> tuple[Type, Mask]:
        """The column's type after these cells, and which of them fit it."""
        if type_ is Type.INT:
            whole = present & (kind == INT)
            real = present & (kind == FLOAT)
            big = whole & beyond(value)
            if real.any() and name not in self._big:
                first = int(real.argmax())
                if not big[:first].any():
                    self.types[name] = Type.FLOAT
                    return Type.FLOAT, real | (whole & ~big)
            if big.any():
                self._big.add(name)
            return type_, whole
        if type_ is Type.FLOAT:
            return type_, present & ((kind == FLOAT) | ((kind == INT) & ~beyond(value)))
        if type_ in (Type.BOOL, Type.STRING):
            return type_, present & (kind == (BOOL if type_ is Type.BOOL else STRING))
        return type_, np.zeros(len(kind), np.bool_)  # times and durations come from typed inputs only

    def _mismatch(
        self, name: str, type_: Type, cells: Cells, at: int, off: Mask, good: Mask, reasons: dict[int, str]
    ) -> None:
        kind = cells.kind[at]
        for what, got in TYPES.items():
            shown = TOO_BIG if type_ is Type.FLOAT and got is Type.INT else got
            _reject_all(good, reasons, off & (kind == what), f"type: column {name} is {type_}, got {shown}")

    def _values(self, name: str, type_: Type, cells: Cells, at: int, fits: Mask) -> Values:
        valid = None if fits.all() else fits
        kind, value = cells.kind[at], cells.value[at]
        if type_ is Type.STRING:
            spans = value if cells.spans is None else cells.spans[at]
            words = self.words.setdefault(name, Words())
            if valid is None:
                return Values(type_, words.codes(cells.data, np.ascontiguousarray(spans)), None)
            codes = np.zeros(len(kind), np.int32)
            codes[fits] = words.codes(cells.data, spans[fits])
            return Values(type_, codes, valid)
        if type_ is Type.FLOAT:
            reals = np.where(kind == FLOAT, value.view(np.float64), 0.0)
            whole = kind == INT
            if whole.any():
                reals = np.where(whole, value, reals)
                reals[[row for column, row in cells.minus_zeros if column == at]] = -0.0
            return Values(type_, np.where(fits, reals, 0.0), valid)
        return Values(type_, np.where(fits, value, 0).astype(type_.dtype), valid)

    @staticmethod
    def guess(cells: Cells, at: int, present: Mask) -> Type:
        """The narrowest type that fits every CSV cell."""
        return narrowest(np.bincount(cells.kind[at][present], minlength=KINDS))


def narrowest(counts: NDArray[np.int64]) -> Type:
    """The narrowest type for CSV cells of these kinds."""
    seen = {k for k in range(NULL + 1, KINDS) if counts[k]}
    if seen == {BOOL}:
        return Type.BOOL
    if seen == {INT}:
        return Type.INT
    if seen and seen <= {INT, FLOAT}:
        return Type.FLOAT
    return Type.STRING


def beyond(values: NDArray[np.int64]) -> Mask:
    """Which integers a float64 may not hold exactly."""
    return (values > EXACT) | (values < -EXACT)


def whole_key(text: str, key: str) -> int:
    """``--missing-key`` of a stream with integer keys."""
    try:
        number = int(text)
    except ValueError:
        number = 2**63
    if not -(2**63) <= number < 2**63:
        raise IngestError(f"the key {key!r} is an int64, so the missing key must be a whole number, not {text!r}.")
    return number


def _reject(good: Mask, reasons: dict[int, str], more: Mapping[int, str]) -> None:
    for row, reason in more.items():
        if good[row]:
            good[row] = False
            reasons[row] = reason


def _reject_all(good: Mask, reasons: dict[int, str], rows: Mask, reason: str) -> None:
    if rows.any():
        rows = rows & good
        for row in np.flatnonzero(rows).tolist():
            reasons[row] = reason
        good[rows] = False
