"""The sink that cuts intervals into intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.codegen.cuts import pieces
from dataflow.codegen.emitter import Emitter, Value
from dataflow.codegen.keyed_emitter import KeyedEmitter
from dataflow.codegen.writer import I8, NO_PIECE, PIECE, SourceWriter
from dataflow.plan.sink import NamedTyped, Reach, Sink
from dataflow.typed.clock import sources_of
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import Typed


class PiecesEmitter(KeyedEmitter):
    """Writes the pieces of intervals: cut where a watched value changes, kept where the conditions hold."""

    def __init__(self, w: SourceWriter, sink: Pieces) -> None:
        super().__init__(w, (*sink.columns, *sink.watched))
        self.sink = sink
        self.full = "on >= cap"
        w.arg("o_known", I8, "out", "$known")

    def constants(self, x: Emitter) -> None:
        """Declare a local that outlives a row: where to resume an interval whose pieces did not fit."""
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


@dataclass(frozen=True)
class Pieces(Sink):
    """Sink: intervals, cut where a ``watched`` value changes, kept where all ``conditions`` hold.

    Both are expressions of the clock (``dataflow.typed.clock``) or constant over an interval. Writes start (as time),
    end, ``$known``, the columns and the watched values.
    """

    columns: tuple[tuple[str, Typed], ...]
    watched: tuple[tuple[str, Typed], ...]
    conditions: tuple[Typed, ...]
    unread: tuple[str, ...] = ()
    """Columns that would cut if anything read them."""

    passes_lead = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.columns)
        yield from (e for _, e in self.watched)
        yield from self.conditions

    def emitter(self, w: SourceWriter) -> PiecesEmitter:
        """See Sink."""
        return PiecesEmitter(w, self)

    def hidden(self) -> set[str]:
        """See Sink."""
        return {END, KNOWN}

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None

    def passed_on(self) -> NamedTyped | None:
        """See Sink."""
        return None if self.conditions else self.columns

    def written(self) -> NamedTyped:
        """See Sink."""
        return (*self.columns, *self.watched)

    def describe(self) -> str:
        """See Sink."""
        sources = sources_of([*(e for _, e in self.watched), *self.conditions])
        if not sources:
            return f"intervals, not cut: nothing reads {', '.join(self.unread)}"
        if all(s.kind == "periods" for s in sources):
            kept = {"is_not_null": ", inside kept", "is_null": ", outside kept"}
            return "intervals cut at the edges of periods" + "".join(kept.get(c.fn, "") for c in self.conditions)
        text = "intervals cut by the clock"
        columns = [n for n, _ in self.watched if not n.startswith("$")]
        text += f" where {', '.join(columns)} changes" if columns else ""
        text += ", where the condition holds kept" if self.conditions else ""
        return text + (f"; not by {', '.join(self.unread)}, which nothing reads" if self.unread else "")
