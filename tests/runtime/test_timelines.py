"""Timelines through a store: more pieces than a kernel writes at once, other executors, plans as text."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

import dataflow as df
from runtime import Store

START = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PIECES = 80_000
"""More than the rows that a kernel writes before it hands them on."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("store"), create=True)
    points: list[tuple[str, int, str]] = []
    for device in ("a", "b"):
        points += [(device, 0, "up"), (device, 2 * PIECES, "down")]
    points += [("c", n, "up" if n % 2 else "down") for n in range(PIECES)]
    at = [int((START + n * MINUTE).timestamp()) * 1_000_000 for _, n, _ in points]
    columns = {"device": [d for d, _, _ in points], "ts": at, "status": [s for _, _, s in points]}
    made.ingest("t", columns, key="device", time="ts", unit="us", progress=False)
    return made


STATES = df.stream("t").state_duration("status")


@pytest.fixture(scope="module")
def odd() -> df.ReferenceTable:
    """Each odd minute."""
    return df.table(
        {
            "device": ["a"] * PIECES,
            "from": [START + (2 * n + 1) * MINUTE for n in range(PIECES)],
            "to": [START + (2 * n + 2) * MINUTE for n in range(PIECES)],
            "number": list(range(PIECES)),
        }
    )


def rows(store: Store, metric: df.Stream, **options: Any) -> list[tuple[Any, ...]]:
    result = store.query(metric, progress=False, **options)
    return list(zip(*(c.to_list() for c in result.columns.values()), strict=True))


def test_one_interval_in_many_pieces(store: Store, odd: df.ReferenceTable) -> None:
    minute = 60_000_000
    total = df.duration()
    by_device = STATES.filter(df.col("device") == "a").filter(df.col("status") == "up").group_by("device")
    assert rows(store, by_device.agg(n=df.count(), total=total)) == [("a", 1, 2 * PIECES * minute)]
    for metric in (STATES.during(odd, on="device"), STATES.outside(odd, on="device")):
        agg = metric.filter((df.col("device") == "a") & (df.col("status") == "up")).agg(
            n=df.count(), total=total, first=df.min("start"), last=df.max("end"), longest=df.max("duration")
        )
        inside = metric.steps[-1].inside  # type: ignore[union-attr]
        first = int(START.timestamp()) * 1_000_000
        last = first + (2 * PIECES - (0 if inside else 1)) * minute
        expected = (PIECES, PIECES * minute, first + inside * minute, last, minute)
        assert rows(store, agg) == [expected]


def test_each_piece_has_its_own_row_of_the_table(store: Store, odd: df.ReferenceTable) -> None:
    joined = STATES.join(odd, on="device", how="inner", valid_from="from", valid_to="to")
    summed = joined.agg(n=df.count(), numbers=df.count_distinct("number"), sum=df.sum("number"))
    assert rows(store, summed) == [(PIECES, PIECES, PIECES * (PIECES - 1) // 2)]


def test_what_remembers_rows_sees_each_interval_once(store: Store, odd: df.ReferenceTable) -> None:
    # The pieces are those of the key's first interval, which has none before it.
    remembering = STATES.with_columns(before=df.col("status").previous(), new=df.col("status").changed())
    first = {"n": df.count(), "first": df.count(where=df.col("before").is_null()), "new": df.count(where=df.col("new"))}
    assert rows(store, remembering.during(odd, on="device").agg(**first)) == [(PIECES, PIECES, 0)]
    # The same where a grouping cuts: its groups do not fit either, at first.
    a = remembering.filter((df.col("device") == "a") & (df.col("status") == "up"))
    by_hour = a.group_by("before", "new", hour=df.time().truncate("1h")).agg(n=df.count())
    hours = -(-2 * PIECES // 60)
    assert rows(store, by_hour.group_by("before", "new").agg(n=df.sum("n"))) == [(None, False, hours)]


def test_many_edges(store: Store) -> None:
    up = STATES.concurrent(df.col("status") == "up")
    found = rows(store, up)
    assert len(found) == PIECES + 1
    assert {row[3] for row in found[:PIECES]} == {2, 3}


def test_other_executors_get_the_tables_as_bytes(store: Store, odd: df.ReferenceTable) -> None:
    calendar = df.calendar({"mon-fri": "08:00-17:30"}, zone="Europe/Berlin", except_=["2024-03-05"])
    alive = df.stream("t").heartbeat("10m")
    metric = (
        (alive | df.stream("t").state_duration(df.col("status") == "up"))
        .during(calendar)
        .join(odd, on="device", valid_from="from", valid_to="to")
        .at_least(1, df.col("state"), numbered=df.col("number").is_not_null())
    )
    here = store.query(metric, workers=1, progress=False)
    assert len(here) > 0
    with ThreadPoolExecutor(2) as pool:
        there = store.query(metric, executor=pool, workers=2, progress=False)
    assert there.proof.result == here.proof.result


def test_explain(store: Store, odd: df.ReferenceTable) -> None:
    calendar = df.calendar({"mon-fri": "08:00-17:30"}, zone="Europe/Berlin", except_=["2024-03-05"])
    metric = STATES.during(calendar).join(odd, on="device", valid_from="from", valid_to="to")
    text = store.explain(metric.at_least(2, df.col("status") == "up"))
    assert "step 3 (during): intervals cut at the edges of periods, inside kept: kernel" in text
    assert "step 4 (join): intervals cut at the edges of periods: kernel" in text
    assert "step 5 (at_least): edges of intervals by nothing: kernel" in text
    assert "then times with at least 2 keys, from edges" in text
    assert "  calendar of 47.5 hours a week in Europe/Berlin, 1 exceptions" in text
    assert (
        f"  table of {PIECES} rows (device, from, to, number) {odd.digest[:12]} by device, valid from from to to"
        in text
    )
    alive = df.stream("t").heartbeat("10m")
    assert "step 2 (timeline): 1 timelines, held columns: none: kernel" in store.explain(~alive)


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One device for each way in which three states can be true, false or unknown."""
    made = Store(tmp_path_factory.mktemp("truths"), create=True)
    cases = list(product([True, False, None], repeat=3))
    columns: dict[str, list[Any]] = {
        "device": [repr(c) for c in cases],
        "ts": [n * 1_000_000 for n in range(len(cases))],
    }
    columns |= {name: [c[i] for c in cases] for i, name in enumerate("abc")}
    made.ingest("t", columns, key="device", time="ts", unit="us", progress=False)
    return made


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda a, b, c: a & b & c, lambda a, b, c: a and b and c),
        (lambda a, b, c: a | ~b, lambda a, b, c: a or not b),
        (lambda a, b, c: ~(a & b) | c, lambda a, b, c: not (a and b) or c),
        *[
            (lambda a, b, c, k=k: df.at_least(k, of=[a, b, c]), lambda a, b, c, k=k: a + b + c >= k)
            for k in (1, 2, 3, 4)
        ],
    ],
)
def test_unknown_is_what_the_unknown_could_decide(
    truths: Store, make: Callable[..., df.Stream], rule: Callable[..., bool]
) -> None:
    metric = make(*(df.stream("t").state_duration(name) for name in "abc"))
    found = dict(rows(truths, metric.group_by("device").agg(state=df.last("state"))))
    assert len(found) == 27
    for case in product([True, False, None], repeat=3):
        outcomes = {bool(rule(*full)) for full in product(*([True, False] if v is None else [v] for v in case))}
        assert found[repr(case)] is (outcomes.pop() if len(outcomes) == 1 else None)
