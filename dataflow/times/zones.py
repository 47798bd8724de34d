"""Time zones of the ``tzdata`` package only, since the system's zone data differs between machines.

A zone's rules are a TZif file (RFC 9636): the instants at which its offset from UTC changes, and a footer, a line of
text that gives the rule after the last of them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import tzdata
from numpy.typing import NDArray

from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.nearest import nearest

TZDATA_VERSION: str = tzdata.IANA_VERSION
"""The release of the IANA time zone database in use, e.g. ``"2025b"``."""

_SECOND = 1_000_000
_DAY = 86_400
_EVER = 2**62
_LAST_YEAR = 2400


_PACKAGE = Path(tzdata.__file__).parent


@cache
def zone_names() -> frozenset[str]:
    """The names of all zones."""
    return frozenset((_PACKAGE / "zones").read_text(encoding="ascii").split())


@lru_cache(maxsize=64)
def zone_rules(name: str) -> bytes:
    """The TZif file of the zone ``name``; DataflowError if there is no such zone."""
    check_zone(name, "time zone")
    return _PACKAGE.joinpath("zoneinfo", *name.split("/")).read_bytes()


def check_zone(name: str, where: str) -> None:
    """DataflowError naming ``where`` unless ``name`` is the IANA name of a zone."""
    if not isinstance(name, str) or name not in zone_names():
        raise DataflowError(
            f"{where}: there is no time zone {shown(name)}; {_meant(name)} an IANA name like 'Europe/London'"
        )


def _meant(name: object) -> str:
    """The start of a suggestion: the zone that was probably meant, also if only its city was given."""
    zones = sorted(zone_names())
    cities = {zone.rpartition("/")[2]: zone for zone in zones if "/" in zone}
    found = nearest(name, zones)
    if found is None or "/" not in str(name):
        city = nearest(str(name).rpartition("/")[2], cities)
        found = found if city is None else cities[city]
    return "use" if found is None else f"did you mean {found!r}? Use"


def zone_named(name: str, where: str) -> tzinfo:
    """The IANA zone ``name`` as a tzinfo; DataflowError naming ``where`` if there is none."""
    check_zone(name, where)
    return _zone(name)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    # Imported here: most queries need only a table of offsets.
    from zoneinfo import ZoneInfo

    return ZoneInfo.from_file(BytesIO(zone_rules(name)), key=name)


@dataclass(frozen=True)
class ZoneClock:
    """Offsets of a zone from UTC: ``offsets[i]`` microseconds from ``changes[i]`` (microseconds UTC) to the next.

    The first change is before all times.
    """

    changes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def day_starts(self, days: NDArray[np.int64], offset: int = 0) -> NDArray[np.int64]:
        """The first instants, in microseconds UTC, at which the clock shows these local days or a later one, each from
        ``offset`` microseconds after its midnight on.

        ``days`` count from 1970-01-01, ascending. If the clock shows midnight twice, the first one starts the day.
        """
        return self.instants(days * (_DAY * _SECOND) + offset)[0]

    def instants(self, shown: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """The first instants at which the clock shows these local times or is put forward past them, whether it shows
        them twice, and by how much it is put forward past them. All are in microseconds."""
        ends = np.append(self.changes[1:] + self.offsets[:-1], _EVER)
        starts = self.changes + self.offsets
        # The first offset under which the clock passes the time; it may go back before it later.
        at = np.searchsorted(np.maximum.accumulate(ends), shown, side="right")
        later = np.minimum(at + 1, len(ends) - 1)
        twice = (later > at) & (starts[later] <= shown)
        return np.maximum(self.changes[at], shown - self.offsets[at]), twice, np.maximum(starts[at] - shown, 0)


@lru_cache(maxsize=64)
def clock_of(name: str, last_year: int = _LAST_YEAR) -> ZoneClock:
    """The clock of the zone ``name`` until the end of ``last_year``; DataflowError if there is no such zone."""
    times, offsets, footer = _read(zone_rules(name))
    if footer:
        # Like zoneinfo, use the footer from the last instant of the file on.
        begin = times[-1] if len(times) > 1 else -_EVER
        later, after = _by_rule(footer, begin, last_year)
        kept = times < begin
        times, offsets = np.concatenate([times[kept], later]), np.concatenate([offsets[kept], after])
    differs = np.append(True, offsets[1:] != offsets[:-1])
    changes = times[differs] * _SECOND
    changes[0] = -_EVER
    return ZoneClock(changes, offsets[differs] * _SECOND)


def _read(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """When a TZif file's offsets begin (the first one before all times), the offsets, the footer; in seconds."""
    counts = struct.unpack(">6l", data[20:44])
    # The first block has 32-bit times, which the second repeats as 64-bit times.
    at = 44 + counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]
    is_ut, is_std, leaps, n, kinds, letters = struct.unpack(">6l", data[at + 20 : at + 44])
    at += 44
    times = np.frombuffer(data, ">i8", n, at).astype(np.int64)
    which = np.frombuffer(data, np.uint8, n, at + 8 * n)
    at += 9 * n
    types = [struct.unpack_from(">lBB", data, at + 6 * i) for i in range(kinds)]
    at += 6 * kinds + letters + 12 * leaps + is_std + is_ut
    footer = data[at:].strip(b"\n").decode("ascii")
    # Before the first change: standard time, as in zoneinfo.
    before = next((offset for offset, dst, _ in types if not dst), types[0][0])
    offsets = [before, *(types[i][0] for i in which)]
    return np.append(np.int64(-_EVER), times), np.array(offsets, np.int64), footer


