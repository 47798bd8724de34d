"""Metrics that look back at the rows of every kind of step, and those that hold columns."""

from __future__ import annotations

from tests.laws.builders import (
    ALIVE,
    BY_DEVICE,
    BY_FIRMWARE,
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
from tests.laws.timeline_graphs import (
    ALIVE_TRACK,
    DAYS,
    MAINTENANCE,
    NIGHTS,
    OWNERS,
    SITES,
    UP_TRACK,
    concurrent,
    join,
    timeline,
    within,
    within_windows,
)
from tests.reference.strategies import GAP, HOUR

COUNT, FROM, TO, AFTER, STATE = map(col, ("count", "from", "to", "after", "state"))


def held(*columns: str, hold: int | None = None) -> Json:
    return {"op": "held", "columns": list(columns), "hold": hold}


def looks(of: Json, number: Json, hold: int | None = None) -> Json:
    """All functions that look back, of a value and of a number."""
    return extend(
        last=fn("last", of, hold=hold),
        was=fn("previous", of),
        new=fn("changed", of),
        total=fn("cumulative_sum", number),
        before=fn("previous", col("start")),
        most=fn("last", number, hold=2 * HOUR),
    )


WARM = fn("when", fn("gt", TEMP, lit(20.0)), STATUS, {"lit": None, "type": "null"})

LOOKING_GRAPHS: dict[str, Json] = {
    "looking_at_windows": graph(windows("1h", state=agg("last", STATUS)), looks(col("state"), COUNT)),
    "looking_at_empty_windows": graph(
        extend(balance=fn("cumulative_sum", fn("mod", N, lit(100)))),
        windows("1h", LONDON, empty=True, spent=agg("count", N), balance=agg("last", col("balance"))),
        looks(col("balance"), col("spent")),
        select(start=col("start"), spent=col("spent"), balance=col("last"), was=col("was"), total=col("total")),
    ),
    "looking_at_sliding_windows": graph(
        windows("10m", size=7, state=agg("last", STATUS)), looks(col("state"), COUNT), where(fn("ge", COUNT, lit(2)))
    ),
    "looking_at_empty_sliding_windows": graph(
        windows("6h", size=3, empty=True, v=agg("mean", TEMP)), looks(col("v"), COUNT, hold=HOUR)
    ),
    "looking_at_windows_not_far": graph(
        windows("1h", v=agg("max", TEMP)),
        where(fn("ne", COUNT, lit(2))),
        extend(most=fn("last", col("v"), hold=5 * HOUR), early=fn("last", NOW, hold=HOUR)),
        group(named(most=col("most")), windows=ROWS, cut=agg("count", where=col("partial")), early=agg("min", NOW)),
    ),
    "looking_at_sliding_windows_not_far": graph(
        windows("10m", LONDON, size=3, v=agg("max", TEMP)), extend(most=fn("last", col("v"), hold=GAP))
    ),
    "looking_at_sessions": graph(sessions(state=agg("last", STATUS)), looks(col("state"), COUNT)),
    "looking_at_cut_sessions": graph(
        sessions(max_length=GAP, low=agg("min", N)),
        looks(col("low"), COUNT, hold=HOUR),
        where(fn("ge", COUNT, lit(2))),
        group(
            BY_DEVICE,
            rows=ROWS,
            total=agg("max", col("total")),
            news=agg("count", where=col("new")),
            was=agg("first", col("was")),
        ),
    ),
    "looking_at_split_sessions": graph(
        sessions(split=UP, temp=agg("max", TEMP)),
        extend(warmer=fn("gt", col("temp"), fn("previous", col("temp")))),
        where(col("warmer")),
        looks(col("temp"), DURATION),
    ),
    "looking_at_states": graph(states(STATUS), where(fn("is_not_null", STATUS)), looks(STATUS, DURATION)),
    "looking_at_long_states": graph(
        states(fn("gt", N, lit(1)), name="many", hold=None),
        where(fn("gt", DURATION, lit(GAP, "duration"))),
        looks(FIRMWARE, DURATION),
        group(
            named(day=truncate("1d", LONDON), was=col("was")),
            time=agg("duration"),
            known=agg("known_time"),
            pieces=ROWS,
            total=agg("max", col("total")),
            news=agg("count", where=col("new")),
        ),
    ),
    "looking_at_beats": graph(beats(), looks(ALIVE, DURATION), where(fn("not", ALIVE))),
    "looking_at_transitions": graph(transitions(STATUS), looks(TO, AFTER)),
    "looking_at_paths": graph(
        transitions(STATUS, gap=None),
        extend(two=fn("previous", FROM)),
        group(named(two=col("two"), one=FROM, to=TO), n=ROWS),
    ),
    "looking_at_timelines": graph(
        timeline(fn("and", col("a"), col("b")), a=ALIVE_TRACK, b=UP_TRACK), looks(STATE, DURATION)
    ),
    "looking_at_pieces": graph(
        states(STATUS), join(DEVICE, OWNERS), looks(col("owner"), DURATION), where(fn("is_not_null", col("was")))
    ),
    "looking_through_pieces": graph(
        states(STATUS),
        looks(STATUS, DURATION),
        within(NIGHTS),
        extend(piece=fn("previous", col("was"))),
        within_windows(DEVICE, MAINTENANCE, inside=False),
        select(
            start=col("start"), end=col("end"), total=col("total"), piece=col("piece"), owner=fn("last", OK, hold=None)
        ),
    ),
    "looking_at_joined_sessions": graph(
        where(fn("not", OK)), sessions(), within(DAYS), join(DEVICE, OWNERS, "inner"), looks(col("owner"), COUNT)
    ),
    "looking_then_sessions": graph(
        windows("10m", v=agg("mean", TEMP)),
        extend(rises=fn("gt", col("v"), fn("previous", col("v")))),
        where(col("rises")),
        sessions(HOUR, steps=agg("sum", COUNT)),
        extend(before=fn("previous", col("steps"))),
    ),
    "looking_then_states": graph(
        sessions(n=agg("max", N)), states(fn("changed", col("n")), name="news", hold=HOUR), looks(col("news"), DURATION)
    ),
    "states_of_windows": graph(
        windows("1h", up=agg("any_true", UP)),
        states(col("up"), name="up", hold=2 * HOUR),
        group(named(up=col("up")), time=agg("duration"), known=agg("known_time"), pieces=ROWS),
    ),
    "windows_of_states": graph(
        states(STATUS),
        where(fn("eq", STATUS, lit("down"))),
        windows("1h", size=2, down=agg("sum", DURATION), fw=agg("last", FIRMWARE)),
        group(named(fw=col("fw")), down=agg("sum", col("down")), cut=agg("count", where=col("partial"))),
    ),
    "sessions_of_sessions": graph(sessions(n=agg("count", N)), sessions(HOUR, n=agg("sum", col("n")))),
    "moves_between_windows": graph(
        windows("1h", state=agg("last", STATUS)), transitions(col("state"), gap=2 * HOUR), looks(TO, AFTER)
    ),
    "funnel_of_sessions": graph(
        sessions(state=agg("last", STATUS)),
        funnel(fn("eq", col("state"), lit("up")), fn("changed", col("state"))),
        extend(was=fn("previous", col("steps"))),
    ),
    "looking_then_concurrent": graph(
        states(UP, name="up"),
        concurrent(fn("and", col("up"), fn("is_not_null", fn("previous", FIRMWARE))), by=BY_FIRMWARE),
    ),
    "steps_between_windows": graph(
        windows("1h", n=agg("max", N), t=agg("max", TEMP)),
        group(
            BY_DEVICE,
            grown=agg("increase", fn("mod", col("n"), lit(7))),
            moves=agg("transitions", fn("gt", col("t"), lit(20.0))),
        ),
    ),
    "partial_windows": graph(
        windows("6h", LONDON, rows=ROWS),
        group(named(partial=col("partial")), windows=ROWS, first=agg("min", NOW), rows=agg("sum", col("rows"))),
    ),
    "held_then_filtered": graph(
        held("firmware", "temp"), where(fn("changed", STATUS)), group(BY_FIRMWARE, n=ROWS, temp=agg("mean", TEMP))
    ),
    "held_not_long": graph(held("status", hold=GAP), join(DEVICE, SITES), states(STATUS), looks(STATUS, DURATION)),
    "held_of_windows": graph(windows("1h", temp=agg("max", TEMP)), held("temp", "firmware"), sort(("temp", True))),
    "last_where": graph(
        where(fn("is_not_null", N)),
        select(device=DEVICE, status=fn("last", WARM, hold=None), short=fn("last", WARM, hold=GAP), firmware=FIRMWARE),
    ),
    "last_where_by_status": graph(
        group(named(status=STATUS, warm=fn("last", WARM, hold=None)), n=ROWS, fw=agg("last", FIRMWARE)),
    ),
}
