"""Generates one stage's kernel: ``step`` over the rows of a batch, and ``finish`` over all keys at the end.

``step`` returns the row at which to resume (the number of rows when done): it stops before a row for which an array
may be too small, and has changed nothing for that row. ``finish`` returns a slot in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter, scalar_loads
from dataflow.codegen.row_code import pass_operations
from dataflow.codegen.scan_code import STEP
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import (  # fmt: skip
    BEGIN,
    BRIDGE_MASK,
    F8,
    I4,
    I8,
    OUT_CAPACITY,
    OUT_ROWS,
    OUT_RUNS,
    RUNS,
    SINCE,
    TIME_MASK,
    UNTIL,
    Arg,
    SourceWriter,
    Tables,
)
from dataflow.plan.stages import Stage
from dataflow.typed.described import described_uses
from dataflow.typed.hidden_columns import CUT, EARLY, ORDER
from dataflow.typed.nodes import Typed
from operators.contract import Aggregate
from operators.registry import mark_of
from operators.scans import find_scan

_LOADS = f"""begin = s[{BEGIN}]
n_runs = s[{RUNS}]
since = s[{SINCE}]
until = s[{UNTIL}]
cap = s[{OUT_CAPACITY}]
on = s[{OUT_ROWS}]
orun = s[{OUT_RUNS}]
mt = np.uint64(s[{TIME_MASK}])
mb = np.uint64(s[{BRIDGE_MASK}])"""

_HELPERS = {
    "operators.kernels.arithmetic": (
        "checked_add", "checked_sub", "checked_mul", "checked_neg", "floor_div", "floor_mod", "float_mod",
        "float_floor_div", "counter_step", "noted",
    ),
    "operators.kernels.bins": ("hash_word", "bin_between"),
    "operators.kernels.bits": ("float_bits", "float_order", "hash_of_integer", "order_float"),
    "operators.kernels.times.calendar": (
        "bucket_start", "bucket_end", "bucket_number", "bucket_edge", "offset_place", "hour_of", "minute_of",
        "second_of", "weekday_of", "in_years", "shifted", "shifted_back",
    ),
    "operators.kernels.times.clocks": ("next_shown",),
    "operators.kernels.times.dates": (
        "year_of", "quarter_of", "month_of", "day_of", "day_of_year_of", "iso_week_of",
    ),
    "operators.kernels.times.moved_dates": ("moved_date",),
    "operators.kernels.decimals": (
        "decimal_exact", "decimal_half_even", "decimal_half_up", "decimal_float", "coarser_exact",
        "coarser_half_even", "coarser_half_up", "finer",
    ),
    "operators.kernels.comparing": ("integer_against_float", "decimal_against_float", "coarse_against_fine"),
    "operators.kernels.times.lengths": ("length_by", "length_by_integer", "length_times"),
    "operators.kernels.times.periods": ("key_number", "row_at", "edge_after"),
    "operators.kernels.sums.running_sums": ("add_digits", "is_a_sum", "rounded"),
    "operators.kernels.sums.moving_sums": ("add_moving", "remove_moving", "moving_sum", "moving_mean"),
    "operators.kernels.foreign": ("square_root",),
    "operators.kernels.real.angles": ("in_radians", "in_degrees", "great_circle"),
    "operators.kernels.real.arcs": ("arc_sine", "arc_cosine", "arc_tangent", "arc_tangent_2"),
    "operators.kernels.real.exponentials": ("exponential", "weighted_mean"),
    "operators.kernels.real.logarithms": ("logarithm", "logarithm_2", "logarithm_10", "power"),
    "operators.kernels.real.round_numbers": ("rounded_float", "rounded_units", "floored_units", "raised_units"),
    "operators.kernels.real.sines": ("sine", "cosine", "tangent"),
    "operators.kernels.hash_tables": ("find_group", "add_pair"),
    "operators.kernels.widths": ("bin_of_width",),
}  # fmt: skip


@dataclass(frozen=True)
class KernelFunction:
    """One generated function: its arguments, in order."""

    name: str
    args: tuple[Arg, ...]

    @property
    def signature(self) -> str:
        """Numba's signature."""
        return f"i8({', '.join(a.kind for a in self.args)})"


