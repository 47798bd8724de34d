"""Emits scans: a user's function of a key's state and of the row's values."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value
from dataflow.codegen.writer import F8, I8, U1, both
from dataflow.typed.nodes import Typed
from operators.scans import find_scan
from operators.types import Type

STEP = "scan_"
"""Prefix of the names of steps in a kernel's source."""


def scanned(x: Emitter, e: Typed) -> Value:
    """One step of the scan ``e``, for a row that reports all values; a row that does not changes nothing."""
    w = x.w
    name = str(e.option("name"))
    scan = find_scan(name)
    assert scan is not None
    given, valid = [], []
    for a, kind in zip(e.args, scan.arguments, strict=True):
        v, k = x.emit(a)
        given.append(f"np.float64({v})" if kind is Type.FLOAT else f"np.int64({v})")
        valid.append(k)
    begun = w.arg(f"q{e.site}_k", U1, "slot", f"q{e.site}_k")
    arrays, locals_, first = [], [], []
    for j, value in enumerate(scan.init):
        dtype = "float64" if isinstance(value, float) else "int64"
        array = w.arg(f"q{e.site}_s{j}", F8 if dtype == "float64" else I8, "slot", f"q{e.site}_s{j}")
        arrays.append((array, dtype))
        locals_.append(w.fresh("s"))
        if isinstance(value, float):
            w.tables.floats.append(value)
            first.append(f"f_{len(w.tables.floats) - 1}")
        else:
            first.append(x.integer(value))
    out, ok = w.fresh(), w.fresh("k")
    w.put(f"{out} = np.{'float64' if e.type is Type.FLOAT else 'int64'}(0)\n{ok} = False")
    with w.block(f"if {both(*valid)}:"):
        for local, (array, _), begin in zip(locals_, arrays, first, strict=True):
            w.put(f"{local} = {array}[slot] if {begun}[slot] != 0 else {begin}")
        found = w.fresh("y")
        w.put(f"{', '.join([*locals_, found])} = {STEP}{name}({', '.join([*locals_, *given])})")
        for local, (array, dtype) in zip(locals_, arrays, strict=True):
            w.put(f"{array}[slot] = np.{dtype}({local})")
        w.put(f"{begun}[slot] = 1")
        if e.type is Type.FLOAT:
            # Infinities and what is no number are null, as elsewhere.
            w.put(f"{out} = np.float64({found})\n{ok} = {out} - {out} == 0.0")
        else:
            w.put(f"{out} = np.int64({found})\n{ok} = True")
    return (f"{out} != 0" if e.type is Type.BOOL else out), ok
