"""Emits the leaves of expressions: constants, columns, and the row's time."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import I8, U1, column_array
from dataflow.expressions.functions import Function, always
from dataflow.typed.hidden_columns import INPUT
from dataflow.typed.nodes import Typed
from operators.types import Type


@source("lit")
def _literal(x: Emitter, e: Typed) -> Value:
    value = e.option("value")
    if value is None:
        return "np.int64(0)", "False"
    if e.type is Type.BOOL:
        return f"({x.integer(int(bool(value)))} != 0)", "True"
    if e.type is Type.FLOAT:
        assert isinstance(value, float)
        x.w.tables.floats.append(value)
        return f"f_{len(x.w.tables.floats) - 1}", "True"
    assert isinstance(value, int | str)
    return x.integer(value), "True"


@source(time=Function(0, always(Type.TIME)))
def _time(x: Emitter, e: Typed) -> Value:
    return x.time, "True"


@source("end")
def _end(x: Emitter, e: Typed) -> Value:
    return x.end, "True"


@source("begin")
def _begin(x: Emitter, e: Typed) -> Value:
    return "t", "True"


@source("whole")
def _whole(x: Emitter, e: Typed) -> Value:
    return x.name(f"{x.time} == {x.emit(e.args[0])[0]}", "True")


@source("now")
def _now(x: Emitter, e: Typed) -> Value:
    assert x.now, "the clock of an interval, where nothing cuts it"
    return x.now, "True"


@source("local")
def _local(x: Emitter, e: Typed) -> Value:
    return str(e.option("value")), str(e.option("valid"))


@source("slot")
def _slot(x: Emitter, e: Typed) -> Value:
    x.w.arg("slot_key", I8, "slot_key")
    return x.name("slot_key[slot]", "True")


@source("from_input")
def _from_input(x: Emitter, e: Typed) -> Value:
    masks = x.w.tables.masks
    if (INPUT, "value") not in masks:
        masks += [(INPUT, "value"), (INPUT, "valid")]
    j = masks.index((INPUT, "value")) // 2
    x.w.arg(f"v_{j}", U1, "column", INPUT)
    numbers = e.option("numbers")
    assert isinstance(numbers, tuple)
    return x.name(" or ".join(f"v_{j}[u & mv_{j}] == {n}" for n in numbers), "True")


@source("in")
def _input(x: Emitter, e: Typed) -> Value:
    name, kind = str(e.option("name")), e.type
    assert kind is not None
    w = x.w
    masks = w.tables.masks
    if (name, "value") not in masks:
        masks += [(name, "value"), (name, "valid")]
    j = masks.index((name, "value")) // 2
    w.arg(f"v_{j}", column_array(kind), "column", name)
    w.arg(f"a_{j}", U1, "valid", name)
    text = f"v_{j}[u & mv_{j}]"
    if kind is Type.BOOL:
        text += " != 0"
    elif kind.is_text:
        text = f"np.int64({text})"
    return x.name(text, f"a_{j}[u & ma_{j}] != 0")
