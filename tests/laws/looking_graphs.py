"""Metrics that look back at rows of every kind of step, and metrics with held columns."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b
from tests.laws import timeline_graphs as t

COUNT, FROM, TO, AFTER, STATE = map(b.col, ("count", "from", "to", "after", "state"))


def held(*columns: str, hold: int | None = None) -> b.Json:
    return {"op": "held", "columns": list(columns), "hold": hold}


def looks(of: b.Json, number: b.Json, hold: int | None = None) -> b.Json:
    """All functions that look back, of a value and of a number."""
    return b.extend(
        last=b.fn("last", of, hold=hold),
        was=b.fn("previous", of),
        new=b.fn("changed", of),
        total=b.fn("cumulative_sum", number),
        before=b.fn("previous", b.col("start")),
        most=b.fn("last", number, hold=2 * HOUR),
    )


def more_looks(of: b.Json, number: b.Json, within: b.Json) -> b.Json:
    """The other functions that look back, and all of them within runs of equal values."""
    names = ("last", "previous", "first", "changed", "row_number")
    numbers = ("cumulative_sum", "cumulative_max", "cumulative_min")
    options: dict[str, b.Json] = {"last": {"hold": None}}
    return b.extend(
        third=b.fn("previous", of, rows=3),
        **{f"all_{n}": b.fn(n, of) for n in ("first", "row_number")},
        **{f"all_{n}": b.fn(n, number) for n in numbers[1:]},
        **{f"in_{n}": b.fn(n, of, within, **options.get(n, {})) for n in names},
        **{f"in_{n}": b.fn(n, number, within) for n in numbers},
        in_second=b.fn("previous", number, within, rows=2),
    )


WARM = b.fn("when", b.fn("gt", b.TEMP, b.lit(20.0)), b.STATUS, {"lit": None, "type": "null"})

LOOKING_GRAPHS: dict[str, b.Json] = {
    "looking_further_at_points": b.graph(more_looks(b.STATUS, b.TEMP, b.OK)),
    "looking_further_at_numbers": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        more_looks(b.N, b.fn("mod", b.N, b.lit(100)), b.fn("mod", b.TEMP, b.lit(2.0))),
    ),
    "looking_further_at_times": b.graph(
        more_looks(b.fn("gt", b.TEMP, b.lit(20.0)), b.fn("sub", b.NOW, b.truncate("1h")), b.STATUS)
    ),
    "looking_further_at_windows": b.graph(
        b.windows("1h", state=b.agg("last", b.STATUS), n=b.agg("mean", b.TEMP)),
        more_looks(b.col("state"), b.col("n"), COUNT),
    ),
    "looking_further_at_states": b.graph(b.states(b.STATUS), more_looks(b.FIRMWARE, b.DURATION, b.STATUS)),
    "means_that_forget": b.graph(
        b.extend(
            m=b.fn("round", b.fn("ewm", b.TEMP, half_life=GAP), n=6),
            n=b.fn("round", b.fn("ewm", b.fn("mod", b.N, b.lit(100)), b.STATUS, half_life=HOUR), n=6),
        ),
        b.windows("1h", m=b.agg("last", b.col("m")), n=b.agg("max", b.col("n"))),
        b.extend(again=b.fn("round", b.fn("ewm", b.col("m"), half_life=3 * HOUR), n=6)),
    ),
    "greatest_means_that_forget": b.graph(
        b.group(b.BY_STATUS, most=b.agg("max", b.fn("round", b.fn("ewm", b.TEMP, half_life=GAP), n=6)))
    ),
    "means_of_states_that_forget": b.graph(
        b.states(b.STATUS),
        b.extend(m=b.fn("round", b.fn("ewm", b.fn("div", b.DURATION, b.lit(GAP, "duration")), half_life=HOUR), n=6)),
    ),
    "looking_at_windows": b.graph(b.windows("1h", state=b.agg("last", b.STATUS)), looks(b.col("state"), COUNT)),
    "looking_at_empty_windows": b.graph(
        b.extend(balance=b.fn("cumulative_sum", b.fn("mod", b.N, b.lit(100)))),
        b.windows("1h", b.LONDON, empty=True, spent=b.agg("count", b.N), balance=b.agg("last", b.col("balance"))),
        looks(b.col("balance"), b.col("spent")),
        b.select(
            start=b.col("start"), spent=b.col("spent"), balance=b.col("last"), was=b.col("was"), total=b.col("total")
        ),
    ),
    "looking_at_sliding_windows": b.graph(
        b.windows("10m", size=7, state=b.agg("last", b.STATUS)),
        looks(b.col("state"), COUNT),
        b.where(b.fn("ge", COUNT, b.lit(2))),
    ),
    "looking_at_empty_sliding_windows": b.graph(
        b.windows("6h", size=3, empty=True, v=b.agg("mean", b.TEMP)), looks(b.col("v"), COUNT, hold=HOUR)
    ),
    "looking_at_windows_not_far": b.graph(
        b.windows("1h", v=b.agg("max", b.TEMP)),
        b.where(b.fn("ne", COUNT, b.lit(2))),
        b.extend(most=b.fn("last", b.col("v"), hold=5 * HOUR), early=b.fn("last", b.NOW, hold=HOUR)),
        b.group(
            b.named(most=b.col("most")),
            windows=b.ROWS,
            cut=b.agg("count", where=b.col("partial")),
            early=b.agg("min", b.NOW),
        ),
    ),
    "looking_at_sliding_windows_not_far": b.graph(
        b.windows("10m", b.LONDON, size=3, v=b.agg("max", b.TEMP)), b.extend(most=b.fn("last", b.col("v"), hold=GAP))
    ),
    "looking_at_sessions": b.graph(b.sessions(state=b.agg("last", b.STATUS)), looks(b.col("state"), COUNT)),
    "looking_at_cut_sessions": b.graph(
        b.sessions(max_length=GAP, low=b.agg("min", b.N)),
        looks(b.col("low"), COUNT, hold=HOUR),
        b.where(b.fn("ge", COUNT, b.lit(2))),
        b.group(
            b.BY_DEVICE,
            rows=b.ROWS,
            total=b.agg("max", b.col("total")),
            news=b.agg("count", where=b.col("new")),
            was=b.agg("first", b.col("was")),
        ),
    ),
    "looking_at_split_sessions": b.graph(
        b.sessions(split=b.UP, temp=b.agg("max", b.TEMP)),
        b.extend(warmer=b.fn("gt", b.col("temp"), b.fn("previous", b.col("temp")))),
        b.where(b.col("warmer")),
        looks(b.col("temp"), b.DURATION),
    ),
    "looking_at_states": b.graph(
        b.states(b.STATUS), b.where(b.fn("is_not_null", b.STATUS)), looks(b.STATUS, b.DURATION)
    ),
    "looking_at_long_states": b.graph(
        b.states(b.fn("gt", b.N, b.lit(1)), name="many", hold=None),
        b.where(b.fn("gt", b.DURATION, b.lit(GAP, "duration"))),
        looks(b.FIRMWARE, b.DURATION),
        b.group(
            b.named(day=b.truncate("1d", b.LONDON), was=b.col("was")),
            time=b.agg("duration"),
            known=b.agg("known_time"),
            pieces=b.ROWS,
            total=b.agg("max", b.col("total")),
            news=b.agg("count", where=b.col("new")),
        ),
    ),
    "looking_at_beats": b.graph(b.beats(), looks(b.ALIVE, b.DURATION), b.where(b.fn("not", b.ALIVE))),
    "looking_at_transitions": b.graph(b.transitions(b.STATUS), looks(TO, AFTER)),
    "looking_at_paths": b.graph(
        b.transitions(b.STATUS, gap=None),
        b.extend(two=b.fn("previous", FROM)),
        b.group(b.named(two=b.col("two"), one=FROM, to=TO), n=b.ROWS),
    ),
    "looking_at_timelines": b.graph(
        t.timeline(b.fn("and", b.col("a"), b.col("b")), a=t.ALIVE_TRACK, b=t.UP_TRACK), looks(STATE, b.DURATION)
    ),
    "looking_at_pieces": b.graph(
        b.states(b.STATUS),
        t.join(b.DEVICE, t.OWNERS),
        looks(b.col("owner"), b.DURATION),
        b.where(b.fn("is_not_null", b.col("was"))),
    ),
    "looking_through_pieces": b.graph(
        b.states(b.STATUS),
        looks(b.STATUS, b.DURATION),
        t.within(t.NIGHTS),
        b.extend(piece=b.fn("previous", b.col("was"))),
        t.within_windows(b.DEVICE, t.MAINTENANCE, inside=False),
        b.select(
            start=b.col("start"),
            end=b.col("end"),
            total=b.col("total"),
            piece=b.col("piece"),
            owner=b.fn("last", b.OK, hold=None),
        ),
    ),
    "looking_at_joined_sessions": b.graph(
        b.where(b.fn("not", b.OK)),
        b.sessions(),
        t.within(t.DAYS),
        t.join(b.DEVICE, t.OWNERS, "inner"),
        looks(b.col("owner"), COUNT),
    ),
    "looking_then_sessions": b.graph(
        b.windows("10m", v=b.agg("mean", b.TEMP)),
        b.extend(rises=b.fn("gt", b.col("v"), b.fn("previous", b.col("v")))),
        b.where(b.col("rises")),
        b.sessions(HOUR, steps=b.agg("sum", COUNT)),
        b.extend(before=b.fn("previous", b.col("steps"))),
    ),
    "looking_then_states": b.graph(
        b.sessions(n=b.agg("max", b.N)),
        b.states(b.fn("changed", b.col("n")), name="news", hold=HOUR),
        looks(b.col("news"), b.DURATION),
    ),
    "states_of_windows": b.graph(
        b.windows("1h", up=b.agg("any_true", b.UP)),
        b.states(b.col("up"), name="up", hold=2 * HOUR),
        b.group(b.named(up=b.col("up")), time=b.agg("duration"), known=b.agg("known_time"), pieces=b.ROWS),
    ),
    "windows_of_states": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("eq", b.STATUS, b.lit("down"))),
        b.windows("1h", size=2, down=b.agg("sum", b.DURATION), fw=b.agg("last", b.FIRMWARE)),
        b.group(b.named(fw=b.col("fw")), down=b.agg("sum", b.col("down")), cut=b.agg("count", where=b.col("partial"))),
    ),
    "sessions_of_sessions": b.graph(b.sessions(n=b.agg("count", b.N)), b.sessions(HOUR, n=b.agg("sum", b.col("n")))),
    "moves_between_windows": b.graph(
        b.windows("1h", state=b.agg("last", b.STATUS)), b.transitions(b.col("state"), gap=2 * HOUR), looks(TO, AFTER)
    ),
    "funnel_of_sessions": b.graph(
        b.sessions(state=b.agg("last", b.STATUS)),
        b.funnel(b.fn("eq", b.col("state"), b.lit("up")), b.fn("changed", b.col("state"))),
        b.extend(was=b.fn("previous", b.col("steps"))),
    ),
    "looking_then_concurrent": b.graph(
        b.states(b.UP, name="up"),
        t.concurrent(b.fn("and", b.col("up"), b.fn("is_not_null", b.fn("previous", b.FIRMWARE))), by=b.BY_FIRMWARE),
    ),
    "steps_between_windows": b.graph(
        b.windows("1h", n=b.agg("max", b.N), t=b.agg("max", b.TEMP)),
        b.group(
            b.BY_DEVICE,
            grown=b.agg("increase", b.fn("mod", b.col("n"), b.lit(7))),
            moves=b.agg("transitions", b.fn("gt", b.col("t"), b.lit(20.0))),
        ),
    ),
    "partial_windows": b.graph(
        b.windows("6h", b.LONDON, rows=b.ROWS),
        b.group(
            b.named(partial=b.col("partial")),
            windows=b.ROWS,
            first=b.agg("min", b.NOW),
            rows=b.agg("sum", b.col("rows")),
        ),
    ),
    "held_then_filtered": b.graph(
        held("firmware", "temp"),
        b.where(b.fn("changed", b.STATUS)),
        b.group(b.BY_FIRMWARE, n=b.ROWS, temp=b.agg("mean", b.TEMP)),
    ),
    "held_not_long": b.graph(
        held("status", hold=GAP), t.join(b.DEVICE, t.SITES), b.states(b.STATUS), looks(b.STATUS, b.DURATION)
    ),
    "held_of_windows": b.graph(
        b.windows("1h", temp=b.agg("max", b.TEMP)), held("temp", "firmware"), b.sort(("temp", True))
    ),
    "last_where": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.select(
            device=b.DEVICE,
            status=b.fn("last", WARM, hold=None),
            short=b.fn("last", WARM, hold=GAP),
            firmware=b.FIRMWARE,
        ),
    ),
    "last_where_by_status": b.graph(
        # By device: of two keys at one moment the later is the one with the greater hash, which the oracle leaves open.
        b.group(
            b.named(device=b.DEVICE, status=b.STATUS, warm=b.fn("last", WARM, hold=None)),
            n=b.ROWS,
            fw=b.agg("last", b.FIRMWARE),
        ),
    ),
}
