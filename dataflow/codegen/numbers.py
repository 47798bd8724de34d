"""Source of numbers in other units: decimals, and the bins of a histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflow.codegen.source import F8, I8
from dataflow.typed import Typed
from operators.types import Type

if TYPE_CHECKING:
    from dataflow.codegen.expressions import Expressions, Value


def _float(x: Expressions, value: float) -> str:
    """A scalar argument with this value."""
    x.w.tables.floats.append(value)
    return f"f_{len(x.w.tables.floats) - 1}"


def decimal_source(x: Expressions, e: Typed, v: str, k: str) -> Value:
    """A number as a whole count of its decimal's units; ``flags`` says where it is none."""
    x.w.arg("flags", I8, "flags")
    assert e.type is not None
    assert e.type.places is not None
    places, rounding, kind = e.type.places, str(e.option("rounding")), e.args[0].type
    if kind is Type.FLOAT:
        call = f"decimal_{rounding}({v}, {_float(x, float(10**places))}, flags)"
    else:
        assert kind is not None
        step = places - (kind.places or 0)
        if step == 0:
            return v, k
        fn = "finer" if step > 0 else f"coarser_{rounding}"
        call = f"{fn}({v}, {x.integer(10 ** abs(step))}, flags)"
    return x.name(f"{call} if {k} else np.int64(0)", k)


def bin_source(x: Expressions, e: Typed, v: str, k: str) -> Value:
    """The number of a histogram's bin."""
    is_float = e.args[0].type is Type.FLOAT
    edges = e.option("edges")
    if isinstance(edges, tuple):
        x.w.tables.listed.append(edges)
        j = len(x.w.tables.listed) - 1
        return x.name(f"bin_between({v}, {x.w.arg(f'listed_{j}', F8 if is_float else I8, 'listed', j)})", k)
    width = e.option("width")
    if not is_float:
        # No product is formed: the numbers of bins are never larger than the values.
        return x.name(f"{v} // {x.integer(int(str(width)))}", k)
    x.w.arg("flags", I8, "flags")
    call = f"bin_of_width({v}, {_float(x, float(str(width)))}, flags)"
    return x.name(f"{call} if {k} else np.int64(0)", k)
