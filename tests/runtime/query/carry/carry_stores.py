"""Stores in which snapshots pay, however small, and queries with and without them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataflow.language.stream import Stream
from dataflow.metrics.bind import bind
from dataflow.metrics.json_form import from_dict
from operators.errors import DataflowError
from operators.types import Type
from runtime import Result, Store
from runtime.catalogue import StreamSchema
from runtime.ingest import day_spans
from runtime.query.carry import carrying
from runtime.query.task.task import stream_columns
from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR, KEY, TIME, TYPES, Point
from tests.laws import builders as b
from tests.laws.graphs import GRAPHS
from tests.laws.timeline_graphs import ALIVE_TRACK, NIGHTS, OWNERS, UP_TRACK, concurrent, join, timeline, within

STREAM = GRAPHS["states_as_rows"]["steps"][0]["name"]
SCHEMA = StreamSchema(
    key=KEY, key_type=Type.STRING, time=TIME, columns={n: Type(t) for n, t in TYPES.items()}, duplicates="keep", id=None
)
MORE_GRAPHS = {
    "temperatures": b.graph(b.states(b.TEMP, name="temp", hold=None)),
    "counted_twice": b.graph(
        b.group(b.BY_DEVICE, temp=b.agg("increase", b.TEMP), n=b.agg("rate", b.N), moves=b.agg("transitions", b.STATUS))
    ),
    "filtered_reports": b.graph(b.where(b.fn("is_not_null", b.STATUS)), b.states(b.STATUS, hold=None)),
    "beats_of_reports": b.graph(b.where(b.fn("is_not_null", b.STATUS)), b.beats(40 * DAY)),
    "windows_of_reports": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)), b.windows("1h", empty=True, n=b.agg("count"))
    ),
    "timeline_of_reports": b.graph(
        b.where(b.fn("is_not_null", b.FIRMWARE)),
        timeline(b.fn("or", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK),
    ),
    "other_reports": b.graph(b.where(b.fn("is_not_null", b.STATUS)), b.states(b.OK, name="ok", hold=None)),
    "held_after_filter": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)),
        b.extend(fw=b.fn("last", b.FIRMWARE, hold=None)),
        b.select(fw=b.col("fw")),
    ),
    "of_one_key": b.graph(
        b.where(b.fn("eq", b.DEVICE, b.lit("b"))), b.states(b.STATUS), b.group(b.BY_FIRMWARE, t=b.agg("known_time"))
    ),
    "two_values": b.graph(
        b.states(
            b.fn("or", b.fn("eq", b.STATUS, b.lit("up")), b.fn("is_in", b.STATUS, type="string", values=["degraded"])),
            name="works",
        ),
        b.group(b.BY_FIRMWARE, share=b.agg("share_of_time", b.col("works"))),
    ),
    "two_columns": b.graph(b.states(b.fn("and", b.OK, b.fn("eq", b.STATUS, b.lit("up"))), name="fine", hold=None)),
    "held_state": b.graph(
        {"op": "held", "columns": ["status", "firmware", "temp"], "hold": None},
        b.states(b.fn("eq", b.STATUS, b.lit("up")), name="up"),
        b.group(b.BY_FIRMWARE, up=b.agg("share_of_time", b.col("up")), warm=b.agg("max", b.TEMP)),
    ),
    "held_for_an_hour": b.graph(
        {"op": "held", "columns": ["status"], "hold": HOUR}, b.states(b.STATUS, hold=HOUR), b.select(status=b.STATUS)
    ),
    "failures": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.where(b.fn("is_not_null", b.STATUS)),
        b.group(
            b.BY_DEVICE,
            failures=b.agg("count", where=b.fn("and", b.fn("changed", b.STATUS), b.fn("eq", b.STATUS, b.lit("down")))),
            mttr=b.agg("mttr", b.UP),
        ),
    ),
    "failures_every_6_hours": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.group(
            b.named(at=b.truncate("6h", b.LONDON), firmware=b.FIRMWARE),
            mtbf=b.agg("mtbf", b.UP),
            mttr=b.agg("mttr", b.fn("ne", b.STATUS, b.lit("down"))),
            changes=b.agg("count", where=b.fn("changed", b.STATUS)),
            updates=b.agg("count", where=b.fn("changed", b.FIRMWARE)),
            moves=b.agg("transitions", b.FIRMWARE),
        ),
    ),
    "updates_while_both": b.graph(
        timeline(b.fn("and", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK),
        b.extend(new=b.fn("changed", b.FIRMWARE), fw=b.fn("last", b.FIRMWARE, hold=None)),
        b.where(b.fn("or", b.col("new"), b.col("state"))),
    ),
    "last_for_2_hours": b.graph(b.states(b.STATUS, hold=HOUR), b.extend(lately=b.fn("last", b.STATUS, hold=2 * HOUR))),
    "last_in_pieces": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.extend(known=b.fn("last", b.STATUS, hold=None), new=b.fn("changed", b.FIRMWARE)),
        join(b.DEVICE, OWNERS),
        within(NIGHTS),
    ),
    "last_of_beats": b.graph(
        b.beats(HOUR),
        b.extend(was=b.fn("last", b.ALIVE, hold=None)),
        concurrent(b.fn("and", b.ALIVE, b.col("was")), by=b.BY_FIRMWARE),
    ),
    "failures_of_both": b.graph(
        timeline(b.fn("and", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK),
        b.group(b.BY_DEVICE, mttr=b.agg("mttr", b.col("state"))),
    ),
    "failures_of_some": b.graph(
        b.states(b.STATUS, hold=None),
        b.where(b.fn("ne", b.STATUS, b.lit("degraded"))),
        b.group(b.BY_DEVICE, failures=b.agg("count", where=b.fn("changed", b.STATUS))),
    ),
}
"""Metrics of the limits of what last values suffice for, besides those of the laws."""

START = BASE // DAY * DAY
FULL = {"temp": 1.5, "n": 99, "ok": True, "status": "up", "firmware": "2.0"}


def _reads_all(name: str) -> tuple[bool, bool]:
    """Whether the metric may read all points before the range, and whether a snapshot will do."""
    plan = bind(from_dict(METRICS[name]), stream_columns(SCHEMA), {})
    return plan.history is None or bool(plan.held_columns), plan.carried is not None


METRICS = {**GRAPHS, **MORE_GRAPHS}
_READ = {name: _reads_all(name) for name in METRICS if "params" not in str(METRICS[name])}
CARRIED = sorted(name for name, found in _READ.items() if all(found))
NOT_CARRIED = sorted(name for name, (all_points, carried) in _READ.items() if all_points and not carried)


@contextmanager
def snapshots_pay(file: int = 1, times: int = 0, smaller: int = 0) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying, "LEAST", 0)
        patched.setattr(carrying, "FILE", file)
        patched.setattr(carrying, "TIMES", times)
        patched.setattr(carrying, "SMALLER", smaller)
        yield


def answer_of(store: Store, name: str, since: int, until: int, workers: int = 1) -> Result:
    metric = Stream(from_dict(METRICS[name]))
    return store.query(metric, since=since, until=until, workers=workers, progress=False)


def without(store: Store, name: str, since: int, until: int) -> Result:
    """The answer without a snapshot."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying, "LEAST", 1 << 60)
        found = answer_of(store, name, since, until)
    assert found.proof.carried is None
    return found


