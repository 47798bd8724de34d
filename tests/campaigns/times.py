"""Functions of time in zones with odd clocks, 1900 to 2261, against the datetime module."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import dataflow as df
from runtime import Store
from runtime.testing.oracle.buckets import EPOCH, MICROSECOND, bucket, local
from runtime.testing.oracle.odd_zones import ODD_ZONES
from tests.campaigns import Report

HOUR = 3_600_000_000
DAY = 24 * HOUR
FIRST, END = ((date(year, 1, 1) - date(1970, 1, 1)) // timedelta(microseconds=1) for year in (1900, 2262))
"""Times from 1900-01-01 to 2262-01-01, which is outside, are known."""

POINTS = 40
EVERY = ("15m", "1h", "2h", "6h", "12h", "1d", "7d", "1w", "2w", "1mo", "3mo", "1y", "10y")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LATEST = 20_400
"""A day that has passed, as a number from 1970-01-01 on: events of the future are rejected."""

Value = int | None
Columns = dict[str, Any]


class Round:
    """One zone and the points of one day, with times of all years in a column."""

    def __init__(self, store: Store, number: int, rng: random.Random) -> None:
        self.store, self.rng, self.stream = store, rng, f"s{number}"
        self.zone = ODD_ZONES[number % len(ODD_ZONES)] if number < len(ODD_ZONES) else rng.choice(ODD_ZONES)
        changes = list(_changes(self.zone))
        recent = [t for t in changes if 0 < t < LATEST * DAY]
        around = rng.choice(recent) if recent and rng.random() < 0.5 else rng.randrange(1, LATEST) * DAY
        begin = max(around - rng.randrange(DAY), 0)
        self.events = sorted(rng.randrange(begin, begin + DAY) for _ in range(POINTS))
        self.keys = [rng.choice("ab") for _ in range(POINTS)]
        self.times: list[Value] = [self._drawn(changes) for _ in range(POINTS)]
        columns: Columns = {"k": self.keys, "ts": self.events, "i": list(range(POINTS))}
        columns["at"] = np.array(self.times, "datetime64[us]")
        store.ingest(self.stream, columns, key="k", time="ts", unit="us", progress=False)
        self.points = df.stream(self.stream)

    def _drawn(self, changes: list[int]) -> int:
        rng = self.rng
        kind = rng.random()
        if kind < 0.02:
            return rng.choice([FIRST - 1, END, FIRST - rng.randrange(300 * 365 * DAY), END + rng.randrange(10**17)])
        if kind < 0.05:
            return rng.choice([FIRST, END - 1])
        if kind < 0.6 and changes:
            near = rng.choice(changes)
            reach = rng.choice([2, 2 * HOUR, 30 * HOUR])
            return near + rng.randrange(-reach, reach)
        return rng.randrange(FIRST, END)

    def ask(self, metric: df.Stream) -> df.Result | Any:
        """The answer of the store."""
        return self.store.query(metric, progress=False)

    def functions(self, time: df.Expr) -> Columns:
        """Every function of ``time`` in this zone, by a name."""
        out: Columns = {f"truncate {every}": time.truncate(every, self.zone) for every in EVERY}
        return out | {"hour": time.hour(self.zone), "weekday": time.weekday(self.zone)}

    def right(self, name: str, t: Value) -> Value:
        """What the function ``name`` gives of ``t``."""
        if t is None or not FIRST <= t < END:
            return None
        if name.startswith("truncate"):
            return bucket(t, name.removeprefix("truncate "), self.zone)[0]
        clock = local(t, self.zone)
        return clock.hour if name == "hour" else clock.weekday()


def _changes(zone: str) -> Iterator[int]:
    """Instants, to the second, at which the offset of ``zone`` changes: some of every year."""
    for year in range(1900, 2262):
        months = [_micros(date(year, month, 1)) for month in range(1, 13, 3)] + [_micros(date(year, 12, 31))]
        for lo, hi in pairwise(months):
            before = local(lo, zone).utcoffset()
            if local(hi, zone).utcoffset() == before:
                continue
            while hi - lo > 1_000_000:
                middle = (lo + hi) // 2_000_000 * 1_000_000
                lo, hi = (middle, hi) if local(middle, zone).utcoffset() == before else (lo, middle)
            yield hi


def _micros(day: date) -> int:
    return (day - EPOCH.date()) // timedelta(days=1) * DAY


def _differences(found: Columns, right: Columns) -> list[str]:
    """Each value that is not right, with its name and place."""
    out = []
    for name, values in right.items():
        for i, (want, got) in enumerate(zip(values, found[name], strict=True)):
            if want != got:
                out.append(f"{name} of row {i}: {got} is wrong, {want} is right")
    return out


# --- what is tried in every round; each gives how many examples it tried and what was wrong ------------------------

Tried = tuple[int, list[str]]


def _of_times(r: Round, result: Mapping[str, Any], times: list[Value]) -> Tried:
    names = list(r.functions(df.time()))
    right = {name: [r.right(name, t) for t in times] for name in names}
    found = {name: list(result[name]) for name in names}
    return len(names) * len(times), _differences(found, right)


def stored(r: Round) -> Tried:
    """A column of times."""
    return _of_times(r, _rows(r.ask(r.points.select(i=df.col("i"), **r.functions(df.col("at"))))), r.times)


def of_events(r: Round) -> Tried:
    """The times of the points."""
    return _of_times(r, _rows(r.ask(r.points.select(i=df.col("i"), **r.functions(df.time())))), list(r.events))


def computed(r: Round) -> Tried:
    """Times that are computed from those of the points."""
    far = timedelta(microseconds=r.rng.choice([1, -1]) * r.rng.randrange(300 * 365 * DAY))
    moved = [t + far // MICROSECOND for t in r.events]
    metric = r.points.select(i=df.col("i"), **r.functions(df.time() + far))
    return _of_times(r, _rows(r.ask(metric)), list(moved))


def grouped(r: Round) -> Tried:
    """Times after a grouping."""
    metric = r.points.group_by("i").agg(last=df.max("at"))
    return _of_times(r, _rows(r.ask(metric.with_columns(**r.functions(df.col("last"))))), r.times)


def as_groups(r: Round) -> Tried:
    """Buckets that rows are grouped by."""
    every = r.rng.choice(EVERY)
    metric = r.points.group_by(b=df.col("at").truncate(every, r.zone)).agg(n=df.count())
    right: dict[Value, int] = {}
    for t in r.times:
        start = r.right(f"truncate {every}", t)
        right[start] = right.get(start, 0) + 1
    found = r.ask(metric)
    got = dict(zip(found["b"], found["n"], strict=True))
    return len(right), [] if got == right else [f"groups by {every}: {got} is wrong, {right} is right"]


def joined(r: Round) -> Tried:
    """Times of a reference table, and rows that hold for some times only."""
    inside = [t if FIRST <= t < END else FIRST for t in r.times if t is not None]
    begin, middle, end = sorted(r.rng.sample(range(r.events[0] - DAY, r.events[-1] + DAY), 3))
    # One row of every key in each period, the first of them from ever and the last for ever.
    froms = [None, begin, middle, end]
    moments = [None if t is None else EPOCH + t * MICROSECOND for t in froms]
    held = {k: [r.rng.choice(inside) for _ in froms] for k in "ab"}
    table = df.table(
        {
            "key": ["a"] * len(froms) + ["b"] * len(froms),
            "valid": moments * 2,
            "x": [EPOCH + t * MICROSECOND for t in held["a"] + held["b"]],
        }
    )
    metric = r.points.join(table, on="k", key="key", valid_from="valid")
    times: list[Value] = []
    for k, t in zip(r.keys, r.events, strict=True):
        times.append(held[k][sum(f is not None and f <= t for f in froms)])
    return _of_times(r, _rows(r.ask(metric.select(i=df.col("i"), **r.functions(df.col("x"))))), times)


def during(r: Round) -> Tried:
    """Points within the hours of a calendar."""
    hours: dict[str, list[str]] = {}
    spans: list[tuple[int, int, int]] = []
    for _ in range(r.rng.randrange(1, 5)):
        weekday = r.rng.randrange(7)
        a, b = sorted(r.rng.sample(range(24 * 60 + 1), 2))
        hours.setdefault(WEEKDAYS[weekday], []).append(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}")
        spans.append((weekday, a * 60, b * 60))
    result = r.ask(r.points.during(df.calendar(hours, r.zone)).select(i=df.col("i")))
    right = []
    for i, t in enumerate(r.events):
        clock = local(t, r.zone)
        second = clock.hour * 3600 + clock.minute * 60 + clock.second
        if any(weekday == clock.weekday() and a <= second < b for weekday, a, b in spans):
            right.append(i)
    got = sorted(result["i"])
    return POINTS, [] if got == right else [f"during {hours}: {got} is wrong, {right} is right"]


def windows(r: Round) -> Tried:
    """Calendar windows: their edges, and functions of these."""
    every = r.rng.choice(EVERY)
    metric = r.points.window(every, zone=r.zone).with_columns(
        h=df.col("end").truncate("1h", r.zone), y=df.time().truncate("1y", r.zone)
    )
    result = r.ask(metric.select("start", "end", "h", "y"))
    found = set(zip(result["k"], result["start"], result["end"], result["h"], result["y"], strict=True))
    right = set()
    for k, t in zip(r.keys, r.events, strict=True):
        start, end = bucket(t, every, r.zone)
        right.add((k, start, end, bucket(end, "1h", r.zone)[0], bucket(start, "1y", r.zone)[0]))
    wrong = [f"windows of {every}: {found ^ right} differ"] if found != right else []
    return len(right), wrong


def sliding(r: Round) -> Tried:
    """Windows of several buckets."""
    every, n = r.rng.choice([("1h", 3), ("6h", 4), ("1d", 7), ("1w", 2), ("1mo", 3)])
    size = f"{n}{every[1:]}" if every[0] == "1" else f"{n * int(every[:-1])}{every[-1]}"
    result = r.ask(r.points.window(every, size=size, zone=r.zone).select("start", "end"))
    found = set(zip(result["k"], result["start"], result["end"], strict=True))
    right = set()
    for k, t in zip(r.keys, r.events, strict=True):
        starts = [bucket(t, every, r.zone)[0]]
        while len(starts) < n:
            starts.append(bucket(starts[-1] - 1, every, r.zone)[0])
        for start in starts:
            edges = [start]
            while len(edges) <= n:
                edges.append(bucket(edges[-1], every, r.zone)[1])
            right.add((k, start, edges[-1]))
    # A window that starts before the first point is one, too, where points before it are read.
    wrong = [f"windows of {n} {every}: {found ^ right} differ"] if found != right else []
    return len(right), wrong


def filled(r: Round) -> Tried:
    """Buckets in which nothing was."""
    every = r.rng.choice(["15m", "1h", "2h", "6h", "1d"])
    metric = r.points.group_by(b=df.time().truncate(every, r.zone)).with_empty_buckets().agg(n=df.count())
    result = r.ask(metric)
    right, t = [], bucket(r.events[0], every, r.zone)[0]
    while t <= r.events[-1]:
        right.append(t)
        t = bucket(t, every, r.zone)[1]
    found = list(result["b"])
    return len(right), [] if found == right else [f"all buckets of {every}: {found} is wrong, {right} is right"]


def cut(r: Round) -> Tried:
    """Intervals that are cut at the edges of buckets."""
    every = r.rng.choice(EVERY)
    metric = (
        r.points.state_duration("i", name="state")
        .group_by(b=df.time().truncate(every, r.zone))
        .agg(d=df.sum("duration"))
    )
    result = r.ask(metric)
    right: dict[int, int] = {}
    until = r.events[-1] + 1
    for k in set(r.keys):
        t = min(e for e, key in zip(r.events, r.keys, strict=True) if key == k)
        while t < until:
            start, end = bucket(t, every, r.zone)
            right[start] = right.get(start, 0) + min(end, until) - t
            t = min(end, until)
    found = dict(zip(result["b"], result["d"], strict=True))
    return len(right), [] if found == right else [f"time by {every}: {found} is wrong, {right} is right"]


def _rows(result: Any) -> Columns:
    """The columns of a result in the order of the points' numbers."""
    order = np.argsort(np.array(result["i"]))
    return {name: [result[name][at] for at in order] for name in result.columns}


TRIALS: tuple[Callable[[Round], Tried], ...] = (
    stored, of_events, computed, grouped, as_groups, joined, during, windows, sliding, filled, cut,
)  # fmt: skip


def run(budget: int, seed: int) -> Report:
    """Try about ``budget`` examples drawn from ``seed``: in each round a zone, a day, and every trial."""
    report, rng, number = Report(), random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), create=True)
        while sum(report.tried.values()) < budget:
            r = Round(store, number, rng)
            for trial in TRIALS:
                tried, wrong = trial(r)
                report.count(trial.__name__.replace("_", " "), tried)
                where = f"{r.zone}, {EPOCH + r.events[0] * MICROSECOND}, {trial.__name__}"
                report.failures += [f"{where}: {text}" for text in wrong]
            number += 1
    return report
