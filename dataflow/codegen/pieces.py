"""Sinks that take intervals: cut into intervals again, or taken apart into their edges."""

from __future__ import annotations

from dataflow.codegen.cuts import pieces
from dataflow.codegen.emitter import Emitter, Value, both
from dataflow.codegen.keyed import KeyedSink
from dataflow.codegen.source import I8, NO_PIECE, OUT_ROWS, PIECE, U1, Writer, value_array
from dataflow.plan import Edges, Pieces


class PiecesSink(KeyedSink):
    """Writes intervals, cut where a value that is watched changes, as far as conditions hold."""

    def __init__(self, w: Writer, sink: Pieces) -> None:
        super().__init__(w, (*sink.columns, *sink.watched))
        self.sink = sink
        self.full = "on >= cap"
        w.arg("o_known", I8, "out", "$known")

    def constants(self, x: Emitter) -> None:
        """A local that outlives a row: where to go on with an interval for whose pieces there was no room."""
        self.w.put(f"piece = s[{PIECE}]\ns[{PIECE}] = {NO_PIECE}")
        x.is_new = f"piece == {NO_PIECE}"

    def finish(self, x: Emitter) -> None:
        """Nothing is open at the end."""

    def row(self, x: Emitter) -> None:
        """One interval that has passed the stage's operations."""
        w, sink = self.w, self.sink
        values = [x.emit(e) for _, e in sink.columns]
        w.put(f"again = piece\nstart = t if again == {NO_PIECE} else again\npiece = np.int64({NO_PIECE})")

        def write(watched: list[Value]) -> None:
            with w.block(f"if {self.full}:"):
                self.store()
                w.put(f"s[{PIECE}] = qs\nreturn i")
            w.put("o_time[on] = qs\no_end[on] = ns\no_known[on] = known")
            for j, (v, k) in enumerate([*values, *watched]):
                w.put(f"oh{j}_v[on] = {v}\noh{j}_k[on] = {k}")
            w.put("on += 1")

        pieces(w, x, [e for _, e in sink.watched], sink.conditions, "start", write)


class EdgesSink:
    """Writes for every interval the row of its start and that of its end."""

    places = ""

    def __init__(self, w: Writer, sink: Edges) -> None:
        self.w, self.sink = w, sink
        self.full = "on + 1 >= cap"

    def row(self, x: Emitter) -> None:
        """One interval that has passed the stage's operations."""
        w, sink = self.w, self.sink
        v, k = x.emit(sink.condition)
        w.put(f"clear = known == 1 and ({k})\nactive = clear and ({both('True', v)})")
        outs = [w.arg(f"o_{n}", I8, "out", f"${n}") for n in ("at", "active", "inactive", "unknown")]
        columns = []
        for j, (name, e) in enumerate(sink.by):
            value, valid = x.emit(e)
            columns.append((w.arg(f"o{j}_v", value_array(e.type), "out", name), value))
            columns.append((w.arg(f"o{j}_k", U1, "out_valid", name), valid))
        for at, sign in (("t", "1"), ("e", "-1")):
            changes = [at, f"{sign} if active else 0", f"{sign} if clear and not active else 0"]
            changes.append(f"0 if clear else {sign}")
            w.put("\n".join(f"{out}[on] = {change}" for out, change in zip(outs, changes, strict=True)))
            w.put("\n".join(f"{out}[on] = {value}" for out, value in columns))
            w.put("on += 1")
        w.put(f"s[{OUT_ROWS}] = on")
