"""Hypothesis strategies: small point sets that go for the edges, and ranges that cut them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
GAP = 10 * MINUTE
"""The gap, hold and timeout of all graphs, so that steps can be drawn around it."""

BASE = 1_711_836_000_000_000
"""2024-03-30 22:00 UTC: three hours before the clocks of Europe go forward."""

KEY = "device"
TIME = "ts"
TYPES = {"temp": "float64", "n": "int64", "ok": "bool", "status": "string", "firmware": "string"}

EVENT_STEPS = [0, 0, 1, SECOND // 2, SECOND, MINUTE, GAP - 1, GAP, GAP + 1, 2 * GAP, HOUR, 2 * HOUR]
STEPS = [0, 0, 1, GAP // 2, GAP - 1, GAP, GAP, GAP + 1, 3 * GAP, HOUR, 5 * HOUR, DAY]
TEMPERATURES = [0.0, -0.0, 0.1, 0.2, 0.3, -3.25, 21.5, 30.0, 30.5, 1e16, -1e16, 1e-9]
INTEGERS = [-7, -1, 0, 1, 2, 3, 10, 2**53 + 1]
STATUSES = ["up", "down", "degraded"]
FIRMWARES = ["1.2.0", "2.0", "ä", ""]

Point = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Points in order of arrival, and a range."""

    points: list[Point]
    since: int
    until: int


def _maybe(values: list[Any], nulls: int) -> st.SearchStrategy[Any]:
    """One of the values or, in ``nulls`` of ten cases, None."""
    filled = st.sampled_from(values)
    return st.integers(0, 9).flatmap(lambda draw: st.none() if draw < nulls else filled)


def payloads(integers: list[int] = INTEGERS) -> st.SearchStrategy[Point]:
    """The columns of one point; firmware is told seldom, and one point in ten says nothing at all."""
    full = st.fixed_dictionaries(
        {},
        optional={
            "temp": _maybe(TEMPERATURES, 2),
            "n": _maybe(integers, 2),
            "ok": _maybe([True, False], 2),
            "status": _maybe(STATUSES, 2),
            "firmware": _maybe(FIRMWARES, 6),
        },
    )
    return st.integers(0, 9).flatmap(lambda draw: st.just({}) if draw == 0 else full)


def events(integers: list[int] = INTEGERS) -> st.SearchStrategy[Point]:
    """The columns of one point that nearly always tells all."""
    return st.fixed_dictionaries(
        {
            "temp": _maybe(TEMPERATURES, 1),
            "n": _maybe(integers, 1),
            "ok": _maybe([True, False], 1),
            "status": _maybe(STATUSES, 1),
            "firmware": _maybe(FIRMWARES, 2),
        }
    )


@st.composite
def points(
    draw: st.DrawFn,
    *,
    keys: list[Any] | None = None,
    integers: list[int] = INTEGERS,
    most: int = 8,
    dense: bool = False,
) -> list[Point]:
    """Up to four keys with up to ``most`` points each, arriving in any order; often none, one, or many at one time.

    ``dense``: points that tell all, many within seconds or the gap.
    """
    steps, payload = (EVENT_STEPS, events(integers)) if dense else (STEPS, payloads(integers))
    names = keys if keys is not None else ["a", "b", "c", "ö"]
    found: list[Point] = []
    for key in draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names))):
        t = BASE + draw(st.sampled_from([0, 0, 1, GAP, HOUR, DAY]))
        for step, columns in draw(st.lists(st.tuples(st.sampled_from(steps), payload), max_size=most)):
            t += step
            found.append({KEY: key, TIME: t, **columns})
    if draw(st.booleans()):
        found = draw(st.permutations(found))
    if found and draw(st.integers(0, 4)) == 0:
        found += draw(st.lists(st.sampled_from(found), max_size=3))  # sent twice
    return found


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    keys: list[Any] | None = None,
    integers: list[int] = INTEGERS,
    most: int = 8,
    dense: bool = False,
) -> Case:
    """Points and a range: all of them, or one that starts and ends at, near or between points, or beside them all."""
    found = draw(points(keys=keys, integers=integers, most=most, dense=dense))
    times = sorted({point[TIME] for point in found} | {BASE})
    if draw(st.booleans()):
        return Case(found, times[0] - draw(st.sampled_from([0, HOUR])), times[-1] + draw(st.sampled_from([1, DAY])))
    near = st.sampled_from([0, 0, 1, -1, GAP, -GAP, GAP // 2, HOUR])
    edges = [draw(st.sampled_from(times)) + draw(near) for _ in range(2)]
    since, until = sorted(edges)
    return Case(found, since, until if until > since else since + draw(st.sampled_from([1, GAP, HOUR])))
