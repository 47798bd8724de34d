"""Emits functions of a key's earlier rows: last, previous, changed, running sums, increases."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.scan_code import scanned
from dataflow.codegen.writer import I8, U1, Codes, PairUse, both, value_array
from dataflow.expressions.functions import (
    ANY,
    FUNCTIONS,
    Function,
    always,
    number_rule,
    ordered_rule,
    real_rule,
    same_rule,
)
from dataflow.typed.hidden_columns import CUT, WHOLE
from dataflow.typed.nodes import Typed
from operators.kernels.sums.running_sums import WIDTH
from operators.types import Type

_WITHIN = ("within",)


@source(
    "before",
    "increase",
    "elapsed",
    "apart",
    last=Function(1, same_rule, ("hold",), more=_WITHIN),
    previous=Function(1, same_rule, defaults={"rows": 1}, more=_WITHIN),
    first=Function(1, same_rule, more=_WITHIN),
    changed=Function(1, always(Type.BOOL), more=_WITHIN),
    row_number=Function(1, always(Type.INT), more=_WITHIN),
    cumulative_sum=Function(1, number_rule, more=_WITHIN),
    cumulative_max=Function(1, ordered_rule, more=_WITHIN),
    cumulative_min=Function(1, ordered_rule, more=_WITHIN),
    scan=Function(ANY, always(Type.FLOAT), ("name",)),
    ewm=Function(1, real_rule, ("half_life",), more=_WITHIN),
)
def _stateful(x: Emitter, e: Typed) -> Value:
    pairs = x.has_early and (e.fn in FUNCTIONS or e.fn == "apart")
    if not (x.is_new or pairs):
        return _remembering(x, e)
    # These functions must see each row once: the result is stored for a resumed row. The part of a row that lies in the
    # range comes after the whole row, and has the result of the whole.
    w = x.w
    once = [x.is_new] if x.is_new else []
    if pairs:
        whole = w.arg(f"q{e.site}_w", U1, "slot", f"q{e.site}_w")
        once.append(f"(early != {CUT} or {whole}[slot] == 0)")
    out = w.arg(f"q{e.site}_out", value_array(e.type), "slot", f"q{e.site}_out")
    valid = w.arg(f"q{e.site}_ok", U1, "slot", f"q{e.site}_ok")
    with w.block(f"if {' and '.join(once)}:"), x.scope():
        v, k = _remembering(x, e)
        w.put(f"{out}[slot] = {v}\n{valid}[slot] = {k}")
        if pairs:
            w.put(f"{whole}[slot] = np.uint8(early == {WHOLE})")
    # The part of a row in the range starts with the range, where nothing changes.
    begins = f" and early != {CUT}" if pairs and e.fn == "changed" else ""
    return x.name(f"{out}[slot]" + (f" != 0{begins}" if e.type is Type.BOOL else ""), f"{valid}[slot] != 0")


def _remembering(x: Emitter, e: Typed) -> Value:
    w = x.w
    if e.fn == "apart":
        return _apart(x, e)
    if e.fn == "scan":
        return scanned(x, e)
    v, k = x.emit(e.args[0])
    kind = e.args[0].type
    if e.fn == "ewm":
        v, kind = x.as_float(v, kind), Type.FLOAT
    if kind is Type.BOOL:
        v = f"np.int64({v})"
    begins = _begins_anew(x, e)
    if e.fn == "previous" and (rows := int(str(e.option("rows") or 1))) > 1:
        return _rows_before(x, e, v, k, begins, rows)
    if e.fn == "row_number":
        number = w.arg(f"q{e.site}_n", I8, "slot", f"q{e.site}_n")
        if begins:
            with w.block(f"if {begins}:"):
                w.put(f"{number}[slot] = 0")
        with w.block(f"if {k}:"):
            w.put(f"{number}[slot] += 1")
        return x.name(f"{number}[slot]", k)
    kept = w.arg(f"q{e.site}_v", value_array(kind), "slot", f"q{e.site}_v")
    has = w.arg(f"q{e.site}_k", U1, "slot", f"q{e.site}_k")
    back = f"{kept}[slot]" + (" != 0" if kind is Type.BOOL else "")
    if begins:
        with w.block(f"if {begins}:"):
            w.put(f"{has}[slot] = 0\n{kept}[slot] = 0")
            if e.fn == "cumulative_sum" and kind is Type.FLOAT:
                w.put(f"{w.arg(f'q{e.site}_d', 'i8[:,::1]', 'slot', f'q{e.site}_d', WIDTH)}[slot, :] = 0")
    if e.fn == "first":
        with w.block(f"if {k} and {has}[slot] == 0:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
        return x.name(back, f"{has}[slot] != 0")
    if e.fn in ("cumulative_max", "cumulative_min"):
        a, b = (f"float_order({s})" if kind is Type.FLOAT else s for s in (v, back))
        beats = f"{a} {'>' if e.fn == 'cumulative_max' else '<'} {b}"
        with w.block(f"if {both(k, f'({has}[slot] == 0 or {beats})')}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
        return x.name(back, f"{has}[slot] != 0")
    if e.fn == "previous":
        out = x.name(back, f"{has}[slot] != 0")
        w.put(f"{kept}[slot] = {v}\n{has}[slot] = {k}")
        return out
    if e.fn == "changed":
        out = x.name(f"{k} and {has}[slot] != 0 and {kept}[slot] != {v}", "True")
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
        return out
    if e.fn == "cumulative_sum":
        valid = f"{has}[slot] != 0"
        with w.block(f"if {k}:"):
            if kind is Type.FLOAT:
                digits = w.arg(f"q{e.site}_d", "i8[:,::1]", "slot", f"q{e.site}_d", WIDTH)
                w.put(f"add_digits(slot, {digits}, {v})\n{kept}[slot] = rounded(slot, {digits})")
                valid += f" and is_a_sum(slot, {digits}, {kept}[slot])"
            else:
                w.put(f"{kept}[slot] = checked_add({kept}[slot], {v}, {x.flags(e)})")
            w.put(f"{has}[slot] = 1")
        return x.name(back, valid)
    if e.fn == "ewm":
        of = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
        mixed = f"weighted_mean({kept}[slot], {v}, {x.time} - {of}[slot], {x.integer(int(str(e.option('half_life'))))})"
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {mixed} if {has}[slot] != 0 else {v}\n{has}[slot] = 1\n{of}[slot] = {x.time}")
        return x.name(back, f"{has}[slot] != 0")
    if e.fn in ("before", "increase"):
        out = _since_report(x, e, v, k, back, f"{has}[slot] != 0")
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
        return out
    hold = e.option("hold")
    since = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
    # A piece continues with the report at its interval's start.
    at = x.emit(e.args[1])[0] if e.fn == "elapsed" and len(e.args) > 1 else x.time
    if e.fn == "elapsed":
        out = x.name(f"{x.time} - {since}[slot]", both(k, f"{has}[slot] != 0"))
    with w.block(f"if {k}:"):
        w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1\n{since}[slot] = {at}")
    if e.fn == "elapsed":
        return out
    fresh = "" if hold is None else f" and {x.time} - {since}[slot] <= {x.integer(int(str(hold)))}"
    return x.name(back, f"{has}[slot] != 0{fresh}")


def _begins_anew(x: Emitter, e: Typed) -> str:
    """The condition that ``within`` differs from that of the key's row before; empty without it."""
    if len(e.args) < 2 or e.fn == "elapsed":
        return ""
    w, of = x.w, e.args[1]
    v, k = x.emit(of)
    v = f"float_bits({v} + 0.0)" if of.type is Type.FLOAT else f"np.int64({v})"
    kind = Codes(I8) if of.type is not None and of.type.is_text else I8
    before = w.arg(f"q{e.site}_in", kind, "slot", f"q{e.site}_in")
    known = w.arg(f"q{e.site}_in_ok", U1, "slot", f"q{e.site}_in_ok")
    # Before the first row there is nothing to forget.
    now, _ = x.name(f"{v} if {k} else np.int64(0)", "True")
    begins, _ = x.name(f"{before}[slot] != {now} or ({known}[slot] != 0) != ({k})", "True")
    w.put(f"{before}[slot] = {now}\n{known}[slot] = {k}")
    return begins


