"""Emits casts: an error of the row, or null, where a value has no exact counterpart."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.numbers import decimal_float_source
from dataflow.codegen.texts import word_source
from dataflow.codegen.writer import both
from dataflow.expressions.functions import Function, always
from dataflow.typed.nodes import Typed
from operators.types import Type


@source(cast=Function(1, always(Type.INT), ("type",)), try_cast=Function(1, always(Type.INT), ("type",)))
def _cast(x: Emitter, e: Typed) -> Value:
    (of,) = e.args
    v, k = x.emit(of)
    if of.type is e.type:
        return v, k
    value, exact = _exact(x, e, of, v, k)
    if e.fn == "try_cast":
        return value, x.name(both(k, exact), "True")[0] if exact != "True" else k
    if exact != "True":
        flags = x.flags(e)
        with x.w.block(f"if {both(k, f'not ({exact})')}:"):
            x.w.put(f"noted(1, {flags})")
    return value, k


def _exact(x: Emitter, e: Typed, of: Typed, v: str, k: str) -> Value:
    """The value of the type, and the condition that it is exact."""
    assert of.type is not None
    if of.type is Type.STRING:
        return word_source(x, Typed("read", e.type, (of,), (("type", str(e.type)),)))
    if of.type is Type.BOOL:
        return x.name(f"np.float64({v})" if e.type is Type.FLOAT else f"np.int64({v})", "True")
    if e.type is Type.BOOL:
        return x.name(f"{v} != 0", f"({v} == 0 or {v} == 1)")
    if e.type is Type.INT and of.type is Type.FLOAT:
        ok, _ = x.name(
            f"{v} == np.floor({v}) and -9223372036854775808.0 <= {v} and {v} < 9223372036854775808.0", "True"
        )
        return x.name(f"np.int64({v}) if {both(k, ok)} else np.int64(0)", ok)
    if e.type is Type.INT:
        unit = x.integer(10 ** (of.type.places or 0))
        return x.name(f"{v} // {unit}", f"({v} % {unit} == 0)")
    if of.type is Type.INT:
        return x.name(f"np.float64({v})", f"(integer_against_float({v}, np.float64({v})) == 0)")
    found, _ = decimal_float_source(x, Typed("decimal_float", Type.FLOAT, (of,)))
    # With at most 15 digits, no two decimals have the same nearest float.
    return found, f"(abs({v}) < {10**15})"
