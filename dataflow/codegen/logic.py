"""Emits conditions: comparisons, three-valued (Kleene) logic, ``when`` and ``fill_null``."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.numbers import comparison_source
from dataflow.codegen.writer import F8, I8, both
from dataflow.expressions.functions import (
    Function,
    always,
    branches_rule,
    comparison_rule,
    logic_rule,
    membership_rule,
    same_rule,
    takes,
)
from dataflow.typed.nodes import Typed
from operators.types import Type


@source(
    eq=Function(2, comparison_rule),
    ne=Function(2, comparison_rule),
    lt=Function(2, comparison_rule),
    le=Function(2, comparison_rule),
    gt=Function(2, comparison_rule),
    ge=Function(2, comparison_rule),
    between=Function(3, comparison_rule),
)
def _compare(x: Emitter, e: Typed) -> Value:
    kinds = {a.type for a in e.args}
    if Type.STRING in kinds and e.fn not in ("eq", "ne"):
        v, k = x.emit(e.args[0])
        return _in_table(x, e.fn, tuple(a.option("value") for a in e.args[1:]), v, k)
    args = [x.emit(a) for a in e.args]
    values = [(v, a.type) for (v, _), a in zip(args, e.args, strict=True)]
    valid = both(*(k for _, k in args))
    if e.fn == "between":
        low, high = (comparison_source(x, fn, values[0], values[j]) for j, fn in ((1, "ge"), (2, "le")))
        return x.name(f"{low} and {high}", valid)
    return x.name(comparison_source(x, e.fn, values[0], values[1]), valid)


@source(and_=Function(2, logic_rule), or_=Function(2, logic_rule))
def _logic(x: Emitter, e: Typed) -> Value:
    (a, ka), (b, kb) = x.emit(e.args[0]), x.emit(e.args[1])
    if ka == kb == "True":
        return x.name(f"{a} {e.fn} {b}", "True")
    # Kleene: one deciding operand is enough, whatever the other one is.
    sign = "not " if e.fn == "and" else ""
    decided = x.w.fresh("d")
    x.w.put(f"{decided} = ({ka} and {sign}bool({a})) or ({kb} and {sign}bool({b}))")
    return x.name(f"not {decided}" if e.fn == "and" else decided, f"{decided} or ({ka} and {kb})")


@source(not_=Function(1, logic_rule))
def _not(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    return x.name(f"not {v}", k)


@source(is_null=Function(1, always(Type.BOOL)), is_not_null=Function(1, always(Type.BOOL)))
def _is_null(x: Emitter, e: Typed) -> Value:
    k = x.emit(e.args[0])[1]
    constant = {"True": "False", "False": "True"} if e.fn == "is_null" else {"True": "True", "False": "False"}
    return x.name(constant.get(k, f"not {k}" if e.fn == "is_null" else k), "True")


@source(is_in=Function(1, membership_rule, ("type", "values")))
def _membership(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    values = e.option("values")
    assert isinstance(values, tuple)
    kind = e.args[0].type
    if not values:
        return x.name("False", k)
    if kind is Type.STRING:
        return _in_table(x, "is_in", values, v, k)
    x.w.tables.listed.append(values)
    j = len(x.w.tables.listed) - 1
    table = x.w.arg(f"listed_{j}", F8 if kind is Type.FLOAT else I8, "listed", j)
    hit = x.w.fresh()
    x.w.put(f"{hit} = False")
    n = x.w.fresh("n")
    with x.w.block(f"for {n} in range({table}.shape[0]):"), x.w.block(f"if {table}[{n}] == {v}:"):
        x.w.put(f"{hit} = True")
    return hit, k


@source(
    starts_with=Function(1, takes(Type.STRING, Type.BOOL), ("prefix",)),
    contains=Function(1, takes(Type.STRING, Type.BOOL), ("text",)),
)
def _predicate(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    return _in_table(x, e.fn, e.option("prefix" if e.fn == "starts_with" else "text"), v, k)


def _in_table(x: Emitter, predicate: str, operand: object, v: str, k: str) -> Value:
    table = x.lut(predicate, operand)
    if k == "True":
        return x.name(f"{table}[{v}] != 0", k)
    return x.name(f"({table}[{v}] != 0) if {k} else False", k)


@source("rank")
def _rank(x: Emitter, e: Typed) -> Value:
    """The number of listed values below, plus the number not above: it changes wherever ``is_in`` does."""
    v, k = x.emit(e.args[0])
    values = e.option("values")
    assert isinstance(values, tuple)
    x.w.tables.listed.append(values)
    j = len(x.w.tables.listed) - 1
    table = x.w.arg(f"listed_{j}", F8 if e.args[0].type is Type.FLOAT else I8, "listed", j)
    rank, n = x.w.fresh(), x.w.fresh("n")
    x.w.put(f"{rank} = np.int64(0)")
    with x.w.block(f"for {n} in range({table}.shape[0]):"):
        x.w.put(f"{rank} += np.int64({table}[{n}] < {v}) + np.int64({table}[{n}] <= {v})")
    return rank, k


@source(fill_null=Function(2, same_rule))
def _fill(x: Emitter, e: Typed) -> Value:
    (a, ka), (b, kb) = x.emit(e.args[0]), x.emit(e.args[1])
    if ka == "True":
        return a, ka
    if e.type is Type.FLOAT:
        a, b = x.as_float(a, e.args[0].type), x.as_float(b, e.args[1].type)
    if ka == "False":
        return b, kb
    return x.name(f"{a} if {ka} else {b}", "True" if kb == "True" else f"{ka} or {kb}")


@source(when=Function(3, branches_rule))
def _when(x: Emitter, e: Typed) -> Value:
    c, kc = x.emit(e.args[0])
    v, k = x.w.fresh(), x.w.fresh("k")
    # Branches, so that a value that is not taken cannot overflow.
    for head, branch in ((f"if {both(c, kc)}:", e.args[1]), ("else:", e.args[2])):
        with x.w.block(head), x.scope():
            b, kb = x.emit(branch)
            zero = "False" if e.type is Type.BOOL else "0.0" if e.type is Type.FLOAT else "np.int64(0)"
            if branch.type is None:
                b = zero
            elif e.type is Type.FLOAT:
                b = x.as_float(b, branch.type)
            elif e.type is not Type.BOOL:
                b = f"np.int64({b})"
            x.w.put(f"{v} = {b}\n{k} = {kb}")
    return v, k
