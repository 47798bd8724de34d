"""Emits arithmetic: checked for integers, null where a float result is too large."""

from __future__ import annotations

import sys

from dataflow.codegen.clocks import moved_time
from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import both
from dataflow.expressions.functions import (
    Function,
    additive_rule,
    floor_rule,
    number_rule,
    product_rule,
    quotient_rule,
    remainder_rule,
)
from dataflow.typed.nodes import Typed
from operators.types import Type

_LARGEST = sys.float_info.max
_CHECKED = {"add": "checked_add", "sub": "checked_sub", "mul": "checked_mul", "floordiv": "floor_div"}
_PLAIN = {"add": "+", "sub": "-", "mul": "*"}
_FLOAT_CALL = {"floordiv": "float_floor_div", "mod": "float_mod"}


@source(neg=Function(1, number_rule), abs=Function(1, number_rule))
def _sign(x: Emitter, e: Typed) -> Value:
    v, k = x.emit(e.args[0])
    if e.type is Type.FLOAT:
        return x.name(f"-{v}" if e.fn == "neg" else f"abs({v})", k)
    flags = x.flags(e)
    if e.fn == "neg":
        return x.name(f"checked_neg({v}, {flags}) if {k} else np.int64(0)", k)
    return x.name(f"(checked_neg({v}, {flags}) if {v} < 0 else {v}) if {k} else np.int64(0)", k)


@source(
    add=Function(2, additive_rule("+")),
    sub=Function(2, additive_rule("-")),
    mul=Function(2, product_rule),
    div=Function(2, quotient_rule),
    floordiv=Function(2, floor_rule),
    mod=Function(2, remainder_rule),
)
def _arithmetic(x: Emitter, e: Typed) -> Value:
    args = [x.emit(a) for a in e.args]
    if e.type is Type.TIME:
        return moved_time(x, e, args)
    (a, ka), (b, kb) = args
    valid = both(ka, kb)
    kinds = [a.type for a in e.args]
    if e.type is Type.DURATION and (e.fn == "div" or Type.FLOAT in kinds):
        return _length(x, e, args)
    if e.fn == "div" or e.type is Type.FLOAT:
        a, b = x.as_float(a, kinds[0]), x.as_float(b, kinds[1])
        if e.fn in _PLAIN:
            return _finite(x, f"{a} {_PLAIN[e.fn]} {b}", valid)
        valid = both(valid, f"({b} != 0.0)")
        call = f"{a} / {b}" if e.fn == "div" else f"{_FLOAT_CALL[e.fn]}({a}, {b})"
        return _finite(x, f"({call}) if {valid} else 0.0", valid)
    if e.fn in ("floordiv", "mod"):
        valid = both(valid, f"({b} != 0)")
    call = f"floor_mod({a}, {b})" if e.fn == "mod" else f"{_CHECKED[e.fn]}({a}, {b}, {x.flags(e)})"
    return x.name(f"({call}) if {valid} else np.int64(0)", valid)


def _length(x: Emitter, e: Typed, args: list[Value]) -> Value:
    """A duration times or divided by a number, to the microsecond; null for division by 0."""
    number = 0 if e.args[1].type is Type.DURATION else 1
    (a, ka), (b, kb) = args[1 - number], args[number]
    valid, flags = both(ka, kb), x.flags(e)
    if e.args[number].type is not Type.FLOAT:
        valid = both(valid, f"({b} != 0)")
        call = f"length_by_integer({a}, {b}, {flags})"
    elif e.fn == "mul":
        valid = both(valid, f"(abs({b}) <= {_LARGEST!r})")
        call = f"length_times({a}, {b}, {flags})"
    else:
        valid = both(valid, f"({b} != 0.0)", f"({b} == {b})")
        call = f"length_by({a}, {b}, {e.fn == 'floordiv'}, {flags})"
    return x.name(f"({call}) if {valid} else np.int64(0)", valid)


def _finite(x: Emitter, text: str, valid: str) -> Value:
    """A float, null where it is too large."""
    v, _ = x.name(text, "True")
    return x.name(v, both(valid, f"(abs({v}) <= {_LARGEST!r})"))
