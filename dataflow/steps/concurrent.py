"""``concurrent`` and ``at_least``: how many keys there are at once, for which a condition holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.source import I8, OUT_ROWS, U1, Writer, value_array
from dataflow.hidden_columns import END, KNOWN
from dataflow.sink import Sink
from dataflow.typed import Typed


class EdgesEmitter(SinkEmitter):
    """Writes for every interval the row of its start and that of its end."""

    def __init__(self, w: Writer, sink: Edges) -> None:
        super().__init__(w)
        self.sink = sink
        self.full = "on + 1 >= cap"

    def row(self, x: Emitter) -> None:
        """One interval that has passed the stage's operations."""
        w, sink = self.w, self.sink
        v, k = x.emit(sink.condition)
        # A condition can be decided where the state is not known: false & null is false.
        w.put(f"clear = bool({k})\nactive = clear and bool({v})")
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


@dataclass(frozen=True)
class Edges(Sink):
    """Sink: two rows an interval, where it starts and where it ends.

    Writes ``by``, ``$at`` and what changes there in the numbers of keys that are ``$active``, ``$inactive`` (as the
    condition says) and ``$unknown``.
    """

    by: tuple[tuple[str, Typed], ...]
    condition: Typed

    gathers = False

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.by)
        yield self.condition

    def emitter(self, w: Writer) -> EdgesEmitter:
        """See Sink."""
        return EdgesEmitter(w, self)

    def hidden(self) -> set[str]:
        """See Sink."""
        return {END, KNOWN}

    def laws(self) -> Iterator[str]:
        """See Sink."""
        yield "numbers of keys are sums of +1 and -1 at the edges of intervals"

    def describe(self) -> str:
        """See Sink."""
        return f"edges of intervals by {', '.join(n for n, _ in self.by) or 'nothing'}"
