"""Sinks that end a metric's way through the rows: groups, and rows written out."""

from __future__ import annotations

from collections.abc import Mapping

from dataflow.codegen.expressions import Expressions, both
from dataflow.codegen.source import I4, I8, NO_PIECE, OUT_ROWS, PIECE, Writer, value_array
from dataflow.plan import BoundAgg, Group, Rows
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


def fold(w: Writer, x: Expressions, j: int, a: BoundAgg, g: str) -> None:
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
    """Folds rows, or intervals cut at bucket edges, into groups."""

    def __init__(self, w: Writer, sink: Group) -> None:
        self.w, self.sink = w, sink
        w.arg("keys", "i8[:,::1]", "group_keys")
        w.arg("table", "i4[::1]", "group_slots")
        w.arg("used", I8, "group_used")
        w.arg("words", I8, "group_words")
        places = least("keys.shape[0] - used[0]", *rooms(sink.aggs, w))
        # An interval that is cut takes a place for every piece, and is stopped for itself.
        self.full = f"{places} <= 0" if sink.cuts else ""
        self.places = "" if sink.cuts else places

    def before(self, x: Expressions) -> None:
        """Locals that outlive a row: the group of the row before, which is often the next row's, too."""
        n = len(self.sink.by)
        self.w.put("pg = np.int64(-1)")
        self.w.put("\n".join(f"p{j} = np.int64(0)\nq{j} = np.int64(-1)" for j in range(n)))
        if self.sink.cuts:
            self.w.put(f"piece = s[{PIECE}]\ns[{PIECE}] = {NO_PIECE}")
            x.is_new = f"piece == {NO_PIECE}"

    def row(self, x: Expressions) -> None:
        """One row that has passed the stage's operations."""
        w, sink = self.w, self.sink
        depth = w.depth
        if sink.in_range:
            w.put("if t >= since:")
            w.depth += 1
        if not sink.cuts:
            self._piece(x)
        else:
            w.put(f"ps = t if piece == {NO_PIECE} else piece\npiece = np.int64({NO_PIECE})")
            with w.block("while ps < e:"):
                with w.block(f"if {self.full}:"):
                    w.put(f"s[{PIECE}] = ps\nreturn i")
                w.put("pe = e")
                for cut in sink.cuts:
                    call = x.bucket(cut.option("every"), cut.option("zone"))
                    w.put(f"pe = min(pe, bucket_end(ps, {call}))")
                x.moved("ps", "pe")
                self._piece(x)
                w.put("ps = pe")
        w.depth = depth

    def _piece(self, x: Expressions) -> None:
        w, sink = self.w, self.sink
        lead = [j for j, a in enumerate(sink.aggs) if a.aggregate.name == "unknown_time"]
        if sink.intervals and not lead:
            # Before a key's first point nothing is known of it, not even that it exists.
            w.put("if known != 2:")
            w.depth += 1
        # What is compared is each value as it stands, with whether it is one: a null's may be anything, and at worst
        # the same group is found again.
        parts, words, nulls = [], [], []
        for j, (_, e) in enumerate(sink.by):
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
        for j, a in enumerate(sink.aggs):
            if sink.intervals and j not in lead and lead:
                with w.block("if known != 2:"):
                    fold(w, x, j, a, "pg")
            else:
                fold(w, x, j, a, "pg")


class RowsSink:
    """Writes the rows that get here."""

    def __init__(self, w: Writer, sink: Rows) -> None:
        self.w, self.sink = w, sink
        self.full, self.places = "", "cap - on"

    def row(self, x: Expressions) -> None:
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
