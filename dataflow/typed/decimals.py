"""Decimals in expressions: scaled integers with known places, computed with integer arithmetic.

Sums and differences have the places of the finer operand, products the places of both. In arithmetic with a float, in a
quotient, and as the factor of a duration, a decimal becomes the nearest float. In comparisons the float becomes a
decimal, the shortest one that reads back as it, so 0.10 equals 0.1 and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite

from dataflow.typed.nodes import Typed
from operators.types import MAX_PLACES, Type, decimal

ROUNDINGS = ("exact", "half_even", "half_up")
"""Treatment of a value with more places than declared: an error, or the nearest decimal, ties to even or away from
zero."""

_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge", "between")
_SAME = (
    "neg", "abs", "floor", "ceil", "round", "sign", "last", "previous", "first", "cumulative_max", "cumulative_min",
)  # fmt: skip
_REAL = (
    "sqrt", "exp", "log", "log10", "log2", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "radians",
    "degrees", "haversine", "ewm",
)  # fmt: skip
"""Functions of floats."""

_NUMBERS = (
    "add", "sub", "mul", "div", "floordiv", "mod", "fill_null", "when", "least", "greatest", "clip", "cumulative_sum",
)  # fmt: skip
"""Functions of numbers of any kind, and of values of one kind."""


def is_decimal(e: Typed) -> bool:
    """Whether the expression is a decimal."""
    return e.type is not None and e.type.places is not None


def as_float(e: Typed) -> Typed:
    """A decimal as the nearest float; anything else unchanged."""
    if e.type is None or e.type.places is None:
        return e
    return Typed("decimal_float", Type.FLOAT, (e,))


def _as_places(e: Typed, places: int) -> Typed:
    """A decimal or an integer with ``places`` places, at least as many as it has."""
    if e.type is None:
        return e
    by = 10 ** (places - (e.type.places or 0))
    kind = decimal(places)
    if e.fn == "lit":
        return Typed("lit", kind, (), (("value", int(str(e.option("value"))) * by),))
    return e if e.type is kind else Typed("mul", kind, (e, Typed("lit", Type.INT, (), (("value", by),))))


def equal_in(kind: Type, number: object) -> int | float | None:
    """The value of a numeric type that equals the constant ``number``; None if there is none.

    For decimals, a float is read as its shortest decimal.
    """
    assert isinstance(number, int | float)
    if kind is Type.FLOAT:
        try:
            return float(number) if float(number) == number else None
        except OverflowError:
            return None
    if isinstance(number, float) and not isfinite(number):
        return None
    exact = Fraction(number) if kind.places is None or isinstance(number, int) else Fraction(repr(number))
    units = exact * 10 ** (kind.places or 0)
    return int(units) if units.denominator == 1 and -(2**63) <= units < 2**63 else None


def arranged(fn: str, args: Sequence[Typed]) -> tuple[list[Typed], Type] | list[Typed] | str:
    """Converts the arguments of ``fn``, some of them decimals. Returns them, with the type of the result if it differs
    from the function's own rule; or a description of wrong arguments."""
    first = 1 if fn == "when" else 0
    head, values = list(args[:first]), list(args[first:])
    kinds = {e.type for e in values if e.type is not None}
    if fn not in (*_NUMBERS, *_SAME, *_COMPARING, *_REAL):
        # It takes a decimal as it is, like is_null, or its own rule refuses it, as a text's and a time's do.
        return [*head, *values]
    if fn in _SAME:
        assert values[0].type is not None
        return values, values[0].type
    if fn in _COMPARING and all(k.places is not None or k in (Type.INT, Type.FLOAT) for k in kinds):
        # By value; a float is read as its shortest decimal.
        return values, Type.BOOL
    if fn == "div" or fn in _REAL or Type.FLOAT in kinds or (fn == "mul" and Type.DURATION in kinds):
        return [*head, *(as_float(e) for e in values)]
    if wrong := [k for k in kinds if k.places is None and k is not Type.INT]:
        mixed = ", ".join(sorted(kinds))
        return f"{mixed}: {wrong[0]} and a decimal cannot be combined"
    places = [(e.type.places or 0) if e.type is not None else 0 for e in values]
    if fn == "mul":
        if sum(places) > MAX_PLACES:
            return f"decimals of {places[0]} and {places[1]} places: a product has at most {MAX_PLACES}"
        return values, decimal(sum(places))
    most = max(places)
    values = [_as_places(e, most) for e in values]
    if any(e.fn == "lit" and not -(2**63) <= int(str(e.option("value") or 0)) < 2**63 for e in values):
        return f"a constant that does not fit in 64 bits with {most} places"
    if fn == "floordiv":
        return values, Type.INT
    return [*head, *values], decimal(most)
