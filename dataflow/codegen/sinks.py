"""Sinks that end a metric's way through the rows: groups, and rows written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dataflow.clock import is_moving
from dataflow.codegen.cuts import pieces
from dataflow.codegen.emitter import Emitter, Value, both
from dataflow.codegen.source import I4, I8, NO_PIECE, OUT_ROWS, PIECE, VIEW, Writer, value_array
from dataflow.plan import BoundAgg, Group, Rows
from dataflow.typed import Typed
from operators.contract import Aggregate, FloatSum
from operators.kernels.exact import LOGGED
from operators.kernels.floats import FILLED
from operators.types import Type

_TALLY = {"keys": "i8[:,::1]", "counts": I8, "slots": I4, "used": I8, "words": I8}
_PAIRS = {"groups": I8, "values": I8, "slots": I4, "used": I8}


def agg_arguments(w: Writer, j: int, a: BoundAgg) -> list[str]:
    """Declare the arrays of aggregate ``j``'s state and return their names, in the order of its step's arguments."""

    def declared(part: str, kinds: Mapping[str, str], prefix: str = "") -> list[str]:
        return [w.arg(f"g{j}_{prefix}{n}", kind, "state", j, part, n) for n, kind in kinds.items()]

    if not isinstance(a.aggregate, Aggregate):
        return declared("pairs", _PAIRS)
    out = declared("field", {f.name: f.dtype + ("[:,::1]" if f.width else "[::1]") for f in a.aggregate.fields})
    for s in a.aggregate.sums:
        rows = "f8[:,::1]" if isinstance(s, FloatSum) else "i8[:,::1]"
        out += declared(s.name, {"rows": rows, "log": "i8[:,::1]", "used": I8}, f"{s.name}_")
    if a.aggregate.tally is not None:
        out += declared("tally", _TALLY, "tally_")
    return out


def rooms(aggs: tuple[BoundAgg, ...], w: Writer) -> list[str]:
    """Of each table of the aggregates, how often a row can be folded in for certain."""
    out = []
    for j, a in enumerate(aggs):
        agg_arguments(w, j, a)
        if not isinstance(a.aggregate, Aggregate):
            out.append(f"g{j}_groups.shape[0] - g{j}_used[0]")
            continue
        for s in a.aggregate.sums:
            log, used = f"g{j}_{s.name}_log", f"g{j}_{s.name}_used"
            one, many = f"{log}.shape[1] - {used}[{FILLED}]", f"({log}.shape[0] - {used}[0]) // {LOGGED}"
            out.append(one if isinstance(s, FloatSum) else many)
        if a.aggregate.tally is not None:
            out.append(f"g{j}_tally_keys.shape[0] - g{j}_tally_used[0]")
    return out


def least(*numbers: str) -> str:
    """The least of some expressions."""
    return f"min({', '.join(numbers)})" if len(numbers) > 1 else numbers[0]


def fold(w: Writer, x: Emitter, j: int, a: BoundAgg, g: str) -> None:
    """Fold the current row into group ``g`` of aggregate ``j``."""
    arrays = agg_arguments(w, j, a)
    with x.scope():
        depth = w.depth
        for condition in a.where:
            v, k = x.emit(condition)
            w.put(f"if {both(v, k)}:")
            w.depth += 1
        inputs = a.aggregate.inputs if isinstance(a.aggregate, Aggregate) else ("value",)
        given = {"time": x.time, "tie": "slot_hash[slot]", "duration": f"{x.end} - {x.time}", "known": "known"}
        if "tie" in inputs:
            w.arg("slot_hash", I8, "slot_hash")
        for e, name, flag in ((a.argument, "value", "cond"), (a.other, "other", "flag")):
            if e is None:
                continue
            v, k = x.emit(e)
            given[name] = f"np.int64({v})" if e.type is Type.BOOL else v
            given[flag] = both(k, f"bool({v})")
            # Nulls are skipped, save by what takes conditions, of which null is none.
            if flag not in inputs and k != "True":
                w.put(f"if {k}:")
                w.depth += 1
        if "hash" in inputs:
            assert a.argument is not None
            given["hash"] = _hash(w, a.argument.type, given["value"])
        if isinstance(a.aggregate, Aggregate):
            w.put(f"step_{j}({', '.join([f'np.uint64({g})', *arrays, *(given[i] for i in inputs)])})")
        else:
            kind = None if a.argument is None else a.argument.type
            value = f"float_bits({given['value']} + 0.0)" if kind is Type.FLOAT else given["value"]
            w.put(f"add_pair({g}, {', '.join(arrays)}, {value})")
        w.depth = depth


def _hash(w: Writer, kind: Type | None, v: str) -> str:
    """A hash of a value that does not depend on the codes that strings happen to have."""
    if kind is Type.STRING:
        w.arg("word_hash", I8, "word_hash")
        return f"hash_word(word_hash[{v}])"
    return f"hash_word(float_bits({v} + 0.0))" if kind is Type.FLOAT else f"hash_word({v})"


class GroupSink:
    """Folds rows into groups; intervals in pieces, for aggregates with expressions of the clock."""

    def __init__(self, w: Writer, sink: Group) -> None:
        self.w, self.sink = w, sink
        w.arg("keys", "i8[:,::1]", "group_keys")
        w.arg("table", "i4[::1]", "group_slots")
        w.arg("used", I8, "group_used")
        w.arg("words", I8, "group_words")
        places = least("keys.shape[0] - used[0]", *rooms(sink.aggs, w))
        self.views = views_of(sink.aggs)
        # An interval that is cut takes places for every piece, and is stopped for itself.
        self.full = f"{places} <= 0" if self.views else ""
        self.places = "" if self.views else places

    def before(self, x: Emitter) -> None:
        """Locals that outlive a row: the group of the row before, which is often the next row's, too."""
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
            w.put("if t >= since:")
            w.depth += 1
        if self.views:
            w.put(f"back = piece\npiece = np.int64({NO_PIECE})")
        lead = [j for j, a in enumerate(sink.aggs) if a.aggregate.name == "unknown_time"]
        if sink.intervals and not lead:
            # Before a key's first point nothing is known of it, not even that it exists.
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
        w.depth = depth

    def _fold(self, x: Emitter, j: int, a: BoundAgg, lead: list[int]) -> None:
        if self.sink.intervals and j not in lead and lead:
            with self.w.block("if known != 2:"):
                fold(self.w, x, j, a, "pg")
        else:
            fold(self.w, x, j, a, "pg")

    def _view(self, x: Emitter, n: int, view: list[int], lead: list[int]) -> None:
        """Fold the pieces into which the aggregates of one view cut the interval."""
        w, aggs = self.w, self.sink.aggs
        conditions = [c for c in _of_rows(aggs[view[0]]) if is_moving(c)]
        watched = list({repr(e): e for j in view for e in _moving_arguments(aggs[j])}.values())
        depth = w.depth
        # Conditions that the whole interval meets, or does not.
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
        """The number of the row's group, in ``pg``."""
        w = self.w
        # What is compared is each value as it stands, with whether it is one: a null's may be anything, and at worst
        # the same group is found again.
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
        # Flags are never those before the first row.
        differs = [f"{before} != {now}" for before, now in parts] + ([] if nulls else ["pg < 0"])
        with w.block(f"if {' or '.join(differs)}:"):
            w.put("\n".join(f"{before} = {now}" for before, now in parts))
            w.put("\n".join(f"words[{j}] = {word}" for j, word in enumerate(words)))
            w.put(f"pg = find_group(words, np.int64({len(words)}), keys, table, used)")


