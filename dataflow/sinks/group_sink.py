"""The sink of groups: folds rows, or pieces of intervals, into aggregates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dataflow.codegen.cuts import pieces
from dataflow.codegen.emitter import Emitter, Value
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import I8, NO_PIECE, PIECE, VIEW, SourceWriter, both
from dataflow.plan.sink import Memory, Sink, Slide
from dataflow.sinks.folding import fold, least, rooms
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.clock import is_moving
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import Typed
from operators.kernels.arithmetic import SITES
from operators.types import Type


class GroupEmitter(SinkEmitter):
    """Folds rows into groups, and intervals in pieces for aggregates with expressions of ``df.time()``."""

    def __init__(self, w: SourceWriter, sink: Group) -> None:
        super().__init__(w)
        self.sink = sink
        w.arg("keys", "i8[:,::1]", "group_keys")
        w.arg("table", "i4[::1]", "group_slots")
        w.arg("used", I8, "group_used")
        w.arg("words", I8, "group_words")
        places = least("keys.shape[0] - used[0]", *rooms(sink.aggs, w))
        self.views = views_of(sink.aggs)
        # An interval that is cut needs room for every piece, and can stop within the row.
        self.full = f"{places} <= 0" if self.views else ""
        self.places = "" if self.views else places

    def constants(self, x: Emitter) -> None:
        """Declare locals that outlive a row: the previous row's group, which is often the next row's."""
        n = len(self.sink.by)
        self.w.put("pg = np.int64(-1)")
        self.w.put("\n".join(f"p{j} = np.int64(0)\nq{j} = np.int64(-1)" for j in range(n)))
        if self.views:
            self.w.put(f"piece = s[{PIECE}]\nview = s[{VIEW}]\ns[{PIECE}] = {NO_PIECE}")
            x.is_new = f"piece == {NO_PIECE}"

    def row(self, x: Emitter) -> None:
        """One row that has passed the stage's operations."""
        w, sink = self.w, self.sink
        depth = w.depth
        if sink.in_range:
            w.put(f"if {self.in_range(x)}:")
            w.depth += 1
        if self.views:
            w.put(f"back = piece\npiece = np.int64({NO_PIECE})")
        lead = [j for j, a in enumerate(sink.aggs) if a.before_first]
        if sink.intervals and not lead:
            # Before its first point a key does not exist yet.
            w.put("if known != 2:")
            w.depth += 1
        self._find(x)
        in_pieces = {j for view in self.views for j in view}
        with_rows = [j for j in range(len(sink.aggs)) if j not in in_pieces]
        if self.views and with_rows:
            w.put(f"if back == {NO_PIECE}:")
            w.depth += 1
        for j in with_rows:
            self._fold(x, j, sink.aggs[j], lead)
        if self.views and with_rows:
            w.depth -= 1
        for n, view in enumerate(self.views):
            self._view(x, n, view, lead)
        if "flags" in w.args:
            # If something failed in this row, record the group for the message.
            failed = f"flags[0] // {SITES} == i + 1 or flags[1] // {SITES} == i + 1"
            with w.block(f"if (flags[0] | flags[1]) != 0 and flags[2] == 0 and ({failed}):"):
                w.put("flags[2] = pg + 1")
        w.depth = depth

    def in_range(self, x: Emitter) -> str:
        """The condition that a point is in the range."""
        return "t >= since"

    def _fold(self, x: Emitter, j: int, a: BoundAgg, lead: list[int]) -> None:
        if self.sink.intervals and j not in lead and lead:
            with self.w.block("if known != 2:"):
                fold(self.w, x, j, a, "pg")
        else:
            fold(self.w, x, j, a, "pg")

    def _view(self, x: Emitter, n: int, view: list[int], lead: list[int]) -> None:
        """Fold the pieces of the interval for the aggregates of one view."""
        w, aggs = self.w, self.sink.aggs
        conditions = [c for c in _of_rows(aggs[view[0]]) if is_moving(c)]
        watched = list({repr(e): e for j in view for e in _moving_arguments(aggs[j])}.values())
        depth = w.depth
        # Conditions on the whole interval.
        for c in _of_rows(aggs[view[0]]):
            if is_moving(c):
                continue
            w.put(f"if {both(*reversed(x.emit(c)))}:")
            w.depth += 1
        w.put(f"first = t if back == {NO_PIECE} else back")

        def take(values: list[Value]) -> None:
            named = {
                repr(e): Typed("local", e.type, (), (("value", v), ("valid", k)))
                for e, (v, k) in zip(watched, values, strict=True)
            }
            with w.block(f"if {self.full}:"):
                w.put(f"s[{PIECE}] = qs\ns[{VIEW}] = {n}\nreturn i")
            with x.piece("qs", "ns"):
                for j in view:
                    self._fold(x, j, _at_piece(aggs[j], named), lead)

        w.put(f"if back == {NO_PIECE} or view == {n}:")
        w.depth += 1
        w.put(f"again = back\nback = np.int64({NO_PIECE})")
        pieces(w, x, watched, conditions, "first", take)
        w.depth = depth

    def _find(self, x: Emitter) -> None:
        """Put the number of the row's group into ``pg``."""
        w = self.w
        # Compare raw values and validities: the value of a null is arbitrary; at worst the same group is looked up
        # again.
        parts, words, nulls = [], [], []
        for j, (_, e) in enumerate(self.sink.by):
            v, k = x.emit(e)
            word = x.name(f"float_bits({v} + 0.0)" if e.type is Type.FLOAT else f"np.int64({v})", "True")[0]
            parts.append((f"p{j}", word))
            words.append(word if k == "True" else f"{word} if {k} else np.int64(0)")
            if k != "True":
                flag = x.name(f"np.int64({k})", "True")[0]
                parts.append((f"q{j}", flag))
                nulls.append(f"(({flag} ^ np.int64(1)) << np.int64({j}))")
        words.append(" | ".join(nulls) or "np.int64(0)")
        # Initially the flags differ from those of any row.
        differs = [f"{before} != {now}" for before, now in parts] + ([] if nulls else ["pg < 0"])
        with w.block(f"if {' or '.join(differs)}:"):
            w.put("\n".join(f"{before} = {now}" for before, now in parts))
            w.put("\n".join(f"words[{j}] = {word}" for j, word in enumerate(words)))
            w.put(f"pg = find_group(words, np.int64({len(words)}), keys, table, used)")


