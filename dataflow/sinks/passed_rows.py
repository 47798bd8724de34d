"""The sink that passes rows on to the next stage, with columns computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import I8, OUT_ROWS, OUT_RUNS, U1, SourceWriter, value_array
from dataflow.plan.sink import NamedTyped, Sink, by_name
from dataflow.typed.nodes import Typed


class RunsEmitter(SinkEmitter):
    """The base of emitters of sinks that write rows of the keys whose rows they take: runs, times and columns."""

    def __init__(self, w: SourceWriter) -> None:
        super().__init__(w)
        w.arg("o_time", I8, "out_time")
        w.arg("o_slot", I8, "out_slot")
        w.arg("o_len", I8, "out_len")

    def load(self) -> None:
        """See SinkEmitter."""
        self.w.put("base = on")

    def store(self) -> None:
        """See SinkEmitter."""
        self.close_run()

    def close_run(self) -> None:
        """See SinkEmitter."""
        with self.w.block("if on > base:"):
            self.w.put("o_slot[orun] = slot\no_len[orun] = on - base\norun += 1")
        self.w.put(f"s[{OUT_ROWS}] = on\ns[{OUT_RUNS}] = orun")

    def in_range(self, x: Emitter, points: bool) -> str:
        """The condition that the row belongs to the range; ``points`` do by their time."""
        parts = (["t >= since"] if points else []) + (["early & 1 == 0"] if x.has_early else [])
        return " and ".join(parts) or "True"

    def write(self, x: Emitter, columns: NamedTyped) -> None:
        """The row's time and these columns, as output row ``on``."""
        w = self.w
        w.put("o_time[on] = t")
        for j, (name, e) in enumerate(by_name(columns)):
            v, k = x.emit(e)
            w.arg(f"oc{j}_v", value_array(e.type), "out", name)
            w.arg(f"oc{j}_k", U1, "out_valid", name)
            w.put(f"oc{j}_v[on] = {v}\noc{j}_k[on] = {k}")


class PassedRowsEmitter(RunsEmitter):
    """Writes the rows of the range."""

    def __init__(self, w: SourceWriter, sink: PassedRows) -> None:
        super().__init__(w)
        self.sink = sink

    def row(self, x: Emitter) -> None:
        """See SinkEmitter."""
        with self.w.block(f"if {self.in_range(x, self.sink.points)}:"):
            self.write(x, self.sink.columns)
            self.w.put("on += 1")


@dataclass(frozen=True)
class PassedRows(Sink):
    """Sink: the rows of the range as they are, with these columns; ``points``: whether they are points."""

    columns: NamedTyped
    points: bool

    follows_keys = True
    keeps_rows = True
    has_length = False
    closes = False
    gathers = False
    writes_every_row = True
    passes_lead = True
    rows_per_second = 80e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.columns)

    def emitter(self, w: SourceWriter) -> PassedRowsEmitter:
        """See Sink."""
        return PassedRowsEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        return f"rows of {len(self.columns)} columns"