def both(store: Store, name: str, since: int, until: int, workers: int = 1) -> bool:
    """Check that the answer is that without a snapshot; returns whether there was one."""
    try:
        found = answer_of(store, name, since, until, workers)
    except DataflowError as error:
        with pytest.raises(type(error)):
            without(store, name, since, until)
        return False
    plain = without(store, name, since, until)
    assert found.proof.result == plain.proof.result, (name, str(found), str(plain))
    assert found.proof.complete
    return found.proof.carried is not None


def ingest(
    store: Store, rows: list[Point], policy: str = "keep", id: str | None = None, one_file: bool = False
) -> None:
    """Ingest points, each day into a file of its own, or all into ``one_file``."""
    names = [KEY, TIME, *TYPES]
    table = {n: [r.get(n) for r in rows] for n in names}
    table[TIME] = [datetime.fromtimestamp(0, UTC) + timedelta(microseconds=t) for t in table[TIME]]
    options: dict[str, Any] = {"type": TYPES}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(day_spans, "FEW_DAYS", 1 if one_file else 1000)
        store.ingest(
            STREAM, table, key=KEY, time=TIME, duplicates=policy, id=id, progress=False, compact=False, **options
        )


DAYS = 14
_AT = (0, 1, GAP - 1, GAP, GAP + 1, 5 * HOUR, DAY // 2, DAY - HOUR, DAY - GAP, DAY - 1)


def story() -> list[list[Point]]:
    """Points, day by day, of keys of which one stops early and one begins late; each column is null for days."""
    rng = random.Random(14)
    days = []
    for day in range(DAYS):
        rows: list[Point] = [{KEY: "full", TIME: START, **FULL}] if day == 0 else []
        keys = ["a", "b", "ö", *(["early"] if day < 4 else []), *(["late"] if day > 9 else [])]
        for at in sorted(rng.choices(_AT, k=5)):
            row: Point = {KEY: rng.choice(keys), TIME: START + day * DAY + at}
            if rng.random() < 0.7:
                row["status"] = rng.choice(["up", "down", "degraded"])
            if rng.random() < 0.5:
                row["temp"] = rng.choice([0.0, 21.5, 30.0, 30.5])
            if day < 9 and rng.random() < 0.5:
                row["n"] = rng.choice([-1, 0, 1, 2])
            if day % 3 == 0 and rng.random() < 0.6:
                row["firmware"] = rng.choice(["1.2.0", "2.0", "ä"])
            if 3 < day < 7:
                row["ok"] = rng.choice([True, False])
            rows.append(row)
            if rng.random() < 0.3:
                rows.append({KEY: row[KEY], TIME: row[TIME], "status": "down", "n": 5})
        days.append(rows)
    return days


LATE: list[Point] = [
    {KEY: "a", TIME: START + 6 * DAY + 7, "status": "degraded", "firmware": "late", "temp": 40.0},
    {KEY: "ö", TIME: START + 6 * DAY + DAY - 1, "ok": False, "n": 10},
]
"""Points of one day that come after later ones."""

CROSSING: list[Point] = [
    {KEY: "b", TIME: START + 8 * DAY + 9 * HOUR, "status": "degraded"},
    {KEY: "b", TIME: START + 9 * DAY + 9 * HOUR, "firmware": "crossing", "temp": -4.5},
]
"""The same, of two days, for one file."""


def stored(store: Store, policy: str = "keep", id: str | None = None) -> None:
    """The story in a store, one file a day."""
    for rows in story():
        ingest(store, rows, policy, id)
