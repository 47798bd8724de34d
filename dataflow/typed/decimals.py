"""Decimals in expressions: scaled integers whose places are known, so their arithmetic is that of integers.

Sums and differences have the places of the finer side, products the places of both; in arithmetic with a float, in a
quotient, and as the factor of a duration, a decimal becomes the float nearest to it. In comparisons it is the float
that becomes a decimal, the shortest that gives it, so that 0.10 equals 0.1 and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite

from dataflow.typed.nodes import Typed
from operators.types import MAX_PLACES, Type, decimal

ROUNDINGS = ("exact", "half_even", "half_up")
"""What becomes of a value with more places than are declared: an error, or the nearest decimal, ties to the even or
away from zero."""

_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge", "between")
_SAME = ("neg", "abs", "last", "previous")


def is_decimal(e: Typed) -> bool:
    """Whether the expression is a decimal."""
    return e.type is not None and e.type.places is not None


def as_float(e: Typed) -> Typed:
    """A decimal as the float nearest to it; anything else as it is."""
    if e.type is None or e.type.places is None:
        return e
    return Typed("decimal_float", Type.FLOAT, (e,))


def _as_places(e: Typed, places: int) -> Typed:
    """A decimal or an integer with so many places, which are no fewer than it has."""
    if e.type is None:
        return e
    by = 10 ** (places - (e.type.places or 0))
    kind = decimal(places)
    if e.fn == "lit":
        return Typed("lit", kind, (), (("value", int(str(e.option("value"))) * by),))
    return e if e.type is kind else Typed("mul", kind, (e, Typed("lit", Type.INT, (), (("value", by),))))


def equal_in(kind: Type, number: object) -> int | float | None:
    """The value of a type of numbers that equals the constant ``number``; None if there is none such.

    Beside decimals a float is the shortest decimal that gives it.
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
    """The arguments of ``fn``, some of them decimals, as it takes them, and the type of its value where that is not
    what its own rule says of those arguments; or what is wrong with them."""
    first = 1 if fn == "when" else 0
    head, values = list(args[:first]), list(args[first:])
    kinds = {e.type for e in values if e.type is not None}
    if fn in ("is_null", "is_not_null", "changed", "decimal", "is_in"):
        return [*head, *values]
    if fn in _SAME:
        assert values[0].type is not None
        return values, values[0].type
    if fn in _COMPARING and all(k.places is not None or k in (Type.INT, Type.FLOAT) for k in kinds):
        # By their values; a float is taken for the shortest decimal that gives it.
        return values, Type.BOOL
    if fn == "div" or Type.FLOAT in kinds or (fn == "mul" and Type.DURATION in kinds):
        return [*head, *(as_float(e) for e in values)]
    if wrong := [k for k in kinds if k.places is None and k is not Type.INT]:
        mixed = ", ".join(sorted(kinds))
        return f"{mixed}: {wrong[0]} and a decimal do not go together"
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
