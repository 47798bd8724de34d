"""A range that begins in the middle gives the whole range's rows, cut to it, for every kind of step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.testing.oracle.strategies import DAY, GAP, HOUR, KEY, TIME, Case, cases
from tests.laws import builders as b
from tests.laws.looking_graphs import AFTER, COUNT, STATE, TO, looks
from tests.laws.memory import run_in_memory
from tests.laws.timeline_graphs import ALIVE_TRACK, DAYS, OWNERS, SITES, UP_TRACK, join, timeline, within

LOOKS = ("last", "was", "new", "total", "before", "most")

MAKERS: dict[str, tuple[list[b.Json], b.Json]] = {
    "windows": ([b.windows("1h", state=b.agg("last", b.STATUS))], looks(b.col("state"), COUNT)),
    "windows_of_days": ([b.windows("1d", b.LONDON, v=b.agg("mean", b.TEMP))], looks(b.col("v"), COUNT, hold=2 * DAY)),
    "empty_windows": ([b.windows("6h", empty=True, v=b.agg("last", b.TEMP))], looks(b.col("v"), COUNT)),
    "sliding": ([b.windows("10m", size=4, v=b.agg("max", b.TEMP))], looks(b.col("v"), COUNT)),
    "empty_sliding": (
        [b.windows("6h", size=3, empty=True, state=b.agg("last", b.STATUS))],
        looks(b.col("state"), COUNT),
    ),
    "sessions": ([b.sessions(state=b.agg("last", b.STATUS))], looks(b.col("state"), COUNT)),
    "cut_sessions": ([b.sessions(HOUR, max_length=GAP, v=b.agg("max", b.TEMP))], looks(b.col("v"), COUNT)),
    "states": ([b.states(b.STATUS)], looks(b.STATUS, b.DURATION)),
    "beats": ([b.beats()], looks(b.ALIVE, b.DURATION)),
    "transitions": ([b.transitions(b.STATUS)], looks(TO, AFTER)),
    "timelines": ([timeline(b.fn("or", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK)], looks(STATE, b.DURATION)),
    "pieces": ([b.states(b.STATUS, hold=HOUR), join(b.DEVICE, OWNERS)], looks(b.col("owner"), b.DURATION)),
    "states_in_hours": ([b.states(b.STATUS, hold=None), within(DAYS)], looks(b.STATUS, b.DURATION)),
    "joined_windows": ([b.windows("1h"), join(b.DEVICE, SITES)], looks(b.col("site"), COUNT)),
}


def asked(name: str, case: Case, since: int, **options: Any) -> list[dict[str, Any]]:
    steps, looking = MAKERS[name]
    return run_in_memory(b.graph(*steps, looking), case.points, since=since, until=case.until, **options)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=max(16, settings().max_examples // 3))
@given(case=cases(most=12), tasks=st.integers(1, 2), rows=st.integers(0, 4))
def test_a_range_gives_what_the_whole_gives(name: str, case: Case, tasks: int, rows: int) -> None:
    first = min((point[TIME] for point in case.points), default=case.since)
    found = asked(name, case, case.since, tasks=tasks, rows=rows)
    if not first < case.since < case.until:
        return
    everything = asked(name, case, first)
    after = [row for row in everything if row["start"] >= case.since]
    if name == "transitions":
        # They stand at a time, which no range cuts.
        assert found == after
        return
    whole = {(row[KEY], row["end"]): row for row in everything}
    for row in found:
        twin = whole[row[KEY], row["end"]]
        # What looks back says the same of a row that the range cuts, but that nothing changes where the range begins;
        # and of one that it does not cut all is the same. Sliding windows are never cut there.
        is_whole = row["start"] == twin["start"] and row["start"] >= case.since
        begins = {} if is_whole or "sliding" in name else {"new": False}
        assert {n: row[n] for n in LOOKS} == {n: twin[n] for n in LOOKS} | begins
        if is_whole:
            assert without_flags(row) == without_flags(twin)
        else:
            assert twin["start"] < case.since
    ends = {(row[KEY], row["end"]) for row in found}
    assert all((row[KEY], row["end"]) in ends for row in after)


def without_flags(row: dict[str, Any]) -> dict[str, Any]:
    """The row without what says how the range cuts it."""
    return {name: value for name, value in row.items() if name not in ("open_left", "open_right")}


@given(case=cases(most=12))
def test_sliding_windows_are_complete(case: Case) -> None:
    """By brute force: every window that overlaps the range holds all points before its end before ``until``."""
    every, size = 10 * 60_000_000, 4
    steps = b.windows("10m", size=size, n=b.agg("count"))
    found = run_in_memory(b.graph(steps), case.points, since=case.since, until=case.until)
    expected = []
    beginning = min((point[TIME] for point in case.points), default=0)
    for key in sorted({point[KEY] for point in case.points}):
        times = [point[TIME] for point in case.points if point[KEY] == key and point[TIME] < case.until]
        starts = {t // every * every - k * every for t in times for k in range(size)}
        for start in sorted(starts):
            end = start + size * every
            if end > case.since and case.since < case.until:
                inside = sum(start <= t < end for t in times)
                expected.append((key, start, inside, start < beginning or end > case.until))
    assert [(row[KEY], row["start"], row["n"], row["partial"]) for row in found] == expected


@given(case=cases(most=12), hold=st.sampled_from([None, GAP, HOUR]))
def test_held_is_the_last_report_of_all_rows(case: Case, hold: int | None) -> None:
    """By brute force, also behind a filter, where ``last`` sees just the rows that it keeps."""
    steps = [
        {"op": "held", "columns": ["status", "temp"], "hold": hold},
        {"op": "filter", "where": b.fn("is_not_null", b.col("n"))},
        b.extend(late=b.fn("last", b.col("firmware"), hold=hold)),
        {"op": "select", "columns": [{"name": n, "expr": b.col(n)} for n in ("status", "temp", "late")]},
    ]
    found = run_in_memory(b.graph(*steps), case.points, since=case.since, until=case.until)
    expected = []
    points = sorted(case.points, key=lambda point: (point[KEY], point[TIME]))
    for i, point in enumerate(points):
        if case.since <= point[TIME] < case.until and point.get("n") is not None:
            mine = [p for p in points[: i + 1] if p[KEY] == point[KEY]]
            kept = [p for p in mine if p.get("n") is not None]
            row = (held(mine, "status", hold), held(mine, "temp", hold), held(kept, "firmware", hold))
            expected.append((point[KEY], point[TIME], *row))
    assert [(row[KEY], row[TIME], row["status"], row["temp"], row["late"]) for row in found] == expected


def held(points: list[dict[str, Any]], column: str, hold: int | None) -> object:
    reports = [p for p in points if p.get(column) is not None]
    if not reports or (hold is not None and points[-1][TIME] - reports[-1][TIME] > hold):
        return None
    return reports[-1][column]
