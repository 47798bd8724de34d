"""Metrics over a key's events: funnels, cohorts, transitions, and the wider sessions and windows."""

from __future__ import annotations

from runtime.testing.oracle.strategies import DAY, GAP, HOUR
from tests.laws import builders as b

DOWN, DEGRADED = (b.fn("eq", b.STATUS, b.lit(word)) for word in ("down", "degraded"))
WARM = b.fn("gt", b.TEMP, b.lit(20.0))
STEPS = (b.UP, DOWN, b.OK, WARM)
CHANGED = b.fn("changed", b.STATUS)
ANYTHING = b.fn("is_not_null", b.NOW)

FUNNELS: dict[str, b.Json] = {
    **{
        f"funnel_rows_{mode}": b.graph(b.funnel(*STEPS, within=HOUR, mode=mode))
        for mode in ("strict", "ordered", "any")
    },
    **{
        f"funnel_within_the_gap_{mode}": b.graph(
            b.funnel(DOWN, b.UP, DOWN, within=GAP, mode=mode),
            b.select(
                device=b.DEVICE,
                start=b.col("start"),
                steps=b.col("steps"),
                third=b.col("step_3"),
                firmware=b.FIRMWARE,
                n=b.N,
            ),
        )
        for mode in ("strict", "ordered", "any")
    },
    "funnel_by_firmware": b.graph(
        b.funnel(b.UP, b.fn("or", DOWN, DEGRADED), b.UP, within=DAY),
        b.group(
            b.named(firmware=b.FIRMWARE, steps=b.col("steps")),
            keys=b.ROWS,
            time=b.agg("duration"),
            slow=b.agg("max", b.DURATION),
        ),
    ),
    "funnel_of_changes": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)),
        b.funnel(ANYTHING, CHANGED, CHANGED, within=5 * HOUR),
        b.extend(pause=b.fn("sub", b.col("step_3"), b.col("step_2"))),
        b.group(
            b.named(day=b.truncate("1d", b.LONDON), temp=b.TEMP),
            far=b.agg("count", where=b.fn("ge", b.col("steps"), b.lit(3))),
            pause=b.agg("sum", b.col("pause")),
        ),
    ),
    "funnel_of_outages": b.graph(
        b.beats(),
        b.funnel(b.col("alive"), b.fn("not", b.col("alive")), b.col("alive"), within=DAY, mode="ordered"),
        b.where(b.fn("eq", b.col("steps"), b.lit(3))),
        b.select(at=b.NOW, out=b.fn("sub", b.col("end"), b.col("step_2"))),
    ),
}

COHORTS: dict[str, b.Json] = {
    "cohort_rows": b.graph(b.cohorts(b.UP, b.OK)),
    "cohorts_of_all": b.graph(
        b.cohorts(ANYTHING, ANYTHING, "6h", b.LONDON),
        b.select(device=b.DEVICE, period=b.col("period"), came=b.col("returned"), firmware=b.FIRMWARE, temp=b.TEMP),
    ),
    "retention_by_day": b.graph(
        b.cohorts(ANYTHING, b.fn("or", b.UP, DOWN), "1d", b.LONDON),
        b.group(
            b.named(cohort=b.col("cohort"), period=b.col("period")),
            keys=b.agg("count", where=b.col("returned")),
            size=b.ROWS,
        ),
        b.extend(share=b.fn("div", b.col("keys"), b.col("size"))),
    ),
    "retention_by_firmware": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.cohorts(b.fn("gt", b.N, b.lit(0)), CHANGED, "1w"),
        b.group(
            b.named(firmware=b.FIRMWARE, period=b.col("period")),
            keys=b.agg("count", where=b.col("returned")),
            time=b.agg("duration"),
            last=b.agg("max", b.col("end")),
        ),
        b.sort(("keys", True)),
    ),
    "cohorts_of_sessions": b.graph(b.sessions(), b.cohorts(ANYTHING, b.fn("gt", b.col("count"), b.lit(1)), "1mo")),
}

TRANSITIONS: dict[str, b.Json] = {
    "transition_rows": b.graph(b.transitions(b.STATUS)),
    "transitions_without_a_gap": b.graph(b.transitions(b.N, gap=None)),
    "transitions_of_an_expression": b.graph(
        b.transitions(b.fn("gt", b.TEMP, b.lit(20.0)), gap=HOUR),
        b.select(device=b.DEVICE, to=b.col("to"), fw=b.FIRMWARE, at=b.NOW),
    ),
    "paths": b.graph(
        b.transitions(b.STATUS, gap=HOUR), b.group(b.named(**{"from": b.col("from"), "to": b.col("to")}), count=b.ROWS)
    ),
    "paths_of_numbers_by_day": b.graph(
        b.transitions(b.TEMP, gap=GAP),
        b.group(
            b.named(day=b.truncate("1d"), status=b.STATUS, left=b.fn("is_null", b.col("to"))),
            count=b.ROWS,
            after=b.agg("sum", b.col("after")),
            longest=b.agg("max", b.col("after")),
        ),
    ),
    "paths_of_changes": b.graph(
        b.where(b.fn("or", CHANGED, b.UP)),
        b.transitions(b.STATUS, gap=None),
        b.where(b.fn("is_not_null", b.col("from"))),
        b.group(
            b.named(way=b.fn("eq", b.col("from"), b.col("to"))), count=b.ROWS, devices=b.agg("count_distinct", b.DEVICE)
        ),
    ),
    "sessions_of_transitions": b.graph(
        b.transitions(b.OK, gap=GAP), b.sessions(gap=HOUR, n=b.agg("count", b.col("from")))
    ),
}

