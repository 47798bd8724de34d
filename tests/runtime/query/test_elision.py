"""Results from only the rows that change something equal those from all rows, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from dataflow.plan.stages import Stage
from runtime import Store
from runtime.pointfile import Loaded

P = df.stream("s")
UP = df.col("status") == "up"
METRICS = {
    "states": P.state_duration("status", hold="90s").group_by("firmware", "status").agg(t=df.known_time()),
    "for ever": P.state_duration("status").group_by("status").agg(t=df.known_time(), n=df.count()),
    "a condition": P.state_duration(UP, hold="61s", name="up")
    .group_by("firmware")
    .agg(up=df.share_of_time(df.col("up"))),
    "by the hour": P.state_duration("status", hold="2m")
    .group_by(hour=df.time().truncate("1h"))
    .agg(up=df.duration(UP), unknown=df.unknown_time()),
    "alive": P.heartbeat("62s").group_by("firmware").agg(t=df.duration(df.col("alive")), known=df.known_time()),
    "intervals": P.state_duration("status", hold="90s").filter(df.col("device") == "d3"),
}
RANGES: list[dict[str, Any]] = [{}, {"since": "2024-03-01T03:00:07Z", "until": "2024-03-02T11:00:03Z"}]


def fleet(gaps: float) -> dict[str, Any]:
    """Nine devices over two days: jitter, a state that seldom changes, some drop-outs, a firmware that is updated."""
    rng = np.random.default_rng(3)
    columns: dict[str, list[Any]] = {"device": [], "ts": [], "status": [], "firmware": []}
    start = 1_709_251_200_000_000
    for d in range(9):
        ticks = np.flatnonzero(rng.random(2 * 1440) >= gaps)
        n = len(ticks)
        columns["device"] += [f"d{d}"] * n
        columns["ts"] += (start + ticks * 60_000_000 + rng.integers(0, 4000, n) * 1000).tolist()
        columns["status"] += np.array(["up", "down", "idle"])[np.cumsum(rng.random(n) < 0.01) % 3].tolist()
        columns["firmware"] += ["1.0"] * (n // 2) + [f"1.{d % 2 + 1}"] * (n - n // 2)
    return {name: np.array(values) for name, values in columns.items()}


@pytest.mark.parametrize("gaps", [0.0, 0.003])
def test_the_same_bits(tmp_path: Path, gaps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, create=True)
    store.ingest("s", fleet(gaps), key="device", time="ts", unit="us")
    calls: list[int] = []
    plain = Loaded.changes

    def counted(self: Loaded, *args: Any) -> Any:
        calls.append(1)
        return plain(self, *args)

    monkeypatch.setattr(Loaded, "changes", counted)
    for name, metric in METRICS.items():
        for span in RANGES:
            calls.clear()
            few = store.query(metric, **span)
            assert calls, f"{name}: no rows were left out"
            with monkeypatch.context() as patched:
                patched.setattr(Stage, "repeats_tell_nothing", False)
                calls.clear()
                whole = store.query(metric, **span)
                assert not calls
            assert few.proof.result == whole.proof.result, name
            assert few.proof.rows_scanned == whole.proof.rows_scanned


def test_null_states_are_looked_at_row_by_row(tmp_path: Path) -> None:
    # A null changes no state, yet does not keep it alive either.
    n = 400
    ts = 1_709_251_200_000_000 + np.arange(n) * 60_000_000
    points = {"device": ["d"] * n, "ts": ts, "status": ["up"] + [None] * (n - 1), "firmware": ["1"] * n}
    store = Store(tmp_path, create=True)
    store.ingest("s", points, key="device", time="ts", unit="us")
    answer = store.query(P.state_duration("status", hold="90s").agg(t=df.known_time()))
    assert answer.to_dict()["rows"] == [[90_000_000]]