@dataclass(frozen=True)
class Generated:
    """A kernel's source and its arguments. Equal sources do equal work, whatever their constants."""

    source: str
    step: KernelFunction
    finish: KernelFunction | None
    tables: Tables
    own_steps: bool = False
    """Whether it calls steps that a user registered, which no other process can load."""

    @property
    def digest(self) -> str:
        """SHA-256 of the source, hex."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def generate(stage: Stage) -> Generated:
    """The kernel of ``stage``."""
    tables = Tables()
    aggs = stage.sink.aggregates
    step_source, step = _step(stage, tables)
    finish_source, finish = _finish(stage, tables)
    text = step_source + (f"\n\n{finish_source}" if finish else "")
    lines = ['"""Generated; do not edit."""', "", "import numpy as np", ""]
    for module, names in _HELPERS.items():
        if used := [n for n in names if f"{n}(" in text]:
            lines.append(f"from {module} import {', '.join(used)}")
    for j, a in enumerate(aggs):
        if not isinstance(a.aggregate, Aggregate):
            continue
        mark = mark_of(a.aggregate)
        if mark is None:
            f = a.aggregate.step
            lines.append(f"from {f.__module__} import {f.__name__} as step_{j}")
        else:
            kind = None if a.aggregate.argument is None else a.aggregate.argument.value
            lines.append("from operators.registry import step_of")
            lines.append(f"step_{j} = step_of({a.aggregate.name!r}, {kind!r})  # {mark}")
    scans = {str(n.option("name")) for e in _all_expressions(stage) for n in e.walk() if n.fn == "scan"}
    for name in sorted(scans):
        scan = find_scan(name)
        assert scan is not None
        lines.append("from operators.scans import scan_step_of")
        lines.append(f"{STEP}{name} = scan_step_of({name!r})  # {scan.mark}")
    signatures = {f.name: f.signature for f in (step, finish) if f}
    source = "\n".join([*lines, "", f"SIGNATURES = {signatures!r}", "", "", text])
    own = bool(scans) or any(mark_of(a.aggregate) is not None for a in aggs)
    return Generated(source, step, finish, tables, own)


def _all_expressions(stage: Stage) -> Iterator[Typed]:
    """Every expression of a stage, also of the timelines that it combines."""
    yield from stage.expressions()
    for op in stage.sink.row_operations():
        yield from op.expressions()


def _start(w: SourceWriter) -> None:
    w.arg("s", I8, "scalars")
    w.arg("f", F8, "floats")


def _step(stage: Stage, tables: Tables) -> tuple[str, KernelFunction]:
    w = SourceWriter(tables)
    _start(w)
    w.arg("run_slot", I4, "run_slot")
    w.arg("run_len", I8, "run_len")
    w.arg("time", I8, "time")
    x = Emitter(w)
    x.uses = described_uses(stage.sink.aggregates)
    sink = stage.sink.emitter(w)
    sink.constants(x)
    w.put("row = np.int64(0)")
    with w.block("for r in range(n_runs):"):
        w.put("stop = row + run_len[r]")
        with w.block("if stop <= begin:"):
            w.put("row = stop\ncontinue")
        w.put("slot = np.uint64(run_slot[r])")
        sink.load()
        w.put("following = max(row, begin)")
        with w.block("while following < stop:"):
            if sink.places:
                # A row takes at most one entry of each table, so one check covers many rows.
                w.put(f"room = {sink.places}")
                _stop_if("room <= 0", "following", sink, w)
                w.put("last = min(stop, following + room)")
                with w.block("while following < last:"):
                    _row(stage, sink, w, x)
            else:
                _row(stage, sink, w, x)
        sink.store()
        w.put("row = stop")
    w.put("return row")
    head = _LOADS.splitlines() + scalar_loads(w)
    w.lines[:0] = ["    " + line for line in head]
    return w.function("step"), KernelFunction("step", tuple(w.args.values()))


def _row(stage: Stage, sink: SinkEmitter, w: SourceWriter, x: Emitter) -> None:
    """The row ``following``."""
    # Unsigned indices: Numba then omits the test for negative ones.
    w.put("i = following")
    if ORDER in dict(stage.inputs):
        w.arg("order", I4, "column", ORDER)
        w.put("u = np.uint64(order[np.uint64(i)])")
    else:
        w.put("u = np.uint64(i)")
    if sink.full and not sink.advances:
        _stop_if(sink.full, "i", sink, w)
    w.put("following += 1\nt = time[u & mt]")
    with w.block("if t >= until:"):
        w.put("continue")
    if sink.advances:
        sink.advance(x)
        _stop_if(sink.full, "i", sink, w)
    _hidden(stage, w, x)
    pass_operations(x, stage.ops)
    if x.has_early and not stage.sink.keeps_rows:
        # Sinks that follow a key through time treat rows before the range like points: by their time.
        out = f"early == {CUT} and t < since" if stage.sink.follows_keys else "early & 1 != 0"
        with w.block(f"if {out}:"):
            w.put("continue")
    sink.row(x)
    if not stage.ops and ORDER not in dict(stage.inputs):
        sink.skip_ahead(w.tables)


def _stop_if(full: str, row: str, sink: SinkEmitter, w: SourceWriter) -> None:
    """Stop before this row if there is no room for it."""
    with w.block(f"if {full}:"):
        sink.store()
        w.put(f"return {row}")


def _hidden(stage: Stage, w: SourceWriter, x: Emitter) -> None:
    """Load the hidden columns: the end and the known flag of intervals, and the position relative to the range."""
    names = dict(stage.inputs)
    if EARLY in names:
        w.arg("row_early", I8, "column", EARLY)
        w.put("early = row_early[u]")
        x.has_early = True
    if "$end" in names:
        w.arg("row_end", I8, "column", "$end")
        w.put("e = row_end[u]")
    if "$known" in names:
        w.arg("row_known", I8, "column", "$known")
        w.put("known = row_known[u]")


def _finish(stage: Stage, tables: Tables) -> tuple[str, KernelFunction | None]:
    if not (stage.sink.follows_keys and stage.sink.closes):
        return "", None
    w = SourceWriter(tables)
    _start(w)
    sink = stage.sink.emitter(w)
    # The step's constants are loaded again: the same tables, the same indices.
    ints = list(tables.ints)
    tables.ints.clear()
    x = Emitter(w, row="np.int64(-1)")
    sink.constants(x)
    tables.ints[:] = ints
    with w.block("for number in range(begin, n_runs):"):
        w.put("slot = np.uint64(number)")
        with w.block(f"if on + {sink.at_end} > cap:"):
            w.put("return number")
        sink.load()
        sink.finish(x)
        sink.close_run()
    w.put("return n_runs")
    head = _LOADS.splitlines() + scalar_loads(w)
    w.lines[:0] = ["    " + line for line in head]
    return w.function("finish"), KernelFunction("finish", tuple(w.args.values()))
