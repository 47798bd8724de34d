"""Shapes cells before their keys and times are read: composed keys and times, declared types, words for missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import among
from operators.kernels.times.calendar import END
from operators.kernels.times.dates import BAD_TIME
from operators.types import Type
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.null_words import WordTable
from runtime.ingest.inputs.composed import Composed
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.text.added_texts import AddedTexts
from runtime.ingest.text.dialects.written_numbers import Marks
from runtime.ingest.text.json_strict import NotARecord, read_record
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import BIG, BOOL, FLOAT, INSTANT, INT, JSON, MISSING, NULL, NULLED, SCALED, STRING
from runtime.ingest.times.time_numbers import SHIFTS, scaled
from runtime.ingest.times.time_texts import TimeTexts

Mask = NDArray[np.bool_]
Parsed = tuple[int, int] | None
"""The kind of a cell and its value; None: the text stays as it is."""

REPLACED = "the key or time that is made of others has its name"
_SURE_DIGITS = 16  # a fraction with a point and 15 digits is the only one of so few digits for its float64
_MOST_DIGITS = 1000
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE, _FALSE = ("true", "t", "yes", "y", "on", "1"), ("false", "f", "no", "n", "off", "0")


class Texts:
    """The distinct texts of a column's cells: a code for each row (-1: missing), and the text of each code."""

    def __init__(self, cells: RawCells, at: int) -> None:
        kind, value = cells.kind[at], cells.value[at]
        self.codes = np.full(len(kind), -1, np.int64)
        self.texts: list[str] = []
        there = (kind > NULL) & (kind != NULLED)
        text = there if cells.spans is not None else (kind == STRING) | (kind == BIG) | (kind == JSON)
        if text.any():
            words = InternedStrings()
            spans = value if cells.spans is None else cells.spans[at]
            self.codes[text] = words.codes(cells.data, spans[text])
            self.texts += words.all_texts()
        for of, show in _SHOWN.items():
            rows = (kind == of) & ~text
            if rows.any():
                distinct, places = np.unique(value[rows], return_inverse=True)
                self.codes[rows] = len(self.texts) + places
                self.texts += [show(v) for v in distinct]


_SHOWN: dict[int, Callable[[np.int64], str]] = {
    INT: lambda v: str(int(v)),
    FLOAT: lambda v: repr(float(v.view(np.float64))),
    BOOL: lambda v: "true" if v else "false",
}


