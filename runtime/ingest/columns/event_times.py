"""Event times: ISO-8601 text, or numbers in a declared unit, to microseconds since 1970 UTC, with bounds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.calendar import END
from runtime.errors import IngestError
from runtime.ingest.text.tokens import (
    BAD_TIME,
    BIGINT,
    BOOL,
    DECIMAL,
    INT,
    STRING,
    TOO_LATE,
    Bytes,
    decimal_times,
    for_loops,
    iso_times,
)

UNITS = ("s", "ms", "us", "ns", "iso")
SHIFTS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
_HOUR = 3_600_000_000
FUTURE = "is more than an hour in the future"

Ints = NDArray[np.int64]


def latest_time() -> int:
    """The latest event time that is accepted now: an hour ahead, to tolerate wrong clocks."""
    return time.time_ns() // 1000 + _HOUR


def scaled(values: Ints, unit: str) -> Ints:
    """Integers in a unit as microseconds; nanoseconds are truncated. -1 for negative ones, ``TOO_LATE`` for too large
    ones."""
    if unit == "ns":
        return np.maximum(values // 1000, -1)
    factor = 10 ** SHIFTS[unit]
    fits = values <= TOO_LATE // factor
    return np.where(fits, np.where(fits, np.maximum(values, -1), 0) * factor, TOO_LATE)


def instants(texts: list[str]) -> Ints:
    """The times of texts, in microseconds UTC; ``BAD_TIME`` for those that are none."""
    raw = [text.encode() for text in texts]
    ends = np.cumsum([len(r) for r in raw], dtype=np.int64)
    lengths = np.diff(ends, prepend=0)
    out = np.empty(len(raw), np.int64)
    iso_times(np.frombuffer(b"".join(raw) or b"\0", np.uint8).copy(), (ends - lengths) << 32 | lengths, out)
    return out


def in_unit(unit: str | None) -> Callable[[int], int | None]:
    """From a number in the unit to microseconds; None where it is no time, or there is no unit."""

    def micros(number: int) -> int | None:
        if unit not in SHIFTS:
            return None
        found = int(scaled(np.array([number]), unit)[0])
        return found if 0 <= found < END else None

    return micros


class TimeReader:
    """Turns the time cells of a source into event times.

    ``latest`` is the latest accepted time. Rows beyond it are in the future: ``early`` counts them and ``earliest`` is
    the first of their times. With ``after``, only later rows are wanted: the others were accepted or rejected when the
    source was read before.
    """

    def __init__(self, column: str, unit: str | None, name: str, after: int | None = None) -> None:
        self._column = column
        self._unit = unit
        self._name = name
        self.latest = latest_time()
        self.after = after
        self.early = 0
        self.earliest = 0
        self._texts = self._numbers = 0

    def read(
        self, data: Bytes, kind: NDArray[np.uint8], value: Ints, wanted: NDArray[np.bool_]
    ) -> tuple[Ints, dict[int, str]]:
        """Times of the wanted rows, and why rows without one are rejected."""
        column, unit = self._column, self._unit
        out = np.full(len(kind), BAD_TIME, np.int64)
        numeric = wanted & ((kind == INT) | (kind == DECIMAL) | (kind == BIGINT))
        text = wanted & (kind == STRING)
        reasons: dict[int, str] = {}
        if unit is None or unit == "iso":
            self._iso(data, value, text, out)
            _note(reasons, text & (out == BAD_TIME), f"time: column {column} is not ISO-8601 text")
            if unit is None and numeric.any():
                self._undeclared(numeric, out)
            declared = "though ISO-8601 text is declared" if unit else "and others are ISO-8601 text (see --unit)"
            _note(reasons, numeric, f"time: column {column} is a number, {declared}")
            self._texts += int(np.count_nonzero(out != BAD_TIME))
        else:
            whole = numeric & (kind == INT)
            out[whole] = scaled(value[whole], unit)
            decimal = numeric & ~whole
            if decimal.any():
                part = np.empty(int(np.count_nonzero(decimal)), np.int64)
                decimal_times(for_loops(data), np.ascontiguousarray(value[decimal]), SHIFTS[unit], part)
                out[decimal] = part
            _note(reasons, text, f"time: column {column} is text, though the unit {unit} is declared")
        _note(reasons, wanted & (kind == BOOL), f"time: column {column} is a bool")
        _note(reasons, wanted & ~numeric & ~text & (kind != BOOL), f"time: column {column} is missing or null")
        return out, self.bounded(out, reasons)

    def _undeclared(self, numeric: NDArray[np.bool_], out: Ints) -> None:
        """Numbers without a unit: rejected among texts; an error if the first time of the source is one."""
        if not self._texts and not (out[: int(numeric.argmax())] != BAD_TIME).any():
            raise self._no_unit()
        self._numbers += int(np.count_nonzero(numeric))

    def _no_unit(self) -> IngestError:
        return IngestError(
            f"{self._name}: the time column {self._column!r} holds numbers, whose unit must be declared: say unit "
            "(--unit) s, ms, us or ns, or iso to reject them."
        )

    def finish(self) -> None:
        """Call at the end of the source; ``IngestError`` if most of its times are numbers without a declared unit."""
        if self._numbers > self._texts:
            raise self._no_unit()

    def _iso(self, data: Bytes, value: Ints, text: NDArray[np.bool_], out: Ints) -> None:
        if text.all():
            iso_times(for_loops(data), np.ascontiguousarray(value), out)
        elif text.any():
            part = np.empty(int(np.count_nonzero(text)), np.int64)
            iso_times(for_loops(data), np.ascontiguousarray(value[text]), part)
            out[text] = part

    def bounded(self, times: Ints, reasons: dict[int, str]) -> dict[int, str]:
        """``reasons``, plus those of times before 1970, after 2261, or more than an hour ahead of now."""
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


def _note(reasons: dict[int, str], rows: NDArray[np.bool_], reason: str) -> None:
    if rows.any():
        for row in np.flatnonzero(rows).tolist():
            reasons.setdefault(row, reason)
