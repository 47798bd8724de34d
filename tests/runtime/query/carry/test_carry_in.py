"""With a snapshot, queries give the bits that they give without, and what the oracle says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dataflow.language.stream import Stream
from dataflow.metrics.json_form import from_dict
from runtime import Store
from runtime.testing.oracle import IntegerOverflowError, answer
from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR, KEY, TIME, TYPES, Point, points
from tests.laws.agreement import typed
from tests.laws.graphs import GRAPHS
from tests.runtime.query.carry.carry_stores import (
    CARRIED,
    FULL,
    METRICS,
    START,
    answer_of,
    both,
    ingest,
    snapshots_pay,
    stored,
    without,
)

KEYS = ["a", "b", "c", "ö"]
POLICIES = st.sampled_from([(p, i) for p in ("keep", "exact", "latest") for i in (None, "n")])
NEAR = st.sampled_from([0, 0, 0, 1, -1, GAP, HOUR, DAY // 2])
LENGTHS = st.sampled_from([1, GAP, HOUR, DAY, 3 * DAY])
OF_CLOCK = frozenset(name for name in CARRIED if "'time'" in str(METRICS[name]))
"""The oracle evaluates ``time()`` at every quarter of an hour of an interval: for months of them it takes minutes."""


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with snapshots_pay():
        yield


@st.composite
def spread(draw: st.DrawFn) -> list[Point]:
    """Points of up to some hundred days; some keys only at the beginning, others only at the end."""
    found = draw(points(most=6))
    early = draw(st.sets(st.sampled_from(KEYS)))
    back = draw(st.sampled_from([1, 2, 3, 40, 500]))
    shifted = []
    for p in found:
        days = draw(st.sampled_from([0, 0, 1, 2, back])) + (back if p[KEY] in early else 0)
        shifted.append({**p, TIME: p[TIME] - days * DAY})
    return shifted


@st.composite
def sources(draw: st.DrawFn, given_points: list[Point]) -> list[list[Point]]:
    """The points in up to four sources, or in one a day."""
    if draw(st.booleans()):
        days = sorted({p[TIME] // DAY for p in given_points})
        return [[p for p in given_points if p[TIME] // DAY == day] for day in days]
    cuts = sorted(draw(st.lists(st.integers(0, len(given_points)), max_size=3)))
    edges = [0, *cuts, len(given_points)]
    return [given_points[a:b] for a, b in pairwise(edges) if a < b]


def as_ingested(parts: list[list[Point]]) -> list[Point]:
    return [p for part in parts for p in part]


@settings(max_examples=max(10, settings().max_examples // 4), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_oracle_agrees(data: st.DataObject) -> None:
    # Every column has a value somewhere.
    first = data.draw(sources([{KEY: "z", TIME: BASE - 3 * DAY, **FULL}, *data.draw(spread())]))
    late = data.draw(spread())
    policy, id = data.draw(POLICIES)
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        for part in first:
            ingest(store, part, policy, id, data.draw(st.booleans()))
        arrived = as_ingested(first)
        asked = []
        for _ in range(3):
            times = sorted({p[TIME] for p in arrived} | {BASE})
            since = data.draw(st.sampled_from(times)) + data.draw(NEAR)
            asked.append((data.draw(st.sampled_from(CARRIED)), since, since + data.draw(LENGTHS)))

        def check(arrived: list[Point]) -> None:
            for name, since, until in asked:
                event(f"used: {both(store, name, since, until, data.draw(st.sampled_from([1, 2])))}")
                if name in OF_CLOCK and BASE - min(p[TIME] for p in arrived) > 10 * DAY:
                    continue
                options: dict[str, Any] = {"key": KEY, "time": TIME, "types": TYPES, "duplicates": policy, "id": id}
                graph = METRICS[name]
                try:
                    expected = answer(graph, arrived, since=since, until=until, **options)
                except IntegerOverflowError:
                    continue
                columns = {n: c.to_list() for n, c in answer_of(store, name, since, until).columns.items()}
                rows = [dict(zip(columns, r, strict=True)) for r in zip(*columns.values(), strict=True)]
                assert typed(rows) == typed(expected), name

        check(arrived)
        if late:
            ingest(store, late, policy, id, data.draw(st.booleans()))
            arrived += late
            check(arrived)
        store.compact("s", progress=False)
        check(arrived)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("late"), spread(), st.booleans()),
        st.tuples(st.just("late"), spread(), st.booleans()),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("erase"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("compact"), st.just(0), st.just(0)),
        st.tuples(st.just("next day"), spread(), st.just(0)),
    ),
    min_size=1,
    max_size=4,
)
PAYS = st.tuples(st.sampled_from([1, 30_000]), st.sampled_from([0, 1, 2]), st.sampled_from([0, 1]))


@settings(max_examples=max(12, settings().max_examples // 4), deadline=None, suppress_health_check=list(HealthCheck))
@given(first=spread(), policy=POLICIES, steps=STEPS, data=st.data())
def test_whatever_happens(first: list[Point], policy: tuple[str, str | None], steps: list[Any], data: Any) -> None:
    """A store day by day, asked after each of some steps of upkeep: what the snapshots of before are of may be gone."""
    days = sorted({p[TIME] // DAY for p in first})
    used = 0
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        ingest(store, [{KEY: "z", TIME: START - 600 * DAY, **FULL}], *policy)
        for day in days:
            ingest(store, [p for p in first if p[TIME] // DAY == day], *policy)
        for what, one, other in [("nothing", 0, 0), *steps]:
            if what == "late" and one:
                ingest(store, one, *policy, one_file=other)
            elif what == "next day":
                last = store.catalogue.snapshot("s").last_time or START
                ingest(store, [{**p, TIME: (last // DAY + 1) * DAY + p[TIME] % DAY} for p in one], *policy)
            elif what == "undo":
                found = [s.entry.id for s in store.sources("s") if not s.entry.undone][:-1]
                if found:
                    store.undo("s", found[one % len(found)])
            elif what == "erase":
                store.erase("s", one)
            elif what == "compact":
                store.compact(progress=False)
            last = (store.catalogue.snapshot("s").last_time or START) // DAY
            for name in data.draw(st.lists(st.sampled_from(CARRIED), min_size=1, max_size=3)):
                since = (last - data.draw(st.sampled_from([0, 0, 1, 2]))) * DAY + data.draw(NEAR)
                with snapshots_pay(*data.draw(PAYS)):
                    was = both(store, name, since, since + data.draw(LENGTHS), data.draw(st.sampled_from([1, 2])))
                event(f"used after {what}: {was}")
                used += was
        assert store.verify().ok


def test_snapshots_are_used(tmp_path: Path) -> None:
    """So that the tests above are not of nothing; see also ``test_shapes.py``."""
    store = Store(tmp_path, create=True)
    rows = [{KEY: k, TIME: BASE + d * DAY, "status": "up" if d % 3 else "down"} for d in range(40) for k in "abc"]
    for n in range(0, len(rows), 3):
        ingest(store, rows[n : n + 3], "keep", None)
    assert both(store, "states_held_forever", BASE + 39 * DAY, BASE + 40 * DAY)
    found = answer_of(store, "states_held_forever", BASE + 39 * DAY, BASE + 40 * DAY)
    assert "3 points in 1 file of a snapshot stand for" in str(found.proof.carried)


@pytest.mark.parametrize("name", ["uptime_by_firmware", "held_then_filtered", "windows_empty"])
def test_tasks_as_bytes(tmp_path: Path, name: str) -> None:
    """As for any executor, in whose processes the files are opened by their entries."""
    with Store(tmp_path, create=True) as store, ThreadPoolExecutor(2) as pool:
        stored(store)
        metric = Stream(from_dict(GRAPHS[name]))
        span: dict[str, Any] = {"since": START + 12 * DAY, "until": START + 13 * DAY, "progress": False}
        found = store.query(metric, executor=pool, workers=2, **span)
        assert found.proof.carried is not None
        assert found.proof.result == without(store, name, START + 12 * DAY, START + 13 * DAY).proof.result


def test_an_id_column_that_no_point_has(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        for day in range(3):
            table = {KEY: ["a"], TIME: [START + day * DAY], "status": ["up"]}
            store.ingest(
                "s", table, key=KEY, time=TIME, unit="us", id="nowhere", duplicates="exact", progress=False,
                compact=False,
            )  # fmt: skip
        assert both(store, "states_as_rows", START + 2 * DAY, START + 3 * DAY)


@pytest.mark.parametrize("workers", [1, 2])
def test_integer_keys(tmp_path: Path, workers: int) -> None:
    with Store(tmp_path, create=True) as store:
        for day in range(5):
            table = {
                KEY: [7, -7, 2**63 - 1], TIME: [START + day * DAY + n for n in range(3)],
                "status": [["up", "down", None][(day + n) % 3] for n in range(3)],
            }  # fmt: skip
            store.ingest("s", table, key=KEY, time=TIME, unit="us", progress=False, compact=False)
        for name in ("states_as_rows", "heartbeat_rows"):
            assert both(store, name, START + 4 * DAY, START + 5 * DAY, workers)


@pytest.mark.parametrize(("column", "values"), [("temp", [0.0, -0.0, 1.0]), ("n", [-(2**62) - 1, 0, 1])])
def test_values_that_are_not_plain(tmp_path: Path, column: str, values: list[Any]) -> None:
    """Of equal zeros, the first is a state's value; an increase may overflow before the range."""
    name = {"temp": "temperatures", "n": "counted_twice"}[column]
    with Store(tmp_path, create=True) as store:
        ingest(store, [{KEY: "a", TIME: START, **FULL}])
        for day, value in enumerate(values):
            ingest(store, [{KEY: "a", TIME: START + DAY * (day + 1), column: value}])
        last = START + DAY * len(values)
        assert not both(store, name, last, last + DAY)
        # Where the sign does not matter, the same column is carried in.
        assert both(store, "state_of_an_expression", last, last + DAY)
