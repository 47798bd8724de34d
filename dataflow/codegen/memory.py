"""Emits functions of a key's earlier rows: last, previous, changed, running sums, increases."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.scan_code import scanned
from dataflow.codegen.writer import I8, U1, both, value_array
from dataflow.expressions.functions import ANY, FUNCTIONS, Function, always, number_rule, same_rule
from dataflow.typed.hidden_columns import CUT, WHOLE
from dataflow.typed.nodes import Typed
from operators.kernels.sums.running_sums import WIDTH
from operators.types import Type


@source(
    "before",
    "increase",
    "elapsed",
    last=Function(1, same_rule, ("hold",)),
    previous=Function(1, same_rule),
    changed=Function(1, always(Type.BOOL)),
    cumulative_sum=Function(1, number_rule),
    scan=Function(ANY, always(Type.FLOAT), ("name",)),
)
def _stateful(x: Emitter, e: Typed) -> Value:
    pairs = x.has_early and e.fn in FUNCTIONS
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
    if e.fn == "scan":
        return scanned(x, e)
    v, k = x.emit(e.args[0])
    kind = e.args[0].type
    if kind is Type.BOOL:
        v = f"np.int64({v})"
    kept = w.arg(f"q{e.site}_v", value_array(kind), "slot", f"q{e.site}_v")
    has = w.arg(f"q{e.site}_k", U1, "slot", f"q{e.site}_k")
    back = f"{kept}[slot]" + (" != 0" if kind is Type.BOOL else "")
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
    if e.fn in ("before", "increase"):
        out = _since_report(x, e, v, k, back, f"{has}[slot] != 0")
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
        return out
    hold = e.option("hold")
    since = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
    # A piece continues with the report at its interval's start.
    at = x.emit(e.args[1])[0] if len(e.args) > 1 else x.time
    if e.fn == "elapsed":
        out = x.name(f"{x.time} - {since}[slot]", both(k, f"{has}[slot] != 0"))
    with w.block(f"if {k}:"):
        w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1\n{since}[slot] = {at}")
    if e.fn == "elapsed":
        return out
    fresh = "" if hold is None else f" and {x.time} - {since}[slot] <= {x.integer(int(str(hold)))}"
    return x.name(back, f"{has}[slot] != 0{fresh}")


def _since_report(x: Emitter, e: Typed, v: str, k: str, back: str, known: str) -> Value:
    """The previously reported value, or a counter's increment since then: the whole value after a reset."""
    before, valid = x.name(back, both(k, known))
    if e.fn == "before":
        return before, valid
    if e.type is Type.FLOAT:
        return x.name(f"counter_step({before}, {v}) if {valid} else 0.0", valid)
    grown = f"checked_sub({v}, {before}, {x.flags(e)}) if {v} >= {before} else {v}"
    return x.name(f"({grown}) if {valid} else np.int64(0)", valid)
