"""Emits rounding, signs and bounds of numbers, and the least and greatest of several values."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.numbers import float_argument
from dataflow.expressions.functions import Function, clip_rule, extreme_rule, rounding_rule, sign_rule
from dataflow.typed.nodes import Typed
from operators.types import Type


@source(
    floor=Function(1, rounding_rule),
    ceil=Function(1, rounding_rule),
    round=Function(1, rounding_rule, defaults={"n": 0}),
)
def _rounded(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    n = int(str(e.option("n") or 0))
    if e.type is Type.FLOAT:
        unit = f"{float_argument(x, float(10 ** abs(n)))}, {x.integer(n)}" if e.fn == "round" else ""
        return x.name(f"rounded_float({v}, {unit})" if unit else f"np.{e.fn}({v})", k)
    assert e.type is not None
    drop = (e.type.places or 0) - n
    if drop <= 0:
        return v, k
    call = {"floor": "floored_units", "ceil": "raised_units", "round": "rounded_units"}[e.fn]
    return x.name(f"{call}({v}, {x.integer(10**drop)}, {x.flags(e)}) if {k} else np.int64(0)", k)


@source(sign=Function(1, sign_rule))
def _sign_of(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    if e.type is Type.FLOAT:
        return x.name(f"1.0 if {v} > 0.0 else -1.0 if {v} < 0.0 else 0.0", k)
    assert e.type is not None
    one = x.integer(10 ** (e.type.places or 0))
    return x.name(f"{one} if {v} > 0 else -{one} if {v} < 0 else np.int64(0)", k)


@source(
    least=Function(1, extreme_rule, any_number=True, of_df=True),
    greatest=Function(1, extreme_rule, any_number=True, of_df=True),
)
def _extreme(x: Emitter, e: Typed) -> Value:
    first, *rest = _alike(x, e)
    for other in rest:
        first = _better(x, e, first, other, "<=" if e.fn == "least" else ">=")
    return first


@source(clip=Function(3, clip_rule))
def _clip(x: Emitter, e: Typed) -> Value:
    value, low, high = _alike(x, e)
    v, _ = _better(x, e, _better(x, e, value, low, ">="), high, "<=")
    return v, value[1]


def _alike(x: Emitter, e: Typed) -> list[Value]:
    """The arguments as values of the result's type."""
    found = [(a, *x.emit(a)) for a in e.args]
    if e.type is not Type.FLOAT:
        return [(f"np.int64({v})" if a.type is None else v, k) for a, v, k in found]
    return [(x.as_float(v, a.type), k) for a, v, k in found]


def _better(x: Emitter, e: Typed, a: Value, b: Value, sign: str) -> Value:
    """The one of two values that are not null; or that which comes first."""
    (v, k), (w, j) = a, b
    if j == "False":
        return a
    if k == "False":
        return b
    keeps = f"float_order({v}) {sign} float_order({w})" if e.type is Type.FLOAT else f"{v} {sign} {w}"
    if j != "True":
        keeps = f"(not ({j}) or {keeps})"
    if k != "True":
        keeps = f"({k}) and {keeps}"
    return x.name(f"{v} if {keeps} else {w}", "True" if "True" in (k, j) else f"({k}) or ({j})")
