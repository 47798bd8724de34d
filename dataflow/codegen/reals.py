"""Emits functions of real numbers: null outside of their domain, and where the result is too large."""

from __future__ import annotations

import sys

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import both
from dataflow.expressions.functions import Function, real_rule
from dataflow.typed.nodes import Typed

_LARGEST = sys.float_info.max
_ONE, _TWO = Function(1, real_rule), Function(2, real_rule)
_CALLS = {
    "sqrt": "square_root",
    "exp": "exponential",
    "log": "logarithm",
    "log2": "logarithm_2",
    "log10": "logarithm_10",
    "pow": "power",
    "sin": "sine",
    "cos": "cosine",
    "tan": "tangent",
    "asin": "arc_sine",
    "acos": "arc_cosine",
    "atan": "arc_tangent",
    "atan2": "arc_tangent_2",
    "radians": "in_radians",
    "degrees": "in_degrees",
    "haversine": "great_circle",
}
"""The kernel of each function; all take any float, and give NaN or an infinity where there is no result."""


@source(
    sqrt=_ONE, exp=_ONE, log=_ONE, log2=_ONE, log10=_ONE, sin=_ONE, cos=_ONE, tan=_ONE, asin=_ONE, acos=_ONE,
    atan=_ONE, radians=_ONE, degrees=_ONE, pow=_TWO, atan2=_TWO, haversine=Function(4, real_rule, of_df=True),
)  # fmt: skip
def _real(x: Emitter, e: Typed) -> Value:
    args = [x.emit(a) for a in e.args]
    valid = both(*(k for _, k in args))
    given = ", ".join(x.as_float(v, a.type) for (v, _), a in zip(args, e.args, strict=True))
    call = f"{_CALLS[e.fn]}({given})"
    v, _ = x.name(call if valid == "True" else f"({call}) if {valid} else 0.0", "True")
    return x.name(v, both(valid, f"(abs({v}) <= {_LARGEST!r})"))
