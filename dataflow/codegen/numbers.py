"""Emits conversions of numbers: decimals, bins of histograms, comparisons across types."""

from __future__ import annotations

from decimal import Decimal

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import F8, I8
from dataflow.expressions.functions import Function, decimal_rule
from dataflow.typed.nodes import Typed
from operators.types import MAX_PLACES, Type

MIDDLE = 3_500_000_000_000_000
"""A time, from which that of every calendar year is a float without rounding."""


def float_argument(x: Emitter, value: float) -> str:
    """A scalar argument with this value."""
    x.w.tables.floats.append(value)
    return f"f_{len(x.w.tables.floats) - 1}"


@source(decimal=Function(1, decimal_rule, ("places", "rounding")))
def decimal_source(x: Emitter, e: Typed) -> Value:
    """A number as a count of its decimal's units; an error of the row if it is not one."""
    v, k = x.emit(e.args[0])
    flags = x.flags(e)
    assert e.type is not None
    assert e.type.places is not None
    places, rounding, kind = e.type.places, str(e.option("rounding")), e.args[0].type
    if kind is Type.FLOAT:
        unit = float_argument(x, float(10**places))
        nearest = "" if rounding == "exact" else f" {x.integer(places)},"
        call = f"decimal_{rounding}({v}, {unit},{nearest} {flags})"
    else:
        assert kind is not None
        step = places - (kind.places or 0)
        if step == 0:
            return v, k
        fn = "finer" if step > 0 else f"coarser_{rounding}"
        call = f"{fn}({v}, {x.integer(10 ** abs(step))}, {flags})"
    return x.name(f"{call} if {k} else np.int64(0)", k)


@source("decimal_float")
def decimal_float_source(x: Emitter, e: Typed) -> Value:
    """The float nearest to a decimal."""
    v, k = x.emit(e.args[0])
    return x.name(f"decimal_float({v}, {float_argument(x, float(10 ** _places(e.args[0].type)))})", k)


@source("in_order")
def _in_order(x: Emitter, e: Typed) -> Value:
    """A value that is no string as an integer: the count of its unit, or for floats one of the same order."""
    v, k = x.emit(e.args[0])
    return x.name(f"float_order({v} + 0.0)" if e.args[0].type is Type.FLOAT else f"np.int64({v})", k)


@source("nearest_float")
def _nearest_float(x: Emitter, e: Typed) -> Value:
    """The float nearest to a number or a duration, or to a time counted from ``MIDDLE``."""
    kind = e.args[0].type
    if kind is not None and kind.places is not None:
        return decimal_float_source(x, e)
    v, k = x.emit(e.args[0])
    return x.name(f"np.float64({v} - np.int64({MIDDLE}))" if kind is Type.TIME else f"np.float64({v})", k)


@source("bin")
def bin_source(x: Emitter, e: Typed) -> Value:
    """The number of a histogram's bin."""
    v, k = x.emit(e.args[0])
    is_float = e.args[0].type is Type.FLOAT
    edges = e.option("edges")
    if isinstance(edges, tuple):
        x.w.tables.listed.append(edges)
        j = len(x.w.tables.listed) - 1
        return x.name(f"bin_between({v}, {x.w.arg(f'listed_{j}', F8 if is_float else I8, 'listed', j)})", k)
    width = e.option("width")
    if not is_float:
        # No overflow: the numbers of bins are never larger than the values.
        return x.name(f"{v} // {x.integer(int(str(width)))}", k)
    flags = x.flags(e)
    sizes = [float_argument(x, float(str(width))), *(x.integer(n) for n in _written(float(str(width))))]
    return x.name(f"bin_of_width({v}, {', '.join(sizes)}, {flags}) if {k} else np.int64(0)", k)


def _written(value: float) -> tuple[int, int]:
    """The shortest decimal that reads back as the positive float, as digits and an exponent of ten."""
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    return int("".join(map(str, digits))), exponent


_ORDER = {"eq": "{} == 0", "ne": "{} != 0", "lt": "{} < 0", "le": "{} <= 0", "gt": "{} == 1", "ge": "0 <= {} <= 1"}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_PLAIN = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def comparison_source(x: Emitter, fn: str, a: tuple[str, Type | None], b: tuple[str, Type | None]) -> str:
    """The exact comparison of two values of these types, without rounding either to a float."""
    (v, of), (w, other) = a, b
    finer = None not in (of, other) and _places(of) > _places(other)
    if (of is Type.FLOAT and other not in (Type.FLOAT, None)) or finer:
        # The float, or the finer decimal, is the second.
        return comparison_source(x, _MIRRORED.get(fn, fn), b, a)
    if None in (of, other) or of is other or _places(of) == _places(other):
        return f"{v} {_PLAIN[fn]} {w}"
    if other is not Type.FLOAT:
        found = f"coarse_against_fine({v}, {w}, {x.integer(10 ** (_places(other) - _places(of)))})"
    elif of is Type.INT:
        found = f"integer_against_float({v}, {w})"
    else:
        found = (
            f"decimal_against_float({v}, {w}, {float_argument(x, float(10 ** _places(of)))}, {x.integer(_places(of))})"
        )
    order = x.w.fresh("c")
    x.w.put(f"{order} = {found}")
    return _ORDER[fn].format(order)


def _places(kind: Type | None) -> int:
    """Decimal places of a number; for a float, more than any decimal has."""
    return MAX_PLACES + 1 if kind is Type.FLOAT else 0 if kind is None or kind.places is None else kind.places