_FOOTER = re.compile(
    r"(?:<[^>]+>|[A-Za-z]+)(?P<std>[-+]?[0-9:]+)"
    r"(?:(?:<[^>]+>|[A-Za-z]+)(?P<dst>[-+]?[0-9:]+)?,(?P<start>[^,]+),(?P<end>[^,]+))?"
)
_MONTHLY = re.compile(r"M(\d+)\.(\d)\.(\d)")


def _by_rule(footer: str, begin: int, last_year: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and when they begin, the first exactly at ``begin``, until ``last_year``, in seconds."""
    rule = _FOOTER.fullmatch(footer)
    if rule is None:
        raise DataflowError(f"tzdata {TZDATA_VERSION} has a rule that cannot be read: {footer!r}")
    standard = -_clock_time(rule["std"])
    if rule["start"] is None:
        return np.array([begin]), np.array([standard])
    summer = standard + 3600 if rule["dst"] is None else -_clock_time(rule["dst"])
    years = np.arange(max(1970 + begin // (366 * _DAY) - 2, 1600), last_year + 1)
    starts = _yearly(rule["start"], years) - standard
    ends = _yearly(rule["end"], years) - summer
    times = np.concatenate([starts, ends])
    offsets = np.repeat([summer, standard], len(years))
    order = np.argsort(times, kind="stable")
    times, offsets = times[order], offsets[order]
    at = int(np.searchsorted(times, begin, side="right"))
    return np.append(begin, times[at:]), offsets[at - 1 :]


def _yearly(text: str, years: NDArray[np.int64]) -> NDArray[np.int64]:
    """The instant of a rule's date in each year, in seconds of the wall clock since 1970-01-01."""
    day, _, clock = text.partition("/")
    seconds = _clock_time(clock) if clock else 7200
    january = (years - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    if monthly := _MONTHLY.fullmatch(day):
        month, week, weekday = map(int, monthly.groups())
        months = (years - 1970) * 12 + month - 1
        first, after = (
            m.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for m in (months, months + 1)
        )
        # 1970-01-01 was a Thursday; Sunday is 0 here, and week 5 the last.
        days = first + (weekday - first - 4) % 7 + 7 * (week - 1)
        days = np.where(days >= after, days - 7, days)
    elif day.startswith("J"):
        # February 29 is not counted.
        number = int(day[1:])
        leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
        days = january + number - 1 + (leap & (number > 59))
    else:
        days = january + int(day)
    out: NDArray[np.int64] = days * _DAY + seconds
    return out


def _clock_time(text: str) -> int:
    """Seconds of ``[-+]h[h[h]][:mm[:ss]]``."""
    parts = [int(p) for p in text.lstrip("+-").split(":")]
    seconds = sum(p * scale for p, scale in zip(parts, (3600, 60, 1), strict=False))
    return -seconds if text.startswith("-") else seconds
