"""Emits functions of time. Times outside of the calendar years are null, and counted."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import I8, both
from dataflow.expressions.functions import Function, takes
from dataflow.times.durations import parse_offset
from dataflow.typed.clock import CLOCK_PARTS
from dataflow.typed.nodes import Typed
from operators.kernels.times.calendar import END, FIRST, OUTSIDE
from operators.types import Type

_OF_ROWS = ("time", "begin", "now")
"""Times of rows and instants within them: the runner ensures that they lie in the calendar years."""


def counted(x: Emitter, k: str, inside: str) -> str:
    """The validity of a time: ``k`` and ``inside``. Times that are valid but outside are counted."""
    w = x.w
    lost = w.arg("lost", I8, "lost_times")
    known = w.fresh("k")
    w.put(f"{known} = {both(k, inside)}")
    # A resumed row has been counted.
    with w.block(f"if {both(k, f'not {known}', x.is_new or 'True')}:"):
        w.put(f"{lost}[0] += 1")
    return known


@source("in_years")
def _in_years(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    return v, counted(x, k, f"in_years({v})")


@source(
    truncate=Function(1, takes(Type.TIME, Type.TIME), ("every", "zone")),
    **{part: Function(1, takes(Type.TIME, Type.INT), ("zone",)) for part in CLOCK_PARTS},
)
def clock_source(x: Emitter, e: Typed) -> Value:
    """The bucket, or a part, of a time."""
    v, k = x.emit(e.args[0])
    if k == "False":
        return "np.int64(0)", "False"
    # Rows come in time order: the previous row's bucket is mostly this row's, too, and checking that takes less time
    # than a search. Times in columns have no order.
    near = not any(n.fn == "in" for n in e.args[0].walk())
    if e.fn == "truncate":
        return _bucket(x, e, v, k, near)
    j, changes, offsets = zone_tables(x, e)
    if not near:
        place, _ = x.name(f"offset_place({v}, {changes}, {offsets})", "True")
        known = counted(x, k, f"{place} >= 0")
        return x.name(f"{e.fn}_of({v} + {offsets}[max({place}, np.int64(0))])", known)
    found = [
        f"place_{j} = offset_place({v}, {changes}, {offsets})",
        f"offset_{j} = {offsets}[place_{j}]",
        f"from_offset_{j} = max({changes}[place_{j}], np.int64({FIRST}))",
        f"to_offset_{j} = min({changes}[place_{j} + 1], np.int64({END}))",
    ]
    known = _found(x, e, v, k, found, f"from_offset_{j} <= {v} and {v} < to_offset_{j}")
    return x.name(f"{e.fn}_of({v} + offset_{j})", known)


@source(offset_by=Function(1, takes(Type.TIME, Type.TIME), ("by", "zone")))
def _moved_date(x: Emitter, e: Typed) -> Value:
    """A time moved by months and days of a calendar."""
    v, k = x.emit(e.args[0])
    months, days = parse_offset(str(e.option("by")), "offset_by")
    _, changes, offsets = zone_tables(x, e)
    moved = f"moved_date({v}, {x.integer(months)}, {x.integer(days)}, {changes}, {offsets})"
    r, _ = x.name(moved if k == "True" else f"{moved} if {k} else np.int64(0)", "True")
    return r, counted(x, k, f"{r} != {OUTSIDE}")


def zone_tables(x: Emitter, e: Typed) -> tuple[int, str, str]:
    """The number of the zone of ``e``, and the arguments with its changes and offsets."""
    zones, zone = x.w.tables.zones, str(e.option("zone"))
    if zone not in zones:
        zones.append(zone)
    j = zones.index(zone)
    return j, x.w.arg(f"changes_{j}", I8, "changes", j), x.w.arg(f"offsets_{j}", I8, "offsets", j)


def _bucket(x: Emitter, e: Typed, v: str, k: str, near: bool) -> Value:
    every, zone = str(e.option("every")), str(e.option("zone"))
    call = x.bucket(every, zone)
    if not near:
        start, _ = x.name(f"bucket_start({v}, {call})", "True")
        return start, counted(x, k, f"{start} != {OUTSIDE}")
    j = x.w.tables.buckets.index((every, zone, 0))
    found = [
        f"start_{j} = bucket_start({v}, {call})",
        f"from_{j} = max(start_{j}, np.int64({FIRST}))",
        f"to_{j} = min(bucket_end({v}, {call}), np.int64({END}))",
    ]
    known = _found(x, e, v, k, found, f"from_{j} <= {v} and {v} < to_{j}")
    return x.name(f"start_{j}", known)


def _found(x: Emitter, e: Typed, v: str, k: str, lines: list[str], inside: str) -> str:
    """Run ``lines`` unless ``v`` is ``inside`` the span found for an earlier row; returns the validity of ``v``."""
    with x.w.block(f"if {both(k, f'not ({inside})')}:"), x.w.block(f"if in_years({v}):"):
        x.w.put("\n".join(lines))
    return k if e.args[0].fn in _OF_ROWS else counted(x, k, inside)


def moved_time(x: Emitter, e: Typed, args: list[Value]) -> Value:
    """A time plus or minus a duration."""
    (a, ka), (b, kb) = args
    valid = both(ka, kb)
    if e.args[0].type is not Type.TIME:
        a, b = b, a
    call = f"{'shifted' if e.fn == 'add' else 'shifted_back'}({a}, {b})"
    v, _ = x.name(call if valid == "True" else f"{call} if {valid} else np.int64(0)", "True")
    return v, counted(x, valid, f"{v} != {OUTSIDE}")
