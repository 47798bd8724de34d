"""Metrics over funnels with exclusions, windows of their own, any order, entries, sessions and all attempts."""

from __future__ import annotations

from typing import Any

from runtime.testing.oracle.strategies import DAY, GAP, HOUR
from tests.laws import builders as b

DOWN, DEGRADED = (b.fn("eq", b.STATUS, b.lit(word)) for word in ("down", "degraded"))
WARM = b.fn("gt", b.TEMP, b.lit(20.0))
MANY = b.fn("gt", b.N, b.lit(0))
STEPS = (b.UP, DOWN, b.OK, WARM)


def out(where: b.Json, after: int, before: int) -> b.Json:
    return {"where": where, "after": after, "before": before}


def funnel(*steps: b.Json, within: int | list[int] = HOUR, mode: str = "strict", **more: Any) -> b.Json:
    return {"op": "funnel", "steps": list(steps), "within": within, "mode": mode, **more}


def table(steps: int, by: list[b.Json], **more: Any) -> b.Json:
    return {"op": "funnel_table", "by": by, "steps": steps, **more}


EXCLUDED = [out(DEGRADED, 1, 3), out(MANY, 2, 4), out(DOWN, 3, 4)]

FUNNEL_FORMS: dict[str, b.Json] = {
    **{
        f"funnel_excluded_{mode}": b.graph(funnel(*STEPS, within=DAY, mode=mode, exclude=EXCLUDED))
        for mode in ("strict", "ordered", "any")
    },
    "funnel_windows": b.graph(
        funnel(b.UP, DOWN, b.UP, within=[GAP, GAP], exclude=[out(WARM, 2, 3)]),
        b.select(start=b.col("start"), steps=b.col("steps"), two=b.col("step_2"), firmware=b.FIRMWARE),
    ),
    "funnel_windows_ordered": b.graph(
        funnel(b.OK, b.fn("not", b.OK), within=[GAP], mode="ordered", exclude=[out(MANY, 1, 2)]),
        b.extend(fw=b.FIRMWARE, n=b.N),
    ),
    "funnel_any_order": b.graph(
        funnel(DOWN, b.OK, WARM, b.UP, within=DAY, mode="any_order", exclude=[out(MANY, 1, 4), out(DEGRADED, 1, 4)]),
        b.extend(fw=b.FIRMWARE),
    ),
    "funnel_entries": b.graph(
        funnel(*STEPS[:3], within=GAP, every="5m", exclude=[out(WARM, 1, 2)]),
        b.extend(fw=b.FIRMWARE),
    ),
    "funnel_entries_any": b.graph(
        funnel(b.UP, b.OK, WARM, within=[2 * DAY, HOUR], mode="any", every="1d", zone=b.LONDON),
        table(3, b.named(entry=b.col("entry"))),
    ),
    "funnel_entries_any_order": b.graph(
        funnel(b.UP, b.OK, WARM, within=7 * HOUR, mode="any_order", every="1h", exclude=[out(DOWN, 1, 3)]),
        b.extend(fw=b.FIRMWARE),
    ),
    "funnel_all": b.graph(funnel(b.UP, DOWN, b.UP, within=DAY, count="all"), b.extend(fw=b.FIRMWARE)),
    "funnel_all_in_sessions": b.graph(
        funnel(b.UP, DOWN, within=DAY, mode="ordered", count="all", per="session", gap=GAP),
    ),
    "funnel_all_any_order": b.graph(
        funnel(b.UP, b.OK, within=GAP, mode="any_order", count="all", per="session", gap=HOUR)
    ),
    "funnel_sessions": b.graph(
        funnel(b.UP, DOWN, b.OK, within=DAY, mode="any", per="session", gap=GAP),
        b.group(b.named(steps=b.col("steps"), fw=b.FIRMWARE), n=b.ROWS, took=b.agg("sum", b.DURATION)),
    ),
    "funnel_table_any_order": b.graph(
        funnel(*STEPS, within=DAY, mode="any_order"), table(4, b.BY_FIRMWARE, any_order=True)
    ),
}  # fmt: skip

SESSIONS_AT_ONCE: dict[str, b.Json] = {
    "peak_of_sessions": b.graph(
        b.sessions(ups=b.agg("count", where=b.UP)),
        {"op": "concurrent", "condition": b.fn("gt", b.col("ups"), b.lit(0)), "by": [], "at_least": None},
        b.group(b.named(day=b.truncate("1d", b.LONDON)), peak=b.agg("max", b.col("active")), time=b.agg("duration")),
    ),
    "at_least_half_of_the_sessions": b.graph(
        b.sessions(),
        {"op": "concurrent", "condition": b.fn("gt", b.col("count"), b.lit(1)), "by": b.BY_FIRMWARE, "at_least": "50%"},
        b.group([], time=b.agg("duration"), some=b.agg("share_of_time", b.col("state")), pieces=b.ROWS),
    ),
    "at_least_two_sessions": b.graph(
        b.sessions(max_length=HOUR, split=b.UP),
        {"op": "concurrent", "condition": b.OK, "by": b.BY_FIRMWARE, "at_least": 2},
    ),
}  # fmt: skip

FUNNEL_GRAPHS = FUNNEL_FORMS | SESSIONS_AT_ONCE
