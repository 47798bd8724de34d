"""Hypothesis strategies: small point sets biased to edge cases, and ranges that cut them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
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

EVENT_STEPS = [0, 0, 1, SECOND // 2, SECOND, MINUTE, GAP - 1, GAP, GAP + 1, 2 * GAP, HOUR, 2 * HOUR, 2 * HOUR]
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


def _maybe(values: list[Any], nulls: int) -> list[Any]:
    """What to choose one of, so that it is None in ``nulls`` of ten cases."""
    return [None] * (nulls * len(values)) + values * (10 - nulls)


def _one_of_each(choices: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """One of its values for each name. They are drawn as one string of bytes: a draw for each takes most of a test's
    time, and large numbers are seldom drawn uniformly."""

    def chosen(drawn: bytes) -> dict[str, Any]:
        pairs = zip(choices.items(), drawn, strict=True)
        return {name: values[byte * len(values) >> 8] for (name, values), byte in pairs}

    return st.binary(min_size=len(choices), max_size=len(choices)).map(chosen)


@lru_cache
def _payloads(integers: tuple[int, ...], dense: bool, most: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The columns of up to ``most`` points, which of them are reported, and the step to each from the point before.

    Firmware is reported seldom, and about one point in ten reports nothing; a dense point nearly always reports all.
    """
    names = list(TYPES)
    some = [[], [], *(list(chosen) for n in range(len(names) + 1) for chosen in combinations(names, n))]
    nulls = 1 if dense else 2
    payload = _one_of_each(
        {
            "step": EVENT_STEPS if dense else STEPS,
            "hours": [0, 0, 1, 2],
            "reported": [names] if dense else some,
            "temp": _maybe(TEMPERATURES, nulls),
            "n": _maybe(list(integers), nulls),
            "ok": _maybe([True, False], nulls),
            "status": _maybe(STATUSES, nulls),
            "firmware": _maybe(FIRMWARES, 2 if dense else 6),
        }
    )
    return st.lists(payload, max_size=most)


@lru_cache
def _some(keys: tuple[Any, ...]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(keys), unique=True, max_size=len(keys))


@lru_cache
def _bytes(n: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=n, max_size=n)


_ARRIVING = _one_of_each({"begin": [0, 0, 1, GAP, HOUR, DAY], "hourly": [False, False, False, False, False, True]})
"""When a key begins to report, and whether it reports at whole hours: two of them after ``BASE`` a day begins."""
_DISTURBED = _one_of_each({"in any order": [False, True], "sent twice": [0, 0, 0, 0, 1, 2, 3]})


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
    payloads = _payloads(tuple(integers), dense, most)
    found: list[Point] = []
    for key in draw(_some(("a", "b", "c", "ö") if keys is None else tuple(keys))):
        arriving = draw(_ARRIVING)
        t = BASE + (arriving["begin"] // HOUR * HOUR if arriving["hourly"] else arriving["begin"])
        for payload in draw(payloads):
            t += payload["hours"] * HOUR if arriving["hourly"] else payload["step"]
            found.append({KEY: key, TIME: t, **{name: payload[name] for name in payload["reported"]}})
    disturbed = draw(_DISTURBED) if found else {"in any order": False, "sent twice": 0}
    if disturbed["in any order"]:
        places = draw(_bytes(len(found)))
        found = [found[i] for i in sorted(range(len(found)), key=lambda i: (places[i], i))]
    if disturbed["sent twice"]:
        found += [found[byte * len(found) >> 8] for byte in draw(_bytes(disturbed["sent twice"]))]
    return found


_NEAR = [0, 0, 1, -1, GAP, -GAP, GAP // 2, HOUR]
_RANGES = _one_of_each(
    {
        "all": [False, True],
        "earlier": [0, HOUR],
        "later": [1, DAY],
        "first": list(range(256)),
        "from first": _NEAR,
        "second": list(range(256)),
        "from second": _NEAR,
        "length": [1, GAP, HOUR],
    }
)


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
    of = draw(_RANGES)
    if of["all"]:
        return Case(found, times[0] - of["earlier"], times[-1] + of["later"])
    since, until = sorted(times[of[at] * len(times) >> 8] + of[f"from {at}"] for at in ("first", "second"))
    return Case(found, since, until if until > since else since + of["length"])
