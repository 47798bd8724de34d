"""Retention: answers from the floor on are those of before; others are errors, or as if the rest had never been."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.errors import QueryError
from runtime.query.carry import carrying
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.query.scan.compacted_files import Row
from tests.runtime.query.scan.test_compacted import DAY, HOUR, METRICS, POLICIES, ROWS, P
from tests.runtime.upkeep.small_constants import small_constants
from tests.runtime.upkeep.test_kept_answers import BASE, LATER, TYPES, table

FIRST = LATER // DAY

KNOWN = {
    "lasting": P.state_duration("t").group_by("t", "k").agg(up=df.known_time(), n=df.count()),
    "lasting number": P.state_duration(df.col("n") > 1, hold="2d").group_by("k").agg(up=df.known_time()),
    "beats": P.heartbeat("5h").group_by("k").agg(up=df.known_time()),
    "sums": METRICS["sums"],
    "keys": METRICS["keys"],
    "ends": METRICS["ends"],
}  # fmt: skip
"""Metrics that need no more than each key's last values from before the range."""

OTHERS = {name: METRICS[name] for name in ("held", "sessions", "rows")}
"""Metrics that need more."""

SOURCES = st.lists(ROWS, min_size=1, max_size=10)


@pytest.fixture(scope="module", autouse=True)
def in_small() -> Iterator[None]:
    """Small tasks, spans, tiers and windows; carry snapshots pay."""
    with small_constants() as patch:
        for name in ("LEAST", "TIMES", "SMALLER"):
            patch.setattr(carrying, name, 0)
        yield


def ingest(store: Store, rows: list[Row], policy: tuple[str, str | None], **more: Any) -> Any:
    return store.ingest(
        "s", table(rows), key="k", time="ts", unit="us", duplicates=policy[0], id=policy[1], type=TYPES,
        progress=False, **more,
    )  # fmt: skip


def answer(store: Store, metric: df.Stream, since: int, **more: Any) -> str:
    return store.query(metric, since, LATER + 9 * DAY, progress=False, **more).proof.result


def points(store: Store) -> Counter[tuple[Any, ...]]:
    """All points as they are exported."""
    return Counter(map(tuple, store.head("s", 10_000).to_dict()["rows"]))


def same(one: Store, other: Store, since: int) -> int:
    """Compare all answers from ``since`` on; returns how many are errors because of the floor of the first store."""
    refused = 0
    for name, metric in {**KNOWN, **OTHERS}.items():
        try:
            found = answer(one, metric, since)
        except QueryError as error:
            found = str(error)
        if "are retired, and this metric looks back" in found:
            assert name in OTHERS
            refused += 1
            continue
        assert found == answer(other, metric, since), name
    return refused


@settings(max_examples=max(10, settings().max_examples // 4))
@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(SOURCES, st.booleans()), min_size=1, max_size=4),
    st.lists(st.tuples(SOURCES, st.booleans()), max_size=3),
    st.integers(-2, 3),
    st.sampled_from([0, 7 * HOUR, DAY]),
    st.lists(st.sampled_from(["compact", "sweep", "retain", "due"]), max_size=3),
)
def test_answers_from_the_floor_on_are_those_of_before(
    policy: tuple[str, str | None],
    before: list[tuple[list[Row], bool]],
    after: list[tuple[list[Row], bool]],
    day: int,
    later: int,
    steps: list[str],
) -> None:
    floor = LATER + day * DAY
    base = [Row("z", 0, 0, {"x": 1.0, "n": 1, "t": "up", "id": "base"}), Row("z", 4 * DAY, 0, BASE[0].values)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(f"{folder}/kept", create=True) as kept,
        Store(f"{folder}/whole", create=True) as whole,
        Store(f"{folder}/rest", create=True) as rest,
    ):
        seen: list[list[Row]] = []  # equal sources count once, and equal parts of sources twice
        for rows, compact in [(base, True), *before]:
            of_rest = [row for row in rows if LATER + row.time >= floor]
            if rows in seen or of_rest in seen:
                continue
            seen += [rows, of_rest] if of_rest else [rows]
            ingest(kept, rows, policy, compact=compact)
            ingest(whole, rows, policy, compact=False)
            if of_rest:
                ingest(rest, of_rest, policy, compact=False)
        kept.retain("s", before=floor)
        for rows, compact in after:
            late = [row for row in rows if LATER + row.time >= floor]
            if not late or late in seen:
                continue
            seen.append(late)
            for store in (kept, whole, rest):
                ingest(store, late, policy, compact=compact and store is kept)
        for step in steps:
            if step == "compact":
                kept.compact(progress=False)
            elif step == "due":
                kept.compaction("s", progress=False).what_is_due()
            elif step == "sweep":
                kept.sweep(rules=SweepRules(grace=0))
            elif day < 3:
                floor += DAY
                day += 1
                kept.retain("s", before=floor)
        refused = same(kept, whole, floor + later)
        event(f"refused: {refused}")
        event(f"carried: {len(kept.files('s')) > len(kept.catalogue.snapshot('s').points)}")
        if "retain" not in steps:
            for name, metric in OTHERS.items():
                if name == "sessions":
                    continue  # one at the floor may have begun before it
                left = answer(kept, metric, floor + later, below_floor=True)
                assert left == answer(rest, metric, floor + later), name
            assert points(kept) == points(rest)
        assert kept.verify().ok, str(kept.verify())
        assert all(f.t_max < floor or f.t_min >= floor for f in kept.files("s"))
