"""With a snapshot, queries give the bits that they give without, and what the oracle says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow.language.stream import Stream
from dataflow.metrics.bind import bind
from dataflow.metrics.json_form import from_dict
from operators.types import Type
from runtime import Result, Store
from runtime.catalogue import StreamSchema
from runtime.query.carry import carrying
from runtime.query.task.task import stream_columns
from runtime.testing.oracle import IntegerOverflowError, answer
from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR, KEY, TIME, TYPES, Point, points
from tests.laws.agreement import typed
from tests.laws.graphs import GRAPHS

STREAM = GRAPHS["states_as_rows"]["steps"][0]["name"]
SCHEMA = StreamSchema(
    key=KEY, key_type=Type.STRING, time=TIME, columns={n: Type(t) for n, t in TYPES.items()}, duplicates="keep", id=None
)


def _carried(name: str) -> bool:
    plan = bind(from_dict(GRAPHS[name]), stream_columns(SCHEMA), {})
    return plan.carried is not None


CARRIED = sorted(n for n in GRAPHS if "params" not in str(GRAPHS[n]) and _carried(n))


FULL = {"temp": 1.5, "n": 99, "ok": True, "status": "up", "firmware": "2.0"}
ASKED = [
    n
    for n in ("uptime_by_firmware", "states_held_forever", "states_by_london_day", "heartbeat_by_firmware",
              "state_of_an_expression", "state_with_held_number")
    if n in CARRIED
]  # fmt: skip
"""Few, since each is compiled."""


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots pay, however small the store."""
    monkeypatch.setattr(carrying, "LEAST", 0)
    monkeypatch.setattr(carrying, "TIMES", 0)
    monkeypatch.setattr(carrying, "SMALLER", 0)


def test_which_plans() -> None:
    for name in ("uptime_by_firmware", "states_held_forever", "heartbeat_by_firmware", "state_of_an_expression"):
        assert name in CARRIED
    # A filter chooses among the reports; an expression remembers rows, or is null although its columns are not.
    for name in ("state_after_filter", "state_of_last"):
        assert name not in CARRIED


def both(store: Store, name: str, since: int, until: int, workers: int = 1) -> tuple[Result, Result]:
    metric = Stream(from_dict(GRAPHS[name]))
    span: dict[str, Any] = {"since": since, "until": until, "progress": False}
    found = store.query(metric, workers=workers, **span)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying, "LEAST", 1 << 60)
        plain = store.query(metric, workers=1, **span)
    assert plain.proof.carried is None
    assert found.proof.result == plain.proof.result, name
    assert found.proof.complete
    assert found.proof.rows_catalogued == found.proof.rows_scanned
    return found, plain


@st.composite
def spread(draw: st.DrawFn) -> list[Point]:
    """Points of up to some hundred days; some keys only at the beginning, others only at the end."""
    found = draw(points(most=6))
    early = draw(st.sets(st.sampled_from(["a", "b", "c", "ö"])))
    back = draw(st.sampled_from([1, 2, 3, 40, 500]))
    shifted = []
    for p in found:
        days = draw(st.sampled_from([0, 0, 1, 2, back])) + (back if p[KEY] in early else 0)
        shifted.append({**p, TIME: p[TIME] - days * DAY})
    return shifted


@st.composite
def sources(draw: st.DrawFn, given_points: list[Point]) -> list[list[Point]]:
    cuts = sorted(draw(st.lists(st.integers(0, len(given_points)), max_size=3)))
    edges = [0, *cuts, len(given_points)]
    return [given_points[a:b] for a, b in pairwise(edges) if a < b]


def ingest(store: Store, rows: list[Point], policy: str, id: str | None) -> None:
    names = [KEY, TIME, *TYPES]
    table = {n: [r.get(n) for r in rows] for n in names}
    table[TIME] = [datetime.fromtimestamp(0, UTC) + timedelta(microseconds=t) for t in table[TIME]]
    options: dict[str, Any] = {"type": TYPES}
    store.ingest(STREAM, table, key=KEY, time=TIME, duplicates=policy, id=id, progress=False, compact=False, **options)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_same_bits(data: st.DataObject) -> None:
    first = data.draw(spread())
    late = data.draw(spread())
    policy = data.draw(st.sampled_from(["keep", "exact", "latest"]))
    id = data.draw(st.sampled_from([None, None, "n"]))
    # Every column has a value somewhere.
    first.insert(0, {KEY: "z", TIME: BASE - 3 * DAY, **FULL})
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        for part in data.draw(sources(first)):
            ingest(store, part, policy, id)
        asked = []
        for _ in range(2):
            near = st.sampled_from([0, 0, 1, -1, GAP, HOUR, DAY, 2 * DAY])
            times = sorted({p[TIME] for p in first} | {BASE})
            since = data.draw(st.sampled_from(times)) + data.draw(near)
            until = since + data.draw(st.sampled_from([1, GAP, HOUR, DAY, 3 * DAY]))
            asked += [
                (name, since, until) for name in data.draw(st.lists(st.sampled_from(ASKED), min_size=1, max_size=2))
            ]

        def check(arrived: list[Point]) -> None:
            for name, since, until in asked:
                found, _ = both(store, name, since, until, data.draw(st.sampled_from([1, 2])))
                options: dict[str, Any] = {"key": KEY, "time": TIME, "types": TYPES, "duplicates": policy, "id": id}
                try:
                    expected = answer(GRAPHS[name], arrived, since=since, until=until, **options)
                except IntegerOverflowError:
                    continue
                columns = {n: c.to_list() for n, c in found.columns.items()}
                rows = [dict(zip(columns, r, strict=True)) for r in zip(*columns.values(), strict=True)]
                assert typed(rows) == typed(expected), name

        check(first)
        arrived = list(first)
        if late:
            ingest(store, late, policy, id)
            arrived += late
            check(arrived)
        store.compact(STREAM, progress=False)
        check(arrived)


def test_snapshots_are_used(tmp_path: Path) -> None:
    """So that the test above is not of nothing."""
    store = Store(tmp_path, create=True)
    rows = [{KEY: k, TIME: BASE + d * DAY, "status": "up" if d % 3 else "down"} for d in range(40) for k in "abc"]
    for n in range(0, len(rows), 3):
        ingest(store, rows[n : n + 3], "keep", None)
    found, plain = both(store, "states_held_forever", BASE + 39 * DAY, BASE + 40 * DAY)
    assert found.proof.carried is not None
    assert found.proof.rows_scanned < plain.proof.rows_scanned
    assert "3 points in 1 file of a snapshot stand for" in found.proof.carried
