"""Metrics that follow a key through its events: funnels, cohorts, transitions, and the wider sessions and windows."""

from __future__ import annotations

from tests.laws.builders import (
    BY_DEVICE,
    BY_FIRMWARE,
    BY_STATUS,
    DEVICE,
    DURATION,
    FIRMWARE,
    LONDON,
    NOW,
    OK,
    ROWS,
    STATUS,
    TEMP,
    UP,
    Json,
    N,
    agg,
    beats,
    cohorts,
    col,
    extend,
    fn,
    funnel,
    graph,
    group,
    lit,
    named,
    select,
    sessions,
    sort,
    states,
    transitions,
    truncate,
    where,
    windows,
)
from tests.reference.strategies import DAY, GAP, HOUR

DOWN, DEGRADED = (fn("eq", STATUS, lit(word)) for word in ("down", "degraded"))
WARM = fn("gt", TEMP, lit(20.0))
STEPS = (UP, DOWN, OK, WARM)
CHANGED = fn("changed", STATUS)
ANYTHING = fn("is_not_null", NOW)

FUNNELS: dict[str, Json] = {
    **{f"funnel_rows_{mode}": graph(funnel(*STEPS, within=HOUR, mode=mode)) for mode in ("strict", "ordered", "any")},
    **{
        f"funnel_within_the_gap_{mode}": graph(
            funnel(DOWN, UP, DOWN, within=GAP, mode=mode),
            select(device=DEVICE, start=col("start"), steps=col("steps"), third=col("step_3"), firmware=FIRMWARE, n=N),
        )
        for mode in ("strict", "ordered", "any")
    },
    "funnel_by_firmware": graph(
        funnel(UP, fn("or", DOWN, DEGRADED), UP, within=DAY),
        group(named(firmware=FIRMWARE, steps=col("steps")), keys=ROWS, time=agg("duration"), slow=agg("max", DURATION)),
    ),
    "funnel_of_changes": graph(
        where(fn("is_not_null", STATUS)),
        funnel(ANYTHING, CHANGED, CHANGED, within=5 * HOUR),
        extend(pause=fn("sub", col("step_3"), col("step_2"))),
        group(
            named(day=truncate("1d", LONDON), temp=TEMP),
            far=agg("count", where=fn("ge", col("steps"), lit(3))),
            pause=agg("sum", col("pause")),
        ),
    ),
    "funnel_of_outages": graph(
        beats(),
        funnel(col("alive"), fn("not", col("alive")), col("alive"), within=DAY, mode="ordered"),
        where(fn("eq", col("steps"), lit(3))),
        select(at=NOW, out=fn("sub", col("end"), col("step_2"))),
    ),
}

COHORTS: dict[str, Json] = {
    "cohort_rows": graph(cohorts(UP, OK)),
    "cohorts_of_all": graph(
        cohorts(ANYTHING, ANYTHING, "6h", LONDON),
        select(device=DEVICE, period=col("period"), came=col("returned"), firmware=FIRMWARE, temp=TEMP),
    ),
    "retention_by_day": graph(
        cohorts(ANYTHING, fn("or", UP, DOWN), "1d", LONDON),
        group(named(cohort=col("cohort"), period=col("period")), keys=agg("count", where=col("returned")), size=ROWS),
        extend(share=fn("div", col("keys"), col("size"))),
    ),
    "retention_by_firmware": graph(
        where(fn("is_not_null", N)),
        cohorts(fn("gt", N, lit(0)), CHANGED, "1w"),
        group(
            named(firmware=FIRMWARE, period=col("period")),
            keys=agg("count", where=col("returned")),
            time=agg("duration"),
            last=agg("max", col("end")),
        ),
        sort(("keys", True)),
    ),
    "cohorts_of_sessions": graph(sessions(), cohorts(ANYTHING, fn("gt", col("count"), lit(1)), "1mo")),
}

TRANSITIONS: dict[str, Json] = {
    "transition_rows": graph(transitions(STATUS)),
    "transitions_without_a_gap": graph(transitions(N, gap=None)),
    "transitions_of_an_expression": graph(
        transitions(fn("gt", TEMP, lit(20.0)), gap=HOUR),
        select(device=DEVICE, to=col("to"), fw=FIRMWARE, at=NOW),
    ),
    "paths": graph(transitions(STATUS, gap=HOUR), group(named(**{"from": col("from"), "to": col("to")}), count=ROWS)),
    "paths_of_numbers_by_day": graph(
        transitions(TEMP, gap=GAP),
        group(
            named(day=truncate("1d"), status=STATUS, left=fn("is_null", col("to"))),
            count=ROWS,
            after=agg("sum", col("after")),
            longest=agg("max", col("after")),
        ),
    ),
    "paths_of_changes": graph(
        where(fn("or", CHANGED, UP)),
        transitions(STATUS, gap=None),
        where(fn("is_not_null", col("from"))),
        group(named(way=fn("eq", col("from"), col("to"))), count=ROWS, devices=agg("count_distinct", DEVICE)),
    ),
    "sessions_of_transitions": graph(transitions(OK, gap=GAP), sessions(gap=HOUR, n=agg("count", col("from")))),
}

