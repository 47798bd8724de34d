"""Three-valued logic of at_least and concurrent: what is decided although a state is unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import BASE, DAY, KEY, TIME, TYPES
from tests.laws.memory import run_in_memory

MINUTE, HOLD, LENGTH = 60_000_000, 7, 30
START = BASE - BASE % DAY
STATUS, FIRMWARE = df.col("status"), df.col("firmware")
UP, NEW = STATUS == "up", FIRMWARE == "2"
Truth = bool | None


def both(a: Truth, b: Truth) -> Truth:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: Truth, b: Truth) -> Truth:
    return True if a is True or b is True else None if a is None or b is None else False


def same(a: Any, b: Any) -> Truth:
    return None if a is None else a == b


CONDITIONS: dict[str, tuple[df.Expr, Callable[[Any, Any, int], Truth]]] = {
    "state": (UP, lambda s, f, m: same(s, "up")),
    "and held": (UP & NEW, lambda s, f, m: both(same(s, "up"), same(f, "2"))),
    "or held": (UP | NEW, lambda s, f, m: either(same(s, "up"), same(f, "2"))),
    "held alone": (NEW, lambda s, f, m: same(f, "2")),
    "unknown itself": (STATUS.is_null(), lambda s, f, m: s is None),
    "filled": (STATUS.fill_null("down") == "up", lambda s, f, m: s == "up"),
    "and clock": (UP & (df.time().hour() < 1), lambda s, f, m: both(same(s, "up"), m < 15)),
    "or clock": (UP | (df.time().hour() >= 1), lambda s, f, m: either(same(s, "up"), m >= 15)),
}


@st.composite
def reports(draw: st.DrawFn) -> list[dict[str, Any]]:
    points = []
    for key in "abc":
        for m in sorted(draw(st.sets(st.integers(0, LENGTH - 1), min_size=1, max_size=4))):
            status = draw(st.sampled_from(["up", "down", None]))
            point = {KEY: key, TIME: _at(m), "status": status, "firmware": draw(st.sampled_from(["1", "2", None]))}
            points.append(point)
    return points


def _at(minute: int) -> int:
    # The hour changes in the middle.
    return START + 45 * MINUTE + minute * MINUTE


def by_minute(points: list[dict[str, Any]], truth: Callable[[Any, Any, int], Truth]) -> list[list[Truth]]:
    """For every minute the condition of each key that had its first point."""
    out: list[list[Truth]] = []
    for m in range(LENGTH):
        now: list[Truth] = []
        for key in sorted({p[KEY] for p in points}):
            seen = [p for p in points if p[KEY] == key and p[TIME] <= _at(m)]
            states = [p for p in seen if p["status"] is not None]
            if not seen:
                continue
            fresh = bool(states) and states[-1][TIME] + HOLD * MINUTE > _at(m)
            held = [p["firmware"] for p in seen if p["firmware"] is not None]
            now.append(truth(states[-1]["status"] if fresh else None, held[-1] if held else None, m))
        out.append(now)
    return out


def asked(metric: df.Stream, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    graph = json.loads(metric.to_json())
    found = run_in_memory(graph, points, since=_at(0), until=_at(LENGTH), tasks=2)
    right = answer(graph, points, key=KEY, time=TIME, types=TYPES, since=_at(0), until=_at(LENGTH))
    assert found == right
    return found


def at(rows: list[dict[str, Any]], minute: int) -> dict[str, Any] | None:
    return next((r for r in rows if r["start"] <= _at(minute) < r["end"]), None)


@pytest.mark.parametrize("name", CONDITIONS)
@settings(max_examples=max(12, settings().max_examples // 8))
@given(reports(), st.integers(1, 3), st.sampled_from(["0.000001%", "33.3%", "50%", "66.666667%", "100%"]))
def test_by_the_minute(name: str, points: list[dict[str, Any]], k: int, share: str) -> None:
    condition, truth = CONDITIONS[name]
    states = df.stream("s").state_duration("status", hold=f"{HOLD}m")
    minutes = by_minute(points, truth)
    numbers = asked(states.concurrent(condition), points)
    enough = asked(states.at_least(k, condition), points)
    mostly = asked(states.at_least(share, condition), points)
    part = Fraction(share.rstrip("%")) / 100
    for m, now in enumerate(minutes):
        row, state = at(numbers, m), at(enough, m)
        assert (row is None, state is None) == (not now, not now)
        if row is None or state is None:
            continue
        counts = now.count(True), now.count(False), now.count(None)
        assert (row["active"], row["inactive"], row["unknown"]) == counts
        active, _, unknown = counts
        assert state["state"] is (True if active >= k else False if active + unknown < k else None)
        many, possible = active >= part * len(now), active + unknown >= part * len(now)
        found = at(mostly, m)
        assert found is not None
        assert found["state"] is (True if many else None if possible else False)
    shares = asked(states.at_least(k, condition).agg(x=df.share_of_time(df.col("state")), u=df.unknown_time()), points)
    known = [now for now in minutes if now and (now.count(True) >= k or now.count(True) + now.count(None) < k)]
    right = sum(now.count(True) >= k for now in known) / len(known) if known else None
    assert shares == [{"x": right, "u": (sum(map(bool, minutes)) - len(known)) * MINUTE}]


def test_shares_are_exact() -> None:
    """Of 30 keys three are 10 %, although 0.1 * 30 is more than three."""
    points = [{KEY: f"k{n}", TIME: _at(0), "status": "up" if n < 3 else "down", "firmware": "1"} for n in range(30)]
    states = df.stream("s").state_duration("status", hold="10m")
    for share, state in (("10%", True), ("10.000001%", False), ("9.999999%", True)):
        assert next(row["state"] for row in asked(states.at_least(share, UP), points)) is state


@pytest.mark.parametrize("wrong", ["50", "0%", "101%", "50.5 %", "1.0000001%", "-5%", "%", 0.5, True])
def test_wrong_numbers(wrong: Any) -> None:
    states = df.stream("s").state_duration("status")
    with pytest.raises(df.DataflowError, match=r"at_least takes a positive integer, got .*; for a share .* '50%'"):
        states.at_least(wrong, UP)
    graph = json.loads(states.at_least("50%", UP).to_json())
    graph["steps"][-1]["at_least"] = wrong
    with pytest.raises(df.DataflowError, match=r"at_least: expected .* '50%'"):
        df.from_json(json.dumps(graph))


def test_the_text_of_a_share() -> None:
    metric = df.stream("s").state_duration("status").at_least("50%", UP, "site")
    assert '.at_least("50%", df.col("status") == "up", "site")' in repr(metric)
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()


def test_a_silent_key_of_another_site_decides_nothing() -> None:
    # b has firmware 1, whatever its status is: of "up with firmware 2" it is not one.
    points = [
        {KEY: "a", TIME: _at(0), "status": "up", "firmware": "2"},
        {KEY: "b", TIME: _at(0), "status": "up", "firmware": "1"},
    ]
    states = df.stream("s").state_duration("status", hold="10m")
    found = asked(states.concurrent(UP & NEW), points)
    assert [(r["active"], r["inactive"], r["unknown"], r["duration"] // MINUTE) for r in found] == [
        (1, 1, 0, 10), (0, 1, 1, 20),
    ]  # fmt: skip
    found = asked(states.at_least(2, UP & NEW), points)
    assert [(r["state"], r["duration"] // MINUTE) for r in found] == [(False, 30)]
