"""Alerts: against a plain count over the answers, edge by edge."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.live.alerts import Alert, AlertWatch
from runtime.live.following import FollowOptions

MINUTE = 60_000_000
LAST = df.stream("p").group_by("k").agg(last=df.max(df.time()), v=df.sum("v")).with_columns(low=df.col("v") < 0)


SOURCES = itertools.count()
"""What tells sources of equal points apart."""


def put(store: Store, key: str, minute: int, value: int = 1) -> None:
    point = {"k": [key], "t": [60 * minute], "v": [value], "source": [next(SOURCES)]}
    store.ingest("p", point, key="k", time="t", unit="s", progress=False)


class Watching:
    """The edges that an alert gives, commit by commit."""

    def __init__(self, store: Store, alert: Alert, metric: df.Stream = LAST) -> None:
        self.follower, _ = store._followed(metric, None, None, FollowOptions.of("1s", "0s", None, "changes"))
        self.watch = AlertWatch(alert)

    def look(self) -> list[tuple[str, str]]:
        answer = self.follower.step()
        assert answer is not None
        self.found = self.watch.edges(answer, self.follower.names)
        return [(e["edge"], e["row"]["k"]) for e in self.found]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_a_condition(store: Store) -> None:
    watching = Watching(store, Alert("low"))
    put(store, "a", 0)
    assert watching.look() == []
    put(store, "b", 1, -1)
    assert watching.look() == [("raised", "b")]
    put(store, "a", 2, -5)
    assert watching.look() == [("raised", "a")]
    assert watching.found[0]["since"] == watching.found[0]["watermark"] == "1970-01-01T00:02:00.000000Z"
    assert watching.found[0]["row"] == {"k": "a", "last": "1970-01-01T00:02:00.000000Z", "v": -4, "low": True}
    store.undo("p", store.sources("p")[0].short)
    assert watching.look() == [("resolved", "a")]
    store.erase("p", "b")
    assert watching.look() == [("resolved", "b")]  # its row is gone
    assert watching.found[0]["row"]["k"] == "b"


def test_how_long_it_must_hold(store: Store) -> None:
    watching = Watching(store, Alert("low", hold="10m", remind="5m"))
    put(store, "a", 0, -1)
    assert watching.look() == []
    for minute, edges in [
        (9, []),
        (10, [("raised", "a")]),
        (12, []),
        (15, [("still", "a")]),
        (19, []),
        (21, [("still", "a")]),
    ]:
        put(store, "b", minute)
        assert watching.look() == edges
    assert watching.found[0]["since"] == "1970-01-01T00:00:00.000000Z"


def test_silence(store: Store) -> None:
    watching = Watching(store, Alert(silent_since="last", hold="10m"))
    put(store, "a", 0)
    put(store, "b", 9)
    assert watching.look() == []
    put(store, "b", 10)
    assert watching.look() == [("raised", "a")]
    assert watching.found[0]["since"] == "1970-01-01T00:00:00.000000Z"
    put(store, "a", 11)
    assert watching.look() == [("resolved", "a")]
    put(store, "a", 25)
    assert watching.look() == [("raised", "b")]


@settings(max_examples=max(8, settings().max_examples // 3))
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.sampled_from([1, -1])), min_size=1, max_size=12),
    st.sampled_from([0, 3, 10]),
    st.sampled_from([None, 4]),
    st.booleans(),
)
def test_against_a_plain_count(
    tmp_path_factory: pytest.TempPathFactory,
    points: list[tuple[str, int, int]],
    hold: int,
    remind: int | None,
    silent: bool,
) -> None:
    how: dict[str, Any] = {"silent_since": "last"} if silent else {"when": "low"}
    hold = max(hold, 3) if silent else hold
    alert = Alert(**how, hold=f"{hold}m" if hold else None, remind=None if remind is None else f"{remind}m")
    seen: list[tuple[str, int, int]] = []
    since: dict[str, int] = {}
    said: dict[str, int] = {}
    with Store(tmp_path_factory.mktemp("alerts") / "store", create=True) as store:
        watching = Watching(store, alert)
        for key, minute, value in points:
            put(store, key, minute, value)
            seen.append((key, minute, value))
            now = max(m for _, m, _ in seen)
            expected = set()
            for k in {k for k, _, _ in seen}:
                last = max(m for q, m, _ in seen if q == k)
                meets = now - last >= hold if silent else sum(v for q, _, v in seen if q == k) < 0
                if not meets:
                    since.pop(k, None)
                    if said.pop(k, None) is not None:
                        expected.add(("resolved", k))
                    continue
                begun = since.setdefault(k, last if silent else now)
                if k not in said and (silent or now - begun >= hold):
                    said[k] = now
                    expected.add(("raised", k))
                elif k in said and remind is not None and now - said[k] >= remind:
                    said[k] = now
                    expected.add(("still", k))
            found = watching.look()
            assert set(found) == expected
            assert len(found) == len(expected)
