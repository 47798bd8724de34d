"""Emits the operations that a row passes before the sink, also those that only rows of some streams pass."""

from __future__ import annotations

from collections.abc import Iterable

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import I8, U1, both, value_array
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import AsOf, Branch, Keep, Merge, NullTally, RowOp
from operators.types import Type


def pass_operations(x: Emitter, ops: Iterable[RowOp]) -> None:
    """The operations, in the loop over rows: a row that is dropped goes no further."""
    for op in ops:
        if isinstance(op, NullTally):
            x.tally(op)
        elif isinstance(op, Keep):
            v, k = x.emit(op.condition)
            with x.w.block(f"if not ({both(k, v)}):"):
                x.w.put("continue")
        elif isinstance(op, Merge):
            _merge(x, op)
        elif isinstance(op, AsOf):
            _remember(x, op)
        else:
            x.emit(op.value)


def _merge(x: Emitter, op: Merge) -> None:
    w = x.w
    names = [(w.fresh("m"), w.fresh("k")) for _ in op.columns]
    for (v, k), column in zip(names, op.columns, strict=True):
        none = {Type.FLOAT: "0.0", Type.BOOL: "False"}.get(column.type or Type.INT, "np.int64(0)")
        w.put(f"{v} = {none}\n{k} = False")
    for branch in op.branches:
        if not branch.ops and all(value is None for value in branch.values):
            continue
        with w.block(f"if {x.emit(branch.condition)[0]}:"), x.scope():
            for (v, k), column, found in zip(names, op.columns, _values(x, branch), strict=True):
                if found is not None:
                    value = found[0] if column.type is Type.FLOAT else f"np.int64({found[0]})"
                    w.put(f"{v} = {value}{' != 0' if column.type is Type.BOOL else ''}\n{k} = {found[1]}")
    for name, column in zip(names, op.columns, strict=True):
        x.given(column, name)


def _remember(x: Emitter, op: AsOf) -> None:
    w = x.w
    with w.block(f"if {x.emit(op.branch.condition)[0]}:"), x.scope():
        for column, found in zip(op.columns, _values(x, op.branch), strict=True):
            value, valid = _kept(x, column)
            assert found is not None
            text = found[0] if column.type is Type.FLOAT else f"np.int64({found[0]})"
            w.put(f"{value}[slot] = {text}\n{valid}[slot] = {found[1]}")
        if op.tolerance is not None and op.columns:
            w.put(f"{_reported(x, op.columns[0])}[slot] = t")
        w.put("continue")


def _values(x: Emitter, branch: Branch) -> list[Value | None]:
    """The values of a branch, after its operations."""
    pass_operations(x, branch.ops)
    return [None if value is None else x.emit(value) for value in branch.values]


@source("as_of")
def _as_of(x: Emitter, e: Typed) -> Value:
    value, valid = _kept(x, e)
    text = f"{value}[slot]" + (" != 0" if e.type is Type.BOOL else "")
    known = f"{valid}[slot] != 0"
    tolerance = e.option("tolerance")
    if tolerance is not None:
        known += f" and t - {_reported(x, e)}[slot] <= {x.integer(int(str(tolerance)))}"
    return x.name(text, known)


def _kept(x: Emitter, column: Typed) -> tuple[str, str]:
    """The arrays of a remembered column: of each key, value and validity."""
    name = f"a{column.option('join')}_{column.option('column')}"
    x.w.arg(f"{name}_v", value_array(column.type), "slot", f"{name}_v")
    x.w.arg(f"{name}_k", U1, "slot", f"{name}_k")
    return f"{name}_v", f"{name}_k"


def _reported(x: Emitter, column: Typed) -> str:
    """The array of the times of the remembered rows."""
    name = f"a{column.option('join')}_t"
    return x.w.arg(name, I8, "slot", name)
