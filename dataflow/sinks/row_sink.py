"""The sink that writes rows unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import OUT_ROWS, SourceWriter, value_array
from dataflow.plan.sink import Memory, NamedTyped, Sink, by_name
from dataflow.typed.nodes import Typed


class RowsEmitter(SinkEmitter):
    """Writes the rows that reach it."""

    def __init__(self, w: SourceWriter, sink: Rows) -> None:
        super().__init__(w)
        self.sink = sink
        self.places = "cap - on"

    def row(self, x: Emitter) -> None:
        """One row that has passed the stage's operations."""
        w = self.w
        depth = w.depth
        if self.sink.in_range:
            w.put("if t >= since:")
            w.depth += 1
        for j, (name, e) in enumerate(by_name(self.sink.columns)):
            v, k = x.emit(e)
            out = w.arg(f"o{j}_v", value_array(e.type), "out", name)
            ok = w.arg(f"o{j}_k", "u1[::1]", "out_valid", name)
            w.put(f"{out}[on] = {v}\n{ok}[on] = {k}")
        w.put(f"on += 1\ns[{OUT_ROWS}] = on")
        w.depth = depth


@dataclass(frozen=True)
class Rows(Sink):
    """Sink: write the rows' columns. ``in_range`` drops rows outside [since, until)."""

    columns: tuple[tuple[str, Typed], ...]
    in_range: bool

    any_order = True
    gathers = False
    writes_every_row = True
    rows_per_second = 20e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.columns)

    def emitter(self, w: SourceWriter) -> RowsEmitter:
        """See Sink."""
        return RowsEmitter(w, self)

    def memory(self) -> Memory | None:
        """See Sink: nothing, if rows before the range are dropped."""
        return Memory(rows=False) if self.in_range else None

    def describe(self) -> str:
        """See Sink."""
        return f"rows of {len(self.columns)} columns"

    def written(self) -> NamedTyped:
        """See Sink."""
        return self.columns