def views_of(aggs: tuple[BoundAgg, ...]) -> list[list[int]]:
    """The numbers of those aggregates that cut intervals, together those that cut them alike."""
    views: dict[str, list[int]] = {}
    for j, a in enumerate(aggs):
        arguments = _moving_arguments(a)
        if arguments or any(is_moving(c) for c in a.where):
            views.setdefault(repr((_of_rows(a), arguments)), []).append(j)
    return list(views.values())


def _moving_arguments(a: BoundAgg) -> list[Typed]:
    return [e for e in (a.argument, a.other) if e is not None and is_moving(e)]


def _of_rows(a: BoundAgg) -> list[Typed]:
    """Those conditions of an aggregate that are asked of the interval and an instant, not of a piece."""
    return [c for c in a.where if c.fn != "whole"]


def _at_piece(a: BoundAgg, named: Mapping[str, Typed]) -> BoundAgg:
    """The aggregate, with the values of the piece for what moves."""
    argument, other = (None if e is None else named.get(repr(e), e) for e in (a.argument, a.other))
    return replace(a, argument=argument, other=other, where=tuple(c for c in a.where if c.fn == "whole"))


class RowsSink:
    """Writes the rows that get here."""

    def __init__(self, w: Writer, sink: Rows) -> None:
        self.w, self.sink = w, sink
        self.full, self.places = "", "cap - on"

    def row(self, x: Emitter) -> None:
        """One row that has passed the stage's operations."""
        w = self.w
        depth = w.depth
        if self.sink.in_range:
            w.put("if t >= since:")
            w.depth += 1
        for j, (name, e) in enumerate(self.sink.columns):
            v, k = x.emit(e)
            out = w.arg(f"o{j}_v", value_array(e.type), "out", name)
            ok = w.arg(f"o{j}_k", "u1[::1]", "out_valid", name)
            w.put(f"{out}[on] = {v}\n{ok}[on] = {k}")
        w.put(f"on += 1\ns[{OUT_ROWS}] = on")
        w.depth = depth