SPLIT_SESSIONS: dict[str, Json] = {
    "sessions_split": graph(sessions(split=UP, warm=agg("mean", TEMP), last=agg("last", STATUS))),
    "sessions_split_and_cut": graph(
        sessions(max_length=GAP + GAP // 2, split=fn("or", DOWN, WARM)),
        select(
            device=DEVICE,
            start=col("start"),
            end=col("end"),
            count=col("count"),
            left=col("open_left"),
            right=col("open_right"),
            firmware=FIRMWARE,
        ),
    ),
    "sessions_split_by_changes": graph(
        sessions(gap=HOUR, split=CHANGED),
        group(BY_STATUS, sessions=ROWS, events=agg("sum", col("count")), time=agg("duration")),
    ),
}

WIDE_WINDOWS: dict[str, Json] = {
    "windows_sliding": graph(windows("10m", size=3, v=agg("mean", TEMP), states=agg("count_distinct", STATUS))),
    "windows_sliding_in_london": graph(
        windows("1d", LONDON, size=7, total=agg("sum", N), up=agg("count", where=UP)),
        select(device=DEVICE, start=col("start"), end=col("end"), count=col("count"), total=col("total"), fw=FIRMWARE),
    ),
    "windows_sliding_then_grouped": graph(
        windows("1h", size=5),
        group(named(start=col("start"), firmware=FIRMWARE), devices=ROWS, busiest=agg("max", col("count"))),
    ),
    "windows_sliding_over_months": graph(windows("1mo", LONDON, size=3, low=agg("min", TEMP))),
    "windows_empty": graph(windows("6h", empty=True, rows=ROWS, low=agg("min", N), kinds=agg("count_distinct", OK))),
    "windows_empty_in_london": graph(
        windows("1h", LONDON, empty=True),
        group(named(device=DEVICE, empty=fn("eq", col("count"), lit(0)), status=STATUS), hours=ROWS, t=agg("duration")),
    ),
    "windows_empty_and_sliding": graph(
        windows("6h", size=4, empty=True, last=agg("last", STATUS), states=agg("count_distinct", STATUS)),
        select(device=DEVICE, start=col("start"), count=col("count"), last=col("last"), fw=FIRMWARE, n=col("states")),
    ),
    "windows_empty_after_filter": graph(
        where(UP),
        windows("1d", empty=True, v=agg("mean", TEMP)),
        extend(gone=fn("and", fn("previous", fn("gt", col("count"), lit(0))), fn("eq", col("count"), lit(0)))),
        group(BY_DEVICE, days=ROWS, gone=agg("count", where=col("gone"))),
    ),
    "windows_of_states": graph(
        states(STATUS), windows("1h", size=2, empty=True, n=ROWS), group(BY_FIRMWARE, n=agg("sum", col("n")))
    ),
}

EMPTY_BUCKETS: dict[str, Json] = {
    "empty_buckets": graph(
        group(
            named(t=truncate("1h")),
            rows=ROWS,
            mean=agg("mean", TEMP),
            low=agg("min", STATUS),
            oks=agg("any_true", OK),
        )
        | {"empty": True}
    ),
    "empty_buckets_by_firmware_in_london": graph(
        group(
            named(firmware=FIRMWARE, day=truncate("1d", LONDON), ok=OK), rows=ROWS, kinds=agg("count_distinct", STATUS)
        )
        | {"empty": True},
        where(fn("lt", col("rows"), lit(2))),
    ),
    "empty_buckets_of_keys": graph(
        group(named(device=DEVICE, t=truncate("6h", LONDON)), total=agg("sum", N)) | {"empty": True},
        group(BY_DEVICE, buckets=ROWS, silent=agg("count", where=fn("is_null", col("total")))),
    ),
    "empty_buckets_of_states": graph(
        states(STATUS),
        where(UP),
        group(named(month=truncate("1mo"), week=fn("weekday", NOW, zone="UTC")), up=agg("duration"), n=ROWS)
        | {"empty": True},
    ),
    "empty_buckets_of_sessions": graph(
        sessions(), group(named(t=truncate("10m")), n=ROWS, time=agg("duration")) | {"empty": True}
    ),
}

FLOW_GRAPHS = EMPTY_BUCKETS | FUNNELS | COHORTS | TRANSITIONS | SPLIT_SESSIONS | WIDE_WINDOWS