SPLIT_SESSIONS: dict[str, b.Json] = {
    "sessions_split": b.graph(b.sessions(split=b.UP, warm=b.agg("mean", b.TEMP), last=b.agg("last", b.STATUS))),
    "sessions_split_and_cut": b.graph(
        b.sessions(max_length=GAP + GAP // 2, split=b.fn("or", DOWN, WARM)),
        b.select(
            device=b.DEVICE,
            start=b.col("start"),
            end=b.col("end"),
            count=b.col("count"),
            left=b.col("open_left"),
            right=b.col("open_right"),
            firmware=b.FIRMWARE,
        ),
    ),
    "sessions_split_by_changes": b.graph(
        b.sessions(gap=HOUR, split=CHANGED),
        b.group(b.BY_STATUS, sessions=b.ROWS, events=b.agg("sum", b.col("count")), time=b.agg("duration")),
    ),
}

WIDE_WINDOWS: dict[str, b.Json] = {
    "windows_sliding": b.graph(
        b.windows("10m", size=3, v=b.agg("mean", b.TEMP), states=b.agg("count_distinct", b.STATUS))
    ),
    "windows_sliding_in_london": b.graph(
        b.windows("1d", b.LONDON, size=7, total=b.agg("sum", b.N), up=b.agg("count", where=b.UP)),
        b.select(
            device=b.DEVICE,
            start=b.col("start"),
            end=b.col("end"),
            count=b.col("count"),
            total=b.col("total"),
            fw=b.FIRMWARE,
        ),
    ),
    "windows_sliding_then_grouped": b.graph(
        b.windows("1h", size=5),
        b.group(
            b.named(start=b.col("start"), firmware=b.FIRMWARE), devices=b.ROWS, busiest=b.agg("max", b.col("count"))
        ),
    ),
    "windows_sliding_over_months": b.graph(b.windows("1mo", b.LONDON, size=3, low=b.agg("min", b.TEMP))),
    "windows_empty": b.graph(
        b.windows("6h", empty=True, rows=b.ROWS, low=b.agg("min", b.N), kinds=b.agg("count_distinct", b.OK))
    ),
    "windows_empty_in_london": b.graph(
        b.windows("1h", b.LONDON, empty=True),
        b.group(
            b.named(device=b.DEVICE, empty=b.fn("eq", b.col("count"), b.lit(0)), status=b.STATUS),
            hours=b.ROWS,
            t=b.agg("duration"),
        ),
    ),
    "windows_empty_and_sliding": b.graph(
        b.windows("6h", size=4, empty=True, last=b.agg("last", b.STATUS), states=b.agg("count_distinct", b.STATUS)),
        b.select(
            device=b.DEVICE,
            start=b.col("start"),
            count=b.col("count"),
            last=b.col("last"),
            fw=b.FIRMWARE,
            n=b.col("states"),
        ),
    ),
    "windows_empty_after_filter": b.graph(
        b.where(b.UP),
        b.windows("1d", empty=True, v=b.agg("mean", b.TEMP)),
        b.extend(
            gone=b.fn(
                "and", b.fn("previous", b.fn("gt", b.col("count"), b.lit(0))), b.fn("eq", b.col("count"), b.lit(0))
            )
        ),
        b.group(b.BY_DEVICE, days=b.ROWS, gone=b.agg("count", where=b.col("gone"))),
    ),
    "windows_of_states": b.graph(
        b.states(b.STATUS),
        b.windows("1h", size=2, empty=True, n=b.ROWS),
        b.group(b.BY_FIRMWARE, n=b.agg("sum", b.col("n"))),
    ),
}

EMPTY_BUCKETS: dict[str, b.Json] = {
    "empty_buckets": b.graph(
        b.group(
            b.named(t=b.truncate("1h")),
            rows=b.ROWS,
            mean=b.agg("mean", b.TEMP),
            low=b.agg("min", b.STATUS),
            oks=b.agg("any_true", b.OK),
        )
        | {"empty": True}
    ),
    "empty_buckets_by_firmware_in_london": b.graph(
        b.group(
            b.named(firmware=b.FIRMWARE, day=b.truncate("1d", b.LONDON), ok=b.OK),
            rows=b.ROWS,
            kinds=b.agg("count_distinct", b.STATUS),
        )
        | {"empty": True},
        b.where(b.fn("lt", b.col("rows"), b.lit(2))),
    ),
    "empty_buckets_of_keys": b.graph(
        b.group(b.named(device=b.DEVICE, t=b.truncate("6h", b.LONDON)), total=b.agg("sum", b.N)) | {"empty": True},
        b.group(b.BY_DEVICE, buckets=b.ROWS, silent=b.agg("count", where=b.fn("is_null", b.col("total")))),
    ),
    "empty_buckets_of_states": b.graph(
        b.states(b.STATUS),
        b.where(b.UP),
        b.group(
            b.named(month=b.truncate("1mo"), week=b.fn("weekday", b.NOW, zone="UTC")), up=b.agg("duration"), n=b.ROWS
        )
        | {"empty": True},
    ),
    "empty_buckets_of_sessions": b.graph(
        b.sessions(), b.group(b.named(t=b.truncate("10m")), n=b.ROWS, time=b.agg("duration")) | {"empty": True}
    ),
}

FLOW_GRAPHS = EMPTY_BUCKETS | FUNNELS | COHORTS | TRANSITIONS | SPLIT_SESSIONS | WIDE_WINDOWS