class Shaping:
    """Shapes the cells of one source.

    ``key`` and ``time`` say of which fields these are composed, ``key_text`` is the key of all records; ``types`` are
    declared ones; ``null`` are words that are missing values in every column; ``times`` and ``unit`` say how times are
    written (in the columns ``iso``: as ISO-8601), ``marks`` how numbers are in CSV, and ``rename`` which columns have
    another name than in the source.
    """

    def __init__(
        self, key: Composed | None, time: Composed | None, key_text: str | None, types: Mapping[str, Type],
        null: tuple[str, ...], times: TimeTexts, unit: str | None, rename: Mapping[str, str],
        marks: Marks | None = None, iso: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._key, self._time, self._key_text, self._types = key, time, key_text, types
        self._times, self._unit = times, unit if unit in SHIFTS else None
        self._words = WordTable(null, any_case=False) if null else None
        numbers = [word for word in null if _NUMBER.fullmatch(word)]
        self._reals = [float(word) for word in numbers]
        self._wholes = [units for word in numbers if (units := _units(word, 0)) is not None]
        self.latest = END
        """Texts of times from then on, and as far before 1970, stay texts."""
        self._rename, self._marks, self._iso = rename, marks, iso

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        composed = self._key or self._time or self._key_text is not None
        return bool(composed or self._types or self._words)

    def shape(self, cells: RawCells) -> None:
        """Change the cells in place."""
        added = AddedTexts(len(cells.data))
        places = {name: at for at, name in enumerate(cells.names)}
        if self._words is not None:
            self._take_words(cells)
        made = (self._key is not None or self._key_text is not None, self._time is not None)
        for at in np.flatnonzero(made).tolist():
            cells.left_out += [(row, REPLACED) for row in np.flatnonzero(cells.kind[at] > NULL).tolist()]
        if self._key_text is not None:
            span = added.spans([self._key_text])[0]
            cells.kind[0], cells.value[0] = STRING, span
            if cells.spans is not None:
                cells.spans[0] = span
        for at, composed in ((0, self._key), (1, self._time)):
            if composed is not None:
                _compose(cells, at, composed, places, added, "/" if at == 0 else " ")
        for name, type_ in self._types.items():
            at = places.get(name, 1)
            if at > 1:
                self._declare(cells, at, name, type_, added)
            elif at == 0 and type_ is Type.STRING and cells.spans is None:
                self._as_text(cells, 0, added)
        cells.data = added.after(cells.data)

    def _take_words(self, cells: RawCells) -> None:
        """Mark cells with words for missing values."""
        assert self._words is not None
        for at in range(len(cells.kind)):
            kind = cells.kind[at]
            spans = cells.value[at] if cells.spans is None else cells.spans[at]
            rows = np.flatnonzero(kind > NULL if cells.spans is not None else (kind == STRING) | (kind == BIG))
            gone = rows[self._words.find(cells.data, spans[rows]) > 0] if len(rows) else rows
            if self._reals and cells.spans is None:
                value = cells.value[at]
                numbers = (kind == FLOAT) & among(value.view(np.float64), np.array(self._reals))
                numbers |= (kind == INT) & among(value, np.array(self._wholes, np.int64))
                gone = np.concatenate([gone, np.flatnonzero(numbers)])
            if len(gone):
                kind[gone] = NULLED if at > 1 else NULL

    def _declare(self, cells: RawCells, at: int, name: str, type_: Type, added: AddedTexts) -> None:
        """Read the cells of a column as its declared type, where that is exact; the others keep their kind."""
        kind = cells.kind[at]
        if type_ is Type.STRING:
            self._as_text(cells, at, added)
            return
        rows = kind == STRING
        if type_.places is not None:
            rows |= (kind == INT) | (kind == FLOAT) | (kind == BIG)
            if cells.spans is None:
                rows &= kind != FLOAT
                self._scale_reals(cells, at, type_.places)
        elif type_ is Type.BOOL:
            rows |= kind == INT
        elif type_ is Type.TIME:
            self._take_times(cells, at)
            return
        elif type_ is Type.DURATION:  # of a rejected row of a table, as microseconds
            kind[kind == INT] = INSTANT
            return
        if not rows.any():
            return
        found = Texts(cells, at)
        marks = self._marks if cells.spans is not None else None
        parsed = [self._parsed(text, type_, marks) for text in found.texts]
        kinds = np.array([0 if p is None else p[0] for p in parsed], np.uint8)
        values = np.array([0 if p is None else p[1] for p in parsed], np.int64)
        rows &= found.codes >= 0
        rows[rows] = kinds[found.codes[rows]] > 0
        cells.kind[at, rows] = kinds[found.codes[rows]]
        cells.value[at, rows] = values[found.codes[rows]]

    def _parsed(self, text: str, type_: Type, marks: Marks | None) -> Parsed:
        text = text.strip()
        if type_ is Type.BOOL:
            low = text.lower()
            return (BOOL, 1) if low in _TRUE else (BOOL, 0) if low in _FALSE else None
        if marks is not None and not _INTEGER.fullmatch(text):
            text = marks.plain(text) or ""
        if not _NUMBER.fullmatch(text):
            return None
        if type_.places is not None:
            units = _units(text, type_.places)
            return None if units is None else (SCALED, units)
        if _INTEGER.fullmatch(text):
            units = _units(text, 0)
            return None if units is None else (INT, units)
        real = np.float64(text)
        return (FLOAT, int(real.view(np.int64))) if np.isfinite(real) else None

    def _scale_reals(self, cells: RawCells, at: int, places: int) -> None:
        """Read fractions as decimals, where that is exact."""
        for row in np.flatnonzero(cells.kind[at] == FLOAT).tolist():
            if (units := _units(self._written(cells, at, row), places)) is not None:
                cells.kind[at, row], cells.value[at, row] = SCALED, units

    def _as_text(self, cells: RawCells, at: int, added: AddedTexts) -> None:
        """Numbers and booleans as the text that was written."""
        kind, value = cells.kind[at], cells.value[at]
        if cells.spans is not None:
            there = (kind > NULL) & (kind != NULLED)
            value[there] = cells.spans[at, there]
            kind[there] = STRING
            return
        kind[(kind == BIG) | (kind == JSON)] = STRING
        zeros = {row for column, row in cells.minus_zeros if column == at}
        rows = np.flatnonzero((kind == INT) | (kind == FLOAT) | (kind == BOOL))
        texts = []
        for row in rows.tolist():
            if kind[row] == FLOAT:
                texts.append(self._written(cells, at, row, always=True))
            else:
                texts.append("-0" if row in zeros else _SHOWN[int(kind[row])](value[row]))
        cells.value[at, rows] = added.spans(texts)
        kind[rows] = STRING

    def _written(self, cells: RawCells, at: int, row: int, always: bool = False) -> str:
        """The digits of a fraction as they were written, if the record is JSON; ``always``: even if they only differ in
        form, like 1.50 from 1.5."""
        value = float(cells.value[at, row].view(np.float64))
        shown = repr(value)
        raw = cells.data[cells.start[row] : cells.end[row]].tobytes()
        # A number that is too small for a float is zero as one, too.
        is_sure = value != 0 or b"e-" not in raw.lower()
        if not always and is_sure and len(shown) <= _SURE_DIGITS:
            return shown
        try:
            found = read_record(raw).values
        except NotARecord:
            return shown
        name = cells.names[at]
        for source in (*(old for old, new in self._rename.items() if new == name), name):
            text = found.get(source)
            if isinstance(text, str) and _NUMBER.fullmatch(text) and float(text) == value:
                return str(text)
        return shown

    def _take_times(self, cells: RawCells, at: int) -> None:
        kind, value = cells.kind[at], cells.value[at]
        text = kind == STRING
        if cells.spans is not None and self._unit is None:  # in CSV 20241231 looks like a number
            text |= kind == INT
        rows = np.flatnonzero(text)
        if len(rows):
            spans = value if cells.spans is None else cells.spans[at]
            times = TimeTexts.of(Reading()) if cells.names[at] in self._iso else self._times
            found = times.instants(*times.read(cells.data, spans[rows]))
            good = (found.times != BAD_TIME) & ~found.never & (np.abs(found.times) < self.latest)
            kind[rows[good]], value[rows[good]] = INSTANT, found.times[good]
        whole = np.flatnonzero(kind == INT)
        if len(whole) and self._unit is not None:
            micros = scaled(value[whole], self._unit)
            good = (micros >= 0) & (micros < END)
            kind[whole[good]], value[whole[good]] = INSTANT, micros[good]


def _compose(
    cells: RawCells, at: int, composed: Composed, places: Mapping[str, int], added: AddedTexts, between: str
) -> None:
    """Write the composed column: text cells, missing where a field is missing (all of them, if the first counts)."""
    n = len(cells)
    parts = [Texts(cells, places[field]) for field in composed.fields if field in places]
    whole = np.full(n, -1, np.int64)
    texts: list[str] = []
    if composed.first:
        for part in parts:
            rows = (whole < 0) & (part.codes >= 0)
            rows[rows] = np.array([bool(t) for t in part.texts], np.bool_)[part.codes[rows]]
            whole[rows] = part.codes[rows] + len(texts)
            texts += part.texts
    elif len(parts) == len(composed.fields):
        there = np.logical_and.reduce([part.codes >= 0 for part in parts])
        rows_of = np.stack([part.codes[there] for part in parts], 1)
        distinct, places_of = np.unique(rows_of, axis=0, return_inverse=True)
        whole[there] = places_of.reshape(-1)
        for codes in distinct.tolist():
            fields = [part.texts[code] for part, code in zip(parts, codes, strict=True)]
            # A missing part would make two devices one.
            texts.append(between.join(map(_escaped, fields)) if between == "/" else between.join(fields))
            if not all(fields):
                texts[-1] = ""
    spans = added.spans(texts)
    rows = whole >= 0
    cells.kind[at] = np.where(rows, STRING, MISSING)
    cells.value[at, rows] = spans[whole[rows]]
    if cells.spans is not None:
        cells.spans[at] = cells.value[at]
        cells.kind[at, rows & (cells.value[at] & 0xFFFFFFFF == 0)] = NULL


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("/", "\\/")


def _units(text: str, places: int) -> int | None:
    """A decimal number as a count of its smallest unit; None if it has more places, or does not fit in 64 bits."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:  # an exponent of more digits than any number has
        return None
    shift = int(exponent) + places
    if not any(digits):
        return 0
    if len(digits) > _MOST_DIGITS or shift > _MOST_DIGITS or len(digits) < -shift:
        return None
    whole = int("".join(map(str, digits)))
    whole, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    whole = -whole if sign else whole
    return whole if not rest and -(2**63) <= whole < 2**63 else None
