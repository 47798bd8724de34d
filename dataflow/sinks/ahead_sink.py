"""The sink of looking ahead: each row with values of later rows of its key.

A row waits, in rings with room for so many rows of each key, until the last row has come that it takes a value of; what
waits at the end is written then. Rows after the range are taken, too, and written for the next stage to drop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import I8, U1, SourceWriter, value_array
from dataflow.plan.sink import NamedTyped, Sink, by_name
from dataflow.sinks.passed_rows import RunsEmitter
from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class LaterValue:
    """The column ``name``: the value of ``of`` so many ``rows`` later. ``run`` numbers the rows from 1 and begins anew
    where nothing of the rows before is known to those after; None: nowhere."""

    name: str
    of: Typed
    rows: int
    run: Typed | None = None


class AheadEmitter(RunsEmitter):
    """Emits the code of an ``Ahead`` sink."""

    def __init__(self, w: SourceWriter, sink: Ahead) -> None:
        super().__init__(w)
        self.sink = sink
        self.columns = by_name(sink.columns)
        self.at_end = self.most = max(v.rows for v in sink.later)
        w.arg("z_seen", I8, "slot", "z_seen")
        w.arg("z_time", I8, "slot", "z_time", self.most)
        self.written = [
            *((f"c{j}", name, e) for j, (name, e) in enumerate(self.columns)),
            *((f"n{j}", v.name, v.of) for j, v in enumerate(sink.later)),
        ]
        for own, name, e in self.written:
            w.arg(f"z_{own}_v", value_array(e.type), "slot", f"z_{own}_v", self.most)
            w.arg(f"z_{own}_k", U1, "slot", f"z_{own}_k", self.most)
            w.arg(f"o{own}_v", value_array(e.type), "out", name)
            w.arg(f"o{own}_k", U1, "out_valid", name)

    def load(self) -> None:
        """See SinkEmitter."""
        super().load()
        self.w.put("seen = z_seen[slot]")

    def store(self) -> None:
        """See SinkEmitter."""
        self.w.put("z_seen[slot] = seen")
        super().store()

    def _place(self, number: str) -> str:
        """The place in the rings of the key's row of this number."""
        # Within the ring whatever the number is: a state from outside is read by this, too.
        return f"slot * np.uint64({self.most}) + np.uint64({number}) % np.uint64({self.most})"

    def row(self, x: Emitter) -> None:
        """See SinkEmitter."""
        w = self.w
        for j, value in enumerate(self.sink.later):
            v, k = x.emit(value.of)
            known = f"seen >= {value.rows}"
            if value.run is not None:
                known += f" and {x.emit(value.run)[0]} > {value.rows}"
            with w.block(f"if {known}:"):
                w.put(f"place = {self._place(f'seen - {value.rows}')}\nz_n{j}_v[place] = {v}\nz_n{j}_k[place] = {k}")
        w.put(f"place = {self._place('seen')}")
        with w.block(f"if seen >= {self.most}:"):
            self._write()
        w.put("z_time[place] = t")
        for j, (_, e) in enumerate(self.columns):
            v, k = x.emit(e)
            w.put(f"z_c{j}_v[place] = {v}\nz_c{j}_k[place] = {k}")
        for j in range(len(self.sink.later)):
            w.put(f"z_n{j}_v[place] = 0\nz_n{j}_k[place] = 0")
        w.put("seen += 1")

    def finish(self, x: Emitter) -> None:
        """See SinkEmitter."""
        self.w.put(f"left = min(seen, np.int64({self.most}))")
        with self.w.block("for waits in range(left):"):
            self.w.put(f"place = {self._place('seen - left + waits')}")
            self._write()

    def _write(self) -> None:
        """The row at ``place`` of the rings, if it is not before the range."""
        w = self.w
        with w.block("if z_time[place] >= since:"):
            w.put("o_time[on] = z_time[place]")
            for own, _, _ in self.written:
                w.put(f"o{own}_v[on] = z_{own}_v[place]\no{own}_k[on] = z_{own}_k[place]")
            w.put("on += 1")


@dataclass(frozen=True)
class Ahead(Sink):
    """Sink: points with ``columns`` and with values of ``later`` points (at least one) of their key."""

    columns: NamedTyped
    later: tuple[LaterValue, ...]

    follows_keys = True
    keeps_rows = True
    has_length = False
    gathers = False
    writes_every_row = True
    rows_per_second = 40e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.columns)
        for value in self.later:
            yield value.of
            if value.run is not None:
                yield value.run

    def emitter(self, w: SourceWriter) -> AheadEmitter:
        """See Sink."""
        return AheadEmitter(w, self)

    @property
    def looks_ahead(self) -> bool:
        """See Sink."""
        return True

    def describe(self) -> str:
        """See Sink."""
        most = max(v.rows for v in self.later)
        return f"rows with values of {'the row after them' if most == 1 else f'up to {most} rows after them'}"
