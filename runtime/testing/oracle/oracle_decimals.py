"""Decimals: numbers with a fixed number of places, computed exactly, as Python's ``Decimal``."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact
from fractions import Fraction
from typing import Any

WIDE = Context(prec=2000, Emin=-10_000, Emax=10_000, traps=[])
ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "exact": ROUND_HALF_EVEN}


def places(kind: str | None) -> int | None:
    """Decimal places of a decimal type; None for the others."""
    return int(kind[8:-1]) if kind is not None and kind.startswith("decimal(") else None


def is_decimal(kinds: list[str | None]) -> bool:
    """Whether a decimal is among them."""
    return any(places(kind) is not None for kind in kinds)


def common(kinds: list[str | None]) -> str:
    """The type that decimals, integers and floats are brought to: the most places, or float64."""
    found = [kind for kind in kinds if kind is not None]
    if "float64" in found:
        return "float64"
    if any(places(kind) is None and kind != "int64" for kind in found):
        raise TypeError(f"no common type of {sorted(found)}")
    return f"decimal({max(places(kind) or 0 for kind in found)})"


def product(kinds: list[str | None]) -> str:
    """The type of a product: the places of both, or float64."""
    return "float64" if "float64" in kinds else f"decimal({sum(places(kind) or 0 for kind in kinds)})"


def of_fraction(exact: Fraction, digits: int) -> Decimal:
    """An exact number with so many places; ValueError if it needs more."""
    units = exact * 10**digits
    if units.denominator != 1:
        raise ValueError(f"{exact} has more than {digits} places")
    return Decimal(int(units)).scaleb(-digits, context=WIDE)


def in_places(value: Any, digits: int) -> Any:
    """A number with so many places; null stays null."""
    return None if value is None else of_fraction(Fraction(value), digits)


def as_written(values: list[Any]) -> list[Any]:
    """Beside a decimal, a float is the shortest decimal that reads back as it."""
    if not any(isinstance(v, Decimal) for v in values):
        return values
    return [Decimal(repr(v)) if isinstance(v, float) else v for v in values]


def rounded(value: Any, digits: int, rounding: str) -> Any:
    """A number as a decimal."""
    if value is None:
        return None
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    context = WIDE.copy()
    if rounding == "exact":
        context.traps[Inexact] = True
    try:
        return exact.quantize(Decimal(1).scaleb(-digits), ROUNDINGS[rounding], context)
    except DecimalException:
        raise ValueError(f"{value} has more than {digits} places") from None


def floored(a: Any, b: Any) -> int | None:
    """The quotient rounded down."""
    return None if b == 0 else math.floor(Fraction(a) / Fraction(b))


def remainder(a: Any, b: Any) -> Fraction | None:
    """What the quotient rounded down leaves."""
    whole = floored(a, b)
    return None if whole is None else Fraction(a) - whole * Fraction(b)


def units(value: Decimal) -> int:
    """The decimal as a count of its last place."""
    sign, digits, _ = value.as_tuple()
    return int("".join(map(str, digits))) * (-1 if sign else 1)


def shown(value: Decimal) -> str:
    """The decimal with all of its places, as JSON has it."""
    return format(value, "f")