def views_of(aggs: tuple[BoundAgg, ...]) -> list[list[int]]:
    """The numbers of the aggregates that cut intervals, grouped by equal cuts (views)."""
    views: dict[str, list[int]] = {}
    for j, a in enumerate(aggs):
        arguments = _moving_arguments(a)
        if arguments or any(is_moving(c) for c in a.where):
            views.setdefault(repr((_of_rows(a), arguments)), []).append(j)
    return list(views.values())


def _moving_arguments(a: BoundAgg) -> list[Typed]:
    return [e for e in (a.argument, a.other) if e is not None and is_moving(e)]


def _of_rows(a: BoundAgg) -> list[Typed]:
    """The conditions of an aggregate on the whole interval, not on a piece."""
    return [c for c in a.where if c.fn != "whole"]


def _at_piece(a: BoundAgg, named: Mapping[str, Typed]) -> BoundAgg:
    """The aggregate, with the piece's values for expressions of the clock."""
    argument, other = (None if e is None else named.get(repr(e), e) for e in (a.argument, a.other))
    return replace(a, argument=argument, other=other, where=tuple(c for c in a.where if c.fn == "whole"))


@dataclass(frozen=True)
class Group(Sink):
    """Sink: fold rows into groups. ``intervals``: rows have an end and a known flag, and aggregates with expressions of
    ``df.time()`` cut them, each separately. ``in_range`` drops rows outside [since, until). ``filled`` is the number of
    the column of ``by`` whose time buckets (``bucket``) are filled in without rows."""

    by: tuple[tuple[str, Typed], ...]
    aggs: tuple[BoundAgg, ...]
    intervals: bool
    in_range: bool
    filled: int | None = None
    bucket: Typed | None = None

    any_order = True
    gathers = False
    rows_per_second = 60e6

    @property
    def windows(self) -> Slide | None:
        """See Grouping."""
        return None

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.by)
        for a in self.aggs:
            yield from a.expressions()

    def emitter(self, w: SourceWriter) -> GroupEmitter:
        """See Sink."""
        return GroupEmitter(w, self)

    def hidden(self) -> set[str]:
        """See Sink."""
        lasting = any("duration" in getattr(a.aggregate, "inputs", ()) for a in self.aggs)
        return {END, KNOWN} if self.intervals else {END} if lasting else set()

    def laws(self) -> Iterator[str]:
        """See Sink."""
        yield "partial states merge exactly, in any order"
        for a in self.aggs:
            yield f"{a.name} = {a.aggregate.name}: {', '.join(a.aggregate.flags.claims())}"

    def memory(self) -> Memory | None:
        """See Sink: nothing, if rows before the range are dropped."""
        return Memory(rows=False) if self.in_range else None

    @property
    def aggregates(self) -> tuple[BoundAgg, ...]:
        """See Sink."""
        return self.aggs

    def grouping(self) -> Group:
        """See Sink."""
        return self

    def describe(self) -> str:
        """See Sink."""
        cut = "" if self.filled is None else ", empty buckets too"
        if apart := [self.aggs[j].name for view in views_of(self.aggs) for j in view]:
            cut += f"; intervals are cut by the clock for {', '.join(apart)} alone"
        return f"groups by {', '.join(n for n, _ in self.by) or 'nothing'}, {len(self.aggs)} aggregates{cut}"
