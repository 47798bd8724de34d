"""Texts of times in ISO-8601 or given formats, and the clock of a time zone for those without an offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.errors import DataflowError
from operators.kernels.times.calendar import DAY, END
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import LOCAL_DATE, ZONED, iso_times
from runtime.errors import IngestError
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.text.tokens import Bytes, for_loops
from runtime.ingest.times.time_formats import TimeFormat, time_format

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Marks = NDArray[np.uint8]
"""By time ``ZONED``, ``LOCAL`` or ``LOCAL_DATE``: what was said of its zone."""


class Instants(NamedTuple):
    """Times in UTC; which of them a clock showed twice (the first is taken); which it never showed."""

    times: Ints
    twice: Mask
    never: Mask


@dataclass(frozen=True)
class TimeTexts:
    """How times are written: in ``formats``, the first that fits, or in ISO-8601 if there are none; those without an
    offset are of the clock of ``zone``, or UTC."""

    formats: tuple[TimeFormat, ...] = ()
    zone: str | None = None

    @classmethod
    def of(cls, reading: Reading) -> TimeTexts:
        """As the options say; IngestError for a format or zone that cannot be used."""
        if reading.time_zone is not None:
            from dataflow.times.zones import check_zone

            try:
                check_zone(reading.time_zone, "time_zone")
            except DataflowError as error:
                raise IngestError(f"{error}.") from None
        return cls(tuple(map(time_format, reading.time_format)), reading.time_zone)

    @property
    def of_digits(self) -> bool:
        """Whether what looks like a number may be in one of the formats."""
        return any(form.of_digits for form in self.formats)

    @property
    def expected(self) -> str:
        """What a text that is no time should have been, for messages."""
        if not self.formats:
            return "is not a time; say its form with --time-format"
        return f"is not written as {' or '.join(repr(form.text) for form in self.formats):.200} (--time-format)"

    def read(self, data: Bytes, spans: Ints) -> tuple[Ints, Marks]:
        """The times of the spans (start << 32 | length), in microseconds, ``BAD_TIME`` if a text is none; those that
        are not ``ZONED`` are what a clock showed: see ``instants``."""
        data, spans = for_loops(data), np.ascontiguousarray(spans)
        out, said = np.full(len(spans), BAD_TIME, np.int64), np.zeros(len(spans), np.uint8)
        for form in self.formats:
            form.read(data, spans, out, said)
        if not self.formats:
            iso_times(data, spans, out, said)
        return out, said

    def instants(self, times: Ints, said: Marks) -> Instants:
        """The times in UTC."""
        none = np.zeros(len(times), np.bool_)
        # Others lie outside of the accepted years in any zone.
        local = (said != ZONED) & (times >= -DAY) & (times < END + DAY)
        if self.zone is None or not local.any():
            return Instants(times, none, none)
        from dataflow.times.zones import clock_of

        found, again, past = clock_of(self.zone).instants(times[local])
        # A date whose midnight the clock leaves out begins when it is put forward, if not to another day.
        is_date = said[local] == LOCAL_DATE
        times, twice, never = times.copy(), none.copy(), none.copy()
        times[local], twice[local], never[local] = found, again & ~is_date, past >= np.where(is_date, DAY, 1)
        return Instants(times, twice, never)
