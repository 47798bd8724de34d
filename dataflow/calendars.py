"""Calendar edges and zone offsets as tables that kernels search."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from dataflow.durations import Every, parse_every
from operators.errors import DataflowError
from operators.nearest import nearest

_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_EARLIEST = -100_000 * _DAY
MAX_EDGES = 20_000_000


def zone_named(name: str, where: str) -> tzinfo:
    """The IANA zone ``name``; DataflowError naming ``where`` if there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataflowError(
            f"{where}: there is no time zone {name!r}; {_zone_meant(name)} an IANA name such as 'Europe/London'"
        ) from None


def _zone_meant(name: object) -> str:
    from zoneinfo import available_timezones

    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2]: zone for zone in zones if "/" in zone}
    found = nearest(name, zones)
    if found is None or "/" not in str(name):
        city = nearest(str(name).rpartition("/")[2], cities)
        found = found if city is None else cities[city]
    return "use" if found is None else f"did you mean {found!r}? Use"


@lru_cache(maxsize=64)
def zone_rules(name: str) -> bytes:
    """The file from which ``zone_named`` has the rules of a zone, so that one can tell whether these are others now.

    DataflowError if there is no such zone.
    """
    if zone_named(name, "time zone") is UTC:
        return b""
    for folder in TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    from importlib.resources import files

    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def _instant(local: datetime, zone: tzinfo) -> int:
    return (local.replace(tzinfo=zone).astimezone(UTC) - _EPOCH) // _MICRO


def _offset(t: int, zone: tzinfo) -> int:
    moment = (_EPOCH + timedelta(microseconds=t)).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None
    return offset // _MICRO


@lru_cache(maxsize=64)
def offset_table(zone_name: str, lo: int, hi: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets from UTC over [lo, hi]: ``offsets[i]`` microseconds from ``changes[i]`` on, the first of all time."""
    zone = zone_named(zone_name, "time zone")
    changes, offsets = [-(2**62)], [_offset(lo, zone)]
    if zone is not UTC:
        t = lo
        while t < hi:
            step = min(t + _DAY, hi)
            if _offset(step, zone) != offsets[-1]:
                a, b = t, step
                while b - a > 1:
                    mid = (a + b) // 2
                    a, b = (mid, b) if _offset(mid, zone) == offsets[-1] else (a, mid)
                changes.append(b)
                offsets.append(_offset(b, zone))
            t = step
    return np.array(changes, np.int64), np.array(offsets, np.int64)


@lru_cache(maxsize=64)
def bucket_table(every_text: str, zone_name: str, lo: int, hi: int) -> tuple[NDArray[np.int64], int, int]:
    """How to find buckets of times in [lo, hi]: ``(edges, width, origin)``.

    Where all buckets are ``width`` microseconds from ``origin`` on, ``edges`` is empty; else it holds the bucket
    edges, from one at or before ``lo`` to one after ``hi``, and ``width`` is 0.
    """
    every = parse_every(every_text, "truncate")
    zone = zone_named(zone_name, f"truncate({every_text!r})")
    if every.micros:
        # Weeks start on Mondays; 1970-01-01 was a Thursday.
        origin = -3 * _DAY if every.unit == "w" else 0
        if zone is UTC:
            return np.zeros(0, np.int64), every.micros, origin
        if not every.days and not (offset_table(zone_name, lo - _DAY, hi + _DAY)[1] % every.micros).any():
            return np.zeros(0, np.int64), every.micros, origin
    if every.micros and (hi - lo) // every.micros > MAX_EDGES:
        raise DataflowError(
            f"truncate({every_text!r}, {zone_name!r}): more than {MAX_EDGES:,} buckets; use a longer one"
        )
    first = (_EPOCH + timedelta(microseconds=max(lo, _EARLIEST))).astimezone(zone).date()
    final = (_EPOCH + timedelta(microseconds=hi)).astimezone(zone).date()
    edges = sorted(set(_edges(every, zone, first, final)))
    return np.array(edges, np.int64), 0, 0


def longest_bucket(every_text: str) -> int:
    """Microseconds that no bucket of ``every_text`` is longer than, in any zone."""
    every = parse_every(every_text, "truncate")
    # Clocks go back by an hour or so; no zone has ever repeated more than a day.
    return (every.micros or every.months * 31 * _DAY) + _DAY


def _edges(every: Every, zone: tzinfo, first: date, final: date) -> list[int]:
    out: list[int] = []
    if every.months:
        m = ((first.year - 1970) * 12 + first.month - 1) // every.months * every.months
        while not out or out[-1] <= _instant(datetime(final.year, final.month, final.day), zone) + _DAY:
            out.append(_instant(datetime(1970 + m // 12, m % 12 + 1, 1), zone))
            m += every.months
        return out
    days = every.days or 1
    anchor = date(1969, 12, 29) if every.unit == "w" else date(1970, 1, 1)
    d = anchor + timedelta(days=(first - anchor).days // days * days)
    while d <= final + timedelta(days=days):
        midnight = datetime(d.year, d.month, d.day)
        out.append(_instant(midnight, zone))
        if not every.days:
            for k in range(1, _DAY // every.micros):
                wall = midnight + timedelta(microseconds=k * every.micros)
                for fold in (0, 1):
                    t = _instant(wall.replace(fold=fold), zone)
                    # A wall time that the clock skips is no edge; one that it shows twice is two.
                    if (_EPOCH + timedelta(microseconds=t)).astimezone(zone).replace(tzinfo=None) == wall.replace(
                        fold=0
                    ):
                        out.append(t)
        d += timedelta(days=days)
    return out
