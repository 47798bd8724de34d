"""Functions of real numbers by mpmath, correctly rounded; rounding, bounds and extremes; means that forget."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.testing.oracle.rows import Row, Value


def _mp() -> Any:
    """Arithmetic with 60 digits."""
    import mpmath

    found = mpmath.mp.clone()
    found.dps = 60
    return found


def _rounded(exact: Any) -> float | None:
    """The nearest float; null if that is too large, or no real number."""
    if getattr(exact, "imag", 0):
        return None
    found = float(exact)
    return found if math.isfinite(found) else None


def _haversine(mp: Any, *degrees: Any) -> Any:
    a, b, c, d = (x * mp.pi / 180 for x in degrees)
    if max(abs(degrees[0]), abs(degrees[2])) > 90 or max(abs(degrees[1]), abs(degrees[3])) > 360:
        return mp.nan
    part = mp.sin((c - a) / 2) ** 2 + mp.cos(a) * mp.cos(c) * mp.sin((d - b) / 2) ** 2
    return 2 * mp.mpf("6371008.8") * mp.asin(mp.sqrt(part))


REAL: dict[str, Callable[..., Any]] = {
    "sqrt": lambda mp, x: mp.sqrt(x),
    "exp": lambda mp, x: mp.exp(x),
    "log": lambda mp, x: mp.log(x) if x > 0 else mp.nan,
    "log2": lambda mp, x: mp.log(x) / mp.log(2) if x > 0 else mp.nan,
    "log10": lambda mp, x: mp.log10(x) if x > 0 else mp.nan,
    "pow": lambda mp, x, y: mp.nan if x == 0 > y else mp.power(x, y),
    "sin": lambda mp, x: mp.sin(x),
    "cos": lambda mp, x: mp.cos(x),
    "tan": lambda mp, x: mp.tan(x),
    "asin": lambda mp, x: mp.asin(x) if abs(x) <= 1 else mp.nan,
    "acos": lambda mp, x: mp.acos(x) if abs(x) <= 1 else mp.nan,
    "atan": lambda mp, x: mp.atan(x),
    "atan2": lambda mp, y, x: mp.atan2(y, x),
    "radians": lambda mp, x: x * mp.pi / 180,
    "degrees": lambda mp, x: x * 180 / mp.pi,
    "haversine": _haversine,
}
"""Functions of floats, of mpmath and their arguments."""


def real(fn: str, *values: Any) -> float | None:
    """The function of these numbers."""
    mp = _mp()
    return _rounded(REAL[fn](mp, *(mp.mpf(float(v)) for v in values)))


_WAYS = {"round": ROUND_HALF_UP, "floor": ROUND_FLOOR, "ceil": ROUND_CEILING}
SAME = (*_WAYS, "sign")
EXTREMES = ("least", "greatest", "clip")


def rounded_number(fn: str, value: Any, n: int) -> Any:
    """The number rounded in one of the ways, or its sign, of its type."""
    if fn == "sign":
        return type(value)((value > 0) - (value < 0))
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    fine = max(0, -int(exact.as_tuple().exponent))
    if fine <= n:
        return value
    found = exact.quantize(Decimal(1).scaleb(-n), _WAYS[fn])
    return float(found) if isinstance(value, float) else int(found) if isinstance(value, int) else found


def extreme_of(fn: str, *values: Any) -> Any:
    """The least or greatest of what is not null; a value between bounds."""
    if fn == "clip":
        value, low, high = values
        return None if value is None else extreme_of("least", extreme_of("greatest", value, low), high)
    there = [v for v in values if v is not None]
    order = lambda v: (v, math.copysign(1.0, v))  # noqa: E731
    return None if not there else min(there, key=order) if fn == "least" else max(there, key=order)


def number_type(fn: str, kinds: list[str | None]) -> str | None:
    """The type of one of these functions, except the extremes."""
    if fn in REAL or fn == "ewm":
        return "float64"
    return "int64" if kinds == ["duration"] else kinds[0]


def forgetting_mean(half_life: int) -> Callable[[list[Value], list[Row]], list[Value]]:
    """The mean of each key by time: the mean so far has the weight 0.5 ** (elapsed / half_life)."""

    def of_rows(values: list[Any], rows: list[Row]) -> list[Value]:
        mp, seen = _mp(), dict[Any, tuple[float, int]]()
        result: list[Value] = []
        for row, value in zip(rows, values, strict=True):
            if value is not None and not row.ghost:
                mean, before = seen.get(row.key, (float(value), row.time))
                weight = 1.0 - float(mp.mpf(2) ** -((row.time - before) / half_life))
                seen[row.key] = mean + weight * (float(value) - mean), row.time
            result.append(seen[row.key][0] if row.key in seen else None)
        return result

    return of_rows
