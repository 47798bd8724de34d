"""Emits the code that folds a row into an aggregate's state."""

from __future__ import annotations

from collections.abc import Mapping

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import I4, I8, SourceWriter, both
from dataflow.typed.aggregates_bound import BoundAgg
from operators.contract import DATES, Aggregate, FloatSum
from operators.kernels.sums.float_sums import FILLED
from operators.kernels.sums.windowed_sums import LOGGED
from operators.types import Type

_TALLY = {"keys": "i8[:,::1]", "counts": I8, "slots": I4, "used": I8, "words": I8}


_PAIRS = {"groups": I8, "values": I8, "slots": I4, "used": I8}


def agg_arguments(w: SourceWriter, j: int, a: BoundAgg) -> list[str]:
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
        if a.aggregate.tally.is_dated:
            out += declared("tally", dict.fromkeys(DATES, I8), "tally_")
    return out


def rooms(aggs: tuple[BoundAgg, ...], w: SourceWriter) -> list[str]:
    """For each table of the aggregates, a lower bound of the rows that still fit."""
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
    """The minimum of expressions."""
    return f"min({', '.join(numbers)})" if len(numbers) > 1 else numbers[0]


def fold(w: SourceWriter, x: Emitter, j: int, a: BoundAgg, g: str) -> None:
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
        for e, name, flag in ((a.argument, "value", "cond"), (a.other, "other", "flag"), (a.before, "before", "")):
            if e is None:
                continue
            v, k = x.emit(e)
            given[name] = f"np.int64({v})" if e.type is Type.BOOL else v
            given[flag] = both(k, f"bool({v})")
            # Nulls are skipped, except by aggregates of conditions, for which a null is not true.
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


def _hash(w: SourceWriter, kind: Type | None, v: str) -> str:
    """A hash of a value that does not depend on string codes."""
    if kind is Type.STRING:
        w.arg("word_hash", I8, "word_hash")
        return f"hash_word(word_hash[{v}])"
    return f"hash_word(float_bits({v} + 0.0))" if kind is Type.FLOAT else f"hash_word({v})"
