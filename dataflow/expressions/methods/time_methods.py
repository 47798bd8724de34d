"""Methods of times."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.times.durations import parse_every
from dataflow.values.mistaken import text_of


class TimeMethods(Methods):
    """Functions of times."""

    def truncate(self, every: str, zone: str = "UTC") -> Self:
        """The start of the calendar bucket that a time falls in: ``"10m"``, ``"1d"``, ``"1w"`` (Monday), ``"1mo"``,
        ``"1y"`` in the IANA time zone ``zone``."""
        parse_every(every, "truncate")
        return self._of("truncate", every=every, zone=text_of(zone, "truncate"))

    def hour(self, zone: str = "UTC") -> Self:
        """The hour of the day of a time, 0 to 23, in ``zone``."""
        return self._of("hour", zone=text_of(zone, "hour"))

    def weekday(self, zone: str = "UTC") -> Self:
        """The day of the week of a time, Monday = 0, in ``zone``."""
        return self._of("weekday", zone=text_of(zone, "weekday"))
