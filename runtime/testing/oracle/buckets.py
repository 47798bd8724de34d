"""Calendar buckets in a time zone, by datetime arithmetic."""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache

from runtime.testing.oracle.oracle_zones import zone as zone_of

BEGIN, END = -25_567 * 86_400_000_000, 106_651 * 86_400_000_000
"""1900 and 2262."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ONE_DAY = timedelta(days=1)
SECONDS = {"s": 1, "m": 60, "h": 3600}


def local(t: int, zone: str) -> datetime:
    """The wall clock of ``zone`` at ``t`` (microseconds since 1970 UTC)."""
    return (EPOCH + t * MICROSECOND).astimezone(zone_of(zone))


def moved(t: int, by: str, zone: str) -> int | None:
    """When the wall clock first shows the same on another date; null outside of the years."""
    wall = local(t, zone).replace(tzinfo=None, fold=0)
    count = {unit: int(n) * (-1 if by[0] == "-" else 1) for n, unit in re.findall(r"(\d+)(y|mo|w|d)", by)}
    number = 12 * (wall.year + count.get("y", 0)) + wall.month - 1 + count.get("mo", 0)
    if not 1800 <= number // 12 <= 2400:
        return None
    last = monthrange(number // 12, number % 12 + 1)[1]
    date_ = wall.replace(year=number // 12, month=number % 12 + 1, day=min(wall.day, last))
    date_ += timedelta(days=7 * count.get("w", 0) + count.get("d", 0))
    found: int = (date_.replace(tzinfo=zone_of(zone)) - EPOCH) // MICROSECOND
    return found if BEGIN <= found < END else None


@lru_cache(maxsize=4096)
def midnight(day: date, zone: str, later: timedelta = timedelta(0)) -> int:
    """The first instant of a local day, in microseconds since 1970 UTC: the first time the clock shows its midnight, or
    ``later`` than midnight.

    Where it skips that, the first instant at which it shows it or a later time.
    """
    wall = datetime(day.year, day.month, day.day) + later
    shown = (wall.replace(tzinfo=zone_of(zone)) - EPOCH) // MICROSECOND
    if local(shown, zone).replace(tzinfo=None, fold=0) == wall:
        return shown
    before, after = shown - ONE_DAY // MICROSECOND, shown
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (
            (before, middle) if local(middle, zone).replace(tzinfo=None, fold=0) >= wall else (middle, after)
        )
    return after


def month(number: int) -> date:
    """The first day of the ``number``-th month since January 1970."""
    return date(1970 + number // 12, number % 12 + 1, 1)


@cache
def day_edges(day: date, width: timedelta, zone: str) -> list[int]:
    """When a local day's buckets start: at its first instant, and whenever the clock shows a multiple of the width.

    A wall time that the clock skips is no edge, one that it shows twice is two.
    """
    edges = {midnight(day, zone)}
    wall = datetime(day.year, day.month, day.day)
    while wall.date() == day:
        for fold in (0, 1):
            t = (wall.replace(tzinfo=zone_of(zone), fold=fold) - EPOCH) // MICROSECOND
            if local(t, zone).replace(tzinfo=None, fold=0) == wall:
                edges.add(t)
        wall += width
    return sorted(edges)


@lru_cache(maxsize=64)
def near_edges(day: date, width: timedelta, zone: str) -> list[int]:
    """The edges of a local day and its neighbours: where the clock goes back behind midnight it shows a day that is
    over."""
    return sorted({t for days in (-1, 0, 1) for t in day_edges(day + days * ONE_DAY, width, zone)})


@lru_cache(maxsize=1 << 16)
def bucket(t: int, every: str, zone: str) -> tuple[int, int]:
    """Start and end of the bucket of ``t``: ``every`` is a count and s, m, h, d, w, mo or y; then @ and the first day
    of the week, + and how much later than midnight it starts, in one unit."""
    match = re.fullmatch(r"([1-9][0-9]*)(s|m|h|d|w|mo|y)(?:@(\w{3}))?(?:\+([0-9]+)(s|m|h|d))?", every)
    if match is None:
        raise ValueError(f"not a bucket width: {every!r}")
    n, unit = int(match[1]), match[2]
    later = (
        timedelta(0)
        if match[4] is None
        else int(match[4]) * (ONE_DAY if match[5] == "d" else timedelta(seconds=SECONDS[match[5]]))
    )
    today = (local(t, zone).replace(tzinfo=None, fold=0) - later).date()
    if unit in SECONDS:
        edges = near_edges(today, timedelta(seconds=n * SECONDS[unit]), zone)
    elif unit in ("d", "w"):
        first = date(1970, 1, 1) if unit == "d" else date(1969, 12, 29)  # a Monday
        while match[3] is not None and f"{first:%a}".lower() != match[3]:
            first -= ONE_DAY
        days = n if unit == "d" else 7 * n
        begin = first + (today - first).days // days * days * ONE_DAY
        edges = sorted({midnight(begin + i * days * ONE_DAY, zone, later) for i in (-1, 0, 1, 2)})
    else:
        months = n if unit == "mo" else 12 * n
        number = ((today.year - 1970) * 12 + today.month - 1) // months * months
        edges = sorted({midnight(month(number + i * months), zone, later) for i in (-1, 0, 1, 2)})
    after = bisect_right(edges, t)
    return edges[after - 1], edges[after]
