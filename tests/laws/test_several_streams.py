"""Metrics over several streams against the oracle, from ingest to result, for any split of the work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.query.plan import make_tasks
from runtime.testing.oracle import answer_of_streams
from runtime.testing.oracle.strategies import KEY, TIME, TYPES, Case, Point, cases, points
from tests.laws.agreement import typed
from tests.laws.engine import as_columns, parts, schema_point
from tests.runtime.query.carry.carry_stores import snapshots_pay

A, B = df.stream("a"), df.stream("b")
GAP = "10m"
KNOWN = A.with_columns(kind=df.lit("a"))
LATE = df.col("temp") > 0.15

METRICS = {
    "union_rows": df.union(A, B).filter(df.col("status").is_not_null()),
    "union_of_chains": df.union(
        KNOWN.filter(df.col("ok")).select("kind", "n", before=df.col("n").previous()),
        B.held("firmware", hold="1h").filter(LATE).with_columns(kind=df.col("firmware"), before=df.col("n")),
    ),
    "union_groups": df.union(A.filter(LATE), B, B.with_columns(status=df.col("firmware")))
    .group_by("status", KEY)  # of several keys at one time, first and last depend on their hashes
    .agg(rows=df.count(), n=df.sum("n", where=df.col("n") < 100), last=df.last("temp"), keys=df.count_distinct(KEY)),
    "union_counts": df.union(A, B).group_by("ok").agg(rows=df.count(), least=df.min("temp")),
    "union_states": df.union(A, B).state_duration("status", hold=GAP).filter(df.col("firmware") != "2.0"),
    "union_sessions": df.union(A.filter(LATE), B).sessionize(GAP, rows=df.count("n")),
    "union_looks_back": df.union(A, B).with_columns(seen=df.col("status").last(), old=df.col("n").previous()),
    "asof_rows": A.join_asof(B, tolerance=GAP, suffix="_b").select("n", "n_b", "status_b", "ok_b", "temp_b"),
    "asof_of_some": A.filter(LATE)
    .join_asof(B.filter(df.col("ok")).select(level=df.col("n"), at=df.time(), was=df.col("status").previous()))
    .with_columns(step=df.col("level").previous()),
    "asof_of_reports": A.select("n").join_asof(
        B.held("status").select(level=df.col("status"), limit=df.col("temp").last(hold="1h"))
    ),
    "asof_of_known": A.select("n").join_asof(B.filter(df.col("temp").is_not_null()).select(t=df.col("temp"))),
    "asof_groups": A.join_asof(B.select(state=df.col("status")), tolerance="1h")
    .group_by("state", KEY)
    .agg(rows=df.count(), temp=df.max("temp"), first=df.first("n")),
    "asof_states": A.join_asof(B.select(mode=df.col("status"), limit=df.col("temp")))
    .state_duration(df.col("temp") > df.col("limit"), hold=GAP)
    .group_by("mode")
    .agg(time=df.duration(), n=df.count()),
    "asof_windows": A.join_asof(B.select(mode=df.col("status")), tolerance=GAP)
    .window("1h", rows=df.count())
    .group_by("mode", "start")
    .agg(rows=df.sum("rows"), keys=df.count()),
    "asof_twice": A.select("n")
    .join_asof(B.select(b=df.col("n")).join_asof(A.select(a=df.col("status")), tolerance="1h"))
    .join_asof(A.filter(df.col("ok")).select(own=df.col("n"))),
    "asof_of_unions": df.union(A.filter(LATE).select("n"), KNOWN.select("kind")).join_asof(
        df.union(B.select(x=df.col("n")), A.filter(df.col("ok")).select(x=df.col("n").previous())), tolerance="1h"
    ),
    "union_of_asof": df.union(B.select("n"), A.select("n").join_asof(B.select(b=df.col("temp"))), KNOWN.select("kind")),
    "timelines": (A.filter(LATE).state_duration(df.col("n") > 0, hold=GAP) & B.heartbeat(GAP)).filter(
        df.col("firmware").is_not_null()
    ),
    "most_timelines": df.at_least(
        2, of=[A.heartbeat(GAP), B.state_duration("ok", hold="1h"), B.held("ok").state_duration(df.col("ok") & LATE)]
    )
    .group_by("status")
    .agg(time=df.duration(df.col("state")), known=df.known_time()),
}  # fmt: skip

few = settings(max_examples=max(6, settings().max_examples // 10))
"""Each example writes a store of two streams."""


@st.composite
def of_two(draw: st.DrawFn) -> tuple[Case, list[Point]]:
    """A case for one stream, and points of another, of which some share the times of the first."""
    case, other = draw(cases(most=6)), draw(points(most=6))
    if case.points and draw(st.booleans()):
        other += [{**p, "n": 5} for p in draw(st.lists(st.sampled_from(case.points), max_size=3))]
    first = schema_point("schema")
    return replace(case, points=[first, *case.points]), [{**first, "n": 2}, *other]


class Streams:
    """Stores of two streams under a folder; the last one is reused for another metric over the same points."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0

    def store(self, a: list[Point], b: list[Point], policy: str, sources: int) -> Store:
        """A store with these points, each stream from so many sources."""
        self._number += 1
        store = Store(str(self._folder / f"{self._number}"), create=True)
        for name, all_of_it, duplicates in (("a", a, "keep"), ("b", b, policy)):
            for part in parts(all_of_it, sources):
                store.ingest(name, as_columns(part), key=KEY, time=TIME, unit="us", duplicates=duplicates)
        return store


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Streams:
    return Streams(tmp_path_factory.mktemp("stores"))


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are split however few rows they have."""
    monkeypatch.setattr(make_tasks, "_SMALL", 1)
    monkeypatch.setattr(make_tasks, "_FILE", 1)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("kind", ["union", "asof", "timelines"])
@few
@given(drawn=of_two(), policy=st.sampled_from(["keep", "exact", "latest"]), sources=st.integers(1, 3))
def test_every_metric(streams: Streams, kind: str, drawn: tuple[Case, list[Point]], policy: str, sources: int) -> None:
    case, other = drawn
    store = streams.store(case.points, other, policy, sources)
    for name, metric in METRICS.items():
        if kind not in name:
            continue
        expected = answer_of_streams(
            json.loads(metric.to_json()), {"a": case.points, "b": other}, key=KEY, time=TIME, types=TYPES,
            since=case.since, until=case.until, duplicates={"b": policy},
        )  # fmt: skip
        digests = set()
        for workers in (1, 4):
            result = store.query(metric, since=case.since, until=case.until, workers=workers, progress=False)
            assert typed(rows_of(result)) == typed(expected), name
            digests.add(result.proof.result)  # type: ignore[union-attr]
        if kind == "asof":
            # Snapshots of each key's last rows, where they suffice.
            with snapshots_pay():
                result = store.query(metric, since=case.since, until=case.until, progress=False)
            assert typed(rows_of(result)) == typed(expected), name
            digests.add(result.proof.result)  # type: ignore[union-attr]
        assert len(digests) == 1, name


def rows_of(result: Any) -> list[dict[str, Any]]:
    lists = {name: column.to_list() for name, column in result.columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