def _rows_before(x: Emitter, e: Typed, v: str, k: str, begins: str, rows: int) -> Value:
    """The value ``rows`` rows before, from a ring of that many values."""
    w, kind = x.w, e.args[0].type
    kept = w.arg(f"q{e.site}_v", value_array(kind), "slot", f"q{e.site}_v", rows)
    has = w.arg(f"q{e.site}_k", U1, "slot", f"q{e.site}_k", rows)
    at = w.arg(f"q{e.site}_p", I8, "slot", f"q{e.site}_p")
    if begins:
        with w.block(f"if {begins}:"), w.block(f"for j in range({rows}):"):
            w.put(f"{has}[slot * np.uint64({rows}) + np.uint64(j)] = 0")
    # Within the ring whatever a state from outside says.
    place, _ = x.name(f"slot * np.uint64({rows}) + np.uint64({at}[slot]) % np.uint64({rows})", "True")
    back = f"{kept}[{place}]" + (" != 0" if kind is Type.BOOL else "")
    out = x.name(back, f"{has}[{place}] != 0")
    w.put(f"{kept}[{place}] = {v}\n{has}[{place}] = {k}")
    w.put(f"{at}[slot] += 1")
    return out


def word_of(x: Emitter, e: Typed) -> Value:
    """The value as the word that stands for it in tables of pairs, and its validity; -0.0 is 0.0."""
    v, k = x.emit(e)
    return (f"float_bits({v} + 0.0)" if e.type is Type.FLOAT else f"np.int64({v})"), k


def _apart(x: Emitter, e: Typed) -> Value:
    """Whether the value was not there in the time before, since a row for which this was true; true for null.

    A table has each value of a key and until when it is a repetition.
    """
    w, name = x.w, f"q{e.site}_seen"
    v, k = word_of(x, e.args[0])
    seen = w.pairs(name, PairUse(last_times=f"q{e.site}_t"))
    last = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
    kept, at, known = w.fresh(), w.fresh(), w.fresh()
    w.put(f"{kept} = True\n{last}[slot] = {x.time}")
    with w.block(f"if {k}:"):
        w.put(f"{name}_words[0] = np.int64(slot)\n{name}_words[1] = {v}")
        w.put(f"{known} = {name}_used[0]\n{at} = find_group({seen})")
        w.put(f"{kept} = {at} == {known} or {x.time} > {name}_numbers[{at}]")
        with w.block(f"if {kept}:"):
            w.put(f"{name}_numbers[{at}] = {x.time} + {x.integer(int(str(e.option('within'))))}")
    return kept, "True"


def _since_report(x: Emitter, e: Typed, v: str, k: str, back: str, known: str) -> Value:
    """The previously reported value, or a counter's increment since then: the whole value after a reset."""
    before, valid = x.name(back, both(k, known))
    if e.fn == "before":
        return before, valid
    if e.type is Type.FLOAT:
        return x.name(f"counter_step({before}, {v}) if {valid} else 0.0", valid)
    grown = f"checked_sub({v}, {before}, {x.flags(e)}) if {v} >= {before} else {v}"
    return x.name(f"({grown}) if {valid} else np.int64(0)", valid)
