"""Event times: texts in any form, or numbers in a declared unit, to microseconds since 1970 UTC, with bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.calendar import END
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import ZONED
from operators.types import Type
from runtime.catalogue.items.entries import DAY, day_name
from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.report import Reason
from runtime.ingest.text.tokens import BIGINT, BOOL, DECIMAL, INT, STRING, Bytes, for_loops
from runtime.ingest.times.likely_formats import likely_formats
from runtime.ingest.times.time_numbers import SHIFTS, TOO_LATE, decimal_times, scaled, scaled_floats
from runtime.ingest.times.time_texts import TimeTexts

_HOUR = 3_600_000_000
FUTURE = "is more than an hour in the future"
RETIRED = "earlier points of the stream are retired"
_SHOWN = 60
"""Characters of a text that a reason shows."""

_SHOWN_ROWS = 10_000
"""Rows whose reason shows their text."""

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def latest_time() -> int:
    """The latest event time that is accepted now: an hour ahead, to tolerate wrong clocks."""
    return time.time_ns() // 1000 + _HOUR


class _Found:
    """What was read of rows: times (``BAD_TIME``: none), what they said of their zones, and which are numbers without
    a unit."""

    def __init__(self, rows: int) -> None:
        self.times = np.full(rows, BAD_TIME, np.int64)
        self.said = np.full(rows, ZONED, np.uint8)
        self.number = np.zeros(rows, np.bool_)

    def put(self, rows: Mask, found: _Found) -> None:
        """Take over what was found of these rows."""
        if rows.all():
            self.times, self.said, self.number = found.times, found.said, found.number
        else:
            self.times[rows], self.said[rows], self.number[rows] = found.times, found.said, found.number

    def take(self, index: NDArray[np.integer[Any]]) -> _Found:
        """The rows at the index."""
        out = _Found(0)
        out.times, out.said, out.number = self.times[index], self.said[index], self.number[index]
        return out


class TimeReader:
    """Turns the time cells of a source into event times.

    ``latest`` is the latest accepted time. Rows beyond it are in the future: ``early`` counts them and ``earliest`` is
    the first of their times. With ``after``, only later rows are wanted: the others were accepted or rejected when the
    source was read before. ``floor`` is the first time that the stream keeps, if retention has one. ``without_zone``
    counts the times that were taken as those of the options' time zone, or as UTC, because they had no offset;
    ``twice`` those of them that the clock there showed twice, of which the first was taken.
    """

    def __init__(
        self, column: str, unit: str | None, name: str, after: int | None = None, reading: Reading | None = None
    ) -> None:
        self._column = column
        self._unit = unit
        self._name = name
        self._texts = TimeTexts.of(reading or Reading())
        # What looks like a number is one in this unit, unless a given format may look so.
        self._scale = None if self._texts.of_digits or unit not in SHIFTS else unit
        self.latest = latest_time()
        self.after = after
        self.floor: int | None = None
        self.early = 0
        self.earliest = 0
        self.without_zone = self.twice = 0
        self._read = self._numbers = self._shown = 0
        self.may_be_error = True
        """Whether numbers without a unit, first or most of the times, are an error of the source."""

    def read(
        self, data: Bytes, kind: NDArray[np.uint8], value: Ints, wanted: Mask, spans: Ints | None = None
    ) -> tuple[Ints, dict[int, str]]:
        """Times of the wanted rows, and why rows without one are rejected.

        ``spans`` (CSV) are the cells in the text, whatever their kind.
        """
        whole, decimal = wanted & (kind == INT), wanted & ((kind == DECIMAL) | (kind == BIGINT))
        text = wanted & (kind == STRING)
        given = text | whole | decimal
        found = _Found(len(kind))
        where = value if spans is None else spans
        if self._scale is not None:
            found.times[whole] = scaled(value[whole], self._scale)
            if decimal.any():
                found.times[decimal] = _decimals(data, value[decimal], self._scale)
        elif spans is not None:
            text = given
        elif self._texts.formats:
            text = text | decimal
            if whole.any():
                found.put(whole, self._of_texts(*_written(value[whole])))
        else:
            found.number = whole | decimal
        if text.any():
            found.put(text, self._of_texts(data, where if text.all() else where[text]))

        def text_of(row: int) -> str:
            if spans is None and kind[row] == INT:
                return str(value[row])
            return _text(data, int(where[row]))

        reasons = self._judge(found, given, text_of)
        column = self._column
        is_bool = wanted & (kind == BOOL)
        _note(reasons, is_bool, f"time: column {column} is a bool")
        _note(reasons, wanted & ~given & ~is_bool, f"time: column {column} is missing or null")
        return found.times, reasons

    def read_column(
        self, type_: Type, values: NDArray[Any], valid: Mask, said: int, words: InternedStrings
    ) -> tuple[Ints, dict[int, str]]:
        """Times of a table's column, 0 where it is null, and why rows without one are rejected.

        ``said`` is ``LOCAL`` for timestamps without a zone, ``LOCAL_DATE`` for dates; texts are codes into ``words``.
        """
        found = _Found(len(values))
        reasons: dict[int, str] = {}
        column = self._column
        if type_ is Type.TIME:
            found.times, found.said[:] = values.astype(np.int64), said
        elif type_ is Type.STRING and valid.any():
            found = self._of_texts(*words.spans()).take(values)
        elif type_ is Type.INT and self._scale is not None:
            found.times = scaled(values.astype(np.int64), self._scale)
        elif type_ is Type.FLOAT and self._scale is not None:
            found.times = scaled_floats(values, self._scale)
            _note(reasons, valid & np.isinf(values), f"time: column {column} is infinite")
        elif type_.places is not None and self._scale is not None:
            shift = SHIFTS[self._scale] - type_.places
            whole, factor = values.astype(np.int64) // 10 ** max(-shift, 0), 10 ** max(shift, 0)
            far = whole > TOO_LATE // factor
            found.times = np.where(far, TOO_LATE, np.maximum(np.where(far, 0, whole), -1) * factor)
        elif type_ is Type.INT and self._texts.formats:
            found = self._of_texts(*_written(values.astype(np.int64)))
        elif valid.any():
            raise IngestError(
                f"{self._name}: the time column {column!r} is {type_}: numbers need a unit (--unit s, ms, us or ns), "
                "or whole ones a form (--time-format %Y%m%d); other times are text or timestamps."
            )

        def text_of(row: int) -> str:
            if type_ is Type.STRING:
                data, spans = words.spans()
                return _text(data, int(spans[values[row]]))
            return str(np.datetime64(int(values[row]), "us") if type_ is Type.TIME else values[row])

        found.times[~valid] = 0
        reasons = self._judge(found, valid, text_of, reasons)
        _note(reasons, ~valid, f"time: column {column} is missing or null")
        return found.times, reasons

    def _of_texts(self, data: Bytes, spans: Ints) -> _Found:
        """What all these texts say."""
        found, texts = _Found(0), self._texts
        if self._scale is None:
            found.times, found.said = texts.read(data, spans)
            found.number = np.zeros(len(spans), np.bool_)
            bad = found.times == BAD_TIME
            if not texts.formats and bad.any():
                found.number[bad] = _decimals(data, spans[bad], "us") != BAD_TIME
            return found
        found = _Found(len(spans))
        found.times = _decimals(data, spans, self._scale)
        words = found.times == BAD_TIME
        if words.any():
            found.times[words], found.said[words] = texts.read(data, spans[words])
        return found

    def _judge(
        self, found: _Found, given: Mask, text_of: Callable[[int], str], reasons: dict[int, str] | None = None
    ) -> dict[int, str]:
        """Put the times of ``given`` rows into UTC; ``reasons``, and why those without one are rejected."""
        reasons = {} if reasons is None else reasons
        column, texts, number = self._column, self._texts, found.number & given
        good = given & (found.times != BAD_TIME)
        if number.any():
            if self._unit is None:
                self._undeclared(number, good)
            declared = "though ISO-8601 text is declared" if self._unit else "and others are ISO-8601 text (see --unit)"
            _note(reasons, number, f"time: column {column} is a number, {declared}")
        self._note_texts(reasons, given & ~good & ~number, text_of, texts.expected)
        self._read += int(np.count_nonzero(good))
        local = good & (found.said != ZONED)
        if local.any():
            found.times, twice, never = texts.instants(found.times, np.where(local, found.said, ZONED))
            self._note_texts(reasons, never, text_of, f"does not exist in {texts.zone}: its clock was put forward")
            self.bounded(found.times, reasons)
            local[list(reasons)] = False
            self.without_zone += int(np.count_nonzero(local))
            self.twice += int(np.count_nonzero(twice & local))
        else:
            self.bounded(found.times, reasons)
        return reasons

    def _note_texts(self, reasons: dict[int, str], rows: Mask, text_of: Callable[[int], str], why: str) -> None:
        """Give these rows a reason that shows their text, but all together no more than will be kept."""
        if not rows.any():
            return
        counted = f"time: column {self._column} {why}"
        for row in np.flatnonzero(rows).tolist():
            if row in reasons:
                continue
            reasons[row] = counted
            if self._shown < _SHOWN_ROWS:
                self._shown += 1
                text = text_of(row)
                forms = () if self._texts.formats or why != self._texts.expected else likely_formats(text)
                hint = f", for example {' or '.join(map(repr, forms))}" if forms else ""
                cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
                reasons[row] = Reason(f"time: column {self._column}: {cut!r} {why}{hint}", counted)

    def _undeclared(self, numeric: Mask, good: Mask) -> None:
        """Numbers without a unit: rejected among texts; an error if the first time of the source is one."""
        if self.may_be_error and not self._read and not good[: int(numeric.argmax())].any():
            raise self._no_unit()
        self._numbers += int(np.count_nonzero(numeric))

    def _no_unit(self) -> IngestError:
        return IngestError(
            f"{self._name}: the time column {self._column!r} holds numbers, whose unit must be declared: say unit "
            "(--unit) s, ms, us or ns, or iso to reject them."
        )

    def finish(self) -> None:
        """Call at the end of the source; ``IngestError`` if most of its times are numbers without a declared unit."""
        if self.may_be_error and self._numbers > self._read:
            raise self._no_unit()

    def bounded(self, times: Ints, reasons: dict[int, str]) -> dict[int, str]:
        """``reasons``, plus those of times before 1970 or the floor, after 2261, or more than an hour ahead of now."""
        if self.floor is not None:
            below = (times >= 0) & (times < self.floor)
            _note(reasons, below, f"time: column {self._column} is before {day_name(self.floor // DAY)}: {RETIRED}")
        if len(times) and (int(times.min()) < 0 or int(times.max()) > self.latest):
            _note(reasons, (times < 0) & (times != BAD_TIME), f"time: column {self._column} is before 1970")
            # These stay out of bounds for any clock, so they do not wait.
            _note(reasons, times >= END, f"time: column {self._column} is after 2261")
            ahead = (times > self.latest) & (times < END)
            ahead[list(reasons)] = False
            if ahead.any():
                _note(reasons, ahead, f"time: column {self._column} {FUTURE}")
                first = int(times[ahead].min())
                self.earliest = min(self.earliest, first) if self.early else first
                self.early += int(np.count_nonzero(ahead))
        return reasons


def _decimals(data: Bytes, spans: Ints, unit: str) -> Ints:
    """Numbers in a unit as microseconds; ``BAD_TIME`` for other texts."""
    out = np.empty(len(spans), np.int64)
    decimal_times(for_loops(data), np.ascontiguousarray(spans), SHIFTS[unit], out)
    return out


def _written(values: Ints) -> tuple[Bytes, Ints]:
    """The decimal digits of integers, and their spans."""
    texts = values.astype("S20")
    data = texts.view(np.uint8) if len(texts) else np.zeros(1, np.uint8)
    return data, np.arange(len(texts)) * 20 << 32 | np.char.str_len(texts)


def _text(data: Bytes, span: int) -> str:
    """The first characters of a span."""
    start, n = span >> 32, span & 0xFFFFFFFF
    return data[start : start + min(n, 4 * _SHOWN + 4)].tobytes().decode("utf-8", "replace")


def _note(reasons: dict[int, str], rows: Mask, reason: str) -> None:
    if rows.any():
        for row in np.flatnonzero(rows).tolist():
            reasons.setdefault(row, reason)
