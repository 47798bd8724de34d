"""The closed list of aggregate signatures: numbers of arguments, options, and whether intervals are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from dataflow.expressions.constants import plain
from dataflow.expressions.mistaken import shown
from operators.errors import DataflowError

Check = Callable[[object], object]
"""Returns an option's canonical value; ValueError that says what is expected."""

_MANY = 1000


@dataclass(frozen=True)
class Option:
    """One option: its canonical value is JSON-ready, with a tuple for a list."""

    name: str
    check: Check
    default: object = None
    """If given, the option is optional, and is not written when it has this value."""


@dataclass(frozen=True)
class Signature:
    """An aggregate's numbers of arguments, its options, and whether it needs intervals of a known or unknown state."""

    arity: tuple[int, ...] = (1,)
    options: tuple[Option, ...] = ()
    of_intervals: bool = False


def _integer(low: int, high: int) -> Check:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"an integer from {low:,} to {high:,}")
        return value

    return check


def _share(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def _is_number(value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return whole or (isinstance(value, float) and isfinite(value))


def _width(value: object) -> object:
    if value is not None and not (_is_number(value) and value > 0):  # type: ignore[operator]
        raise ValueError("a positive number, or null")
    return value


def _edges(value: object) -> object:
    if value is None:
        return None
    expected = f"1 to {_MANY} rising numbers, or null"
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MANY or not all(map(_is_number, value)):
        raise ValueError(expected)
    numbers: tuple[float, ...] = tuple(value)
    if any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(expected)
    return numbers


def _truth(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _interpolation(value: object) -> object:
    if value not in ("lower", "linear"):
        raise ValueError("'lower' or 'linear'")
    return value


_QUANTILE = (Option("exact", _truth, False), Option("interpolation", _interpolation, "lower"))
_DDOF = (Option("ddof", _integer(0, 1)),)
_INTERVALS = Signature(of_intervals=True)

FORMS: dict[str, Signature] = {
    "count": Signature((0, 1)),
    "sum": Signature(),
    "mean": Signature(),
    "min": Signature(),
    "max": Signature(),
    "first": Signature(),
    "last": Signature(),
    "any_true": Signature(),
    "all_true": Signature(),
    "count_distinct": Signature(),
    "approx_distinct": Signature(),
    "variance": Signature(options=_DDOF),
    "stddev": Signature(options=_DDOF),
    "quantile": Signature(options=(*_QUANTILE, Option("q", _share))),
    "median": Signature(options=_QUANTILE),
    "histogram": Signature(options=(Option("edges", _edges), Option("width", _width))),
    "top_k": Signature(options=(Option("cap", _integer(1, 1 << 26)), Option("k", _integer(1, 1 << 20)))),
    "transitions": Signature(),
    "increase": Signature(),
    "rate": Signature(),
    "candlestick": Signature(),
    "share_of_time": _INTERVALS,
    "duration": Signature((0, 1)),
    "known_time": Signature((0, 1), of_intervals=True),
    "unknown_time": Signature((0, 1), of_intervals=True),
    "time_weighted_mean": _INTERVALS,
    "integral": _INTERVALS,
    "mtbf": _INTERVALS,
    "mttr": _INTERVALS,
}


def form_of(name: object) -> Signature | None:
    """The signature of a built-in or registered aggregate."""
    if not isinstance(name, str):
        return None
    if name in FORMS:
        return FORMS[name]
    # Imported here, since it imports all loops.
    from operators.registry import arity_of, is_registered

    return Signature((arity_of(name),)) if is_registered(name) else None


def options_of(name: str, form: Signature, given: Mapping[str, object], where: str) -> tuple[tuple[str, object], ...]:
    """The canonical options of an aggregate; DataflowError that names the place of a wrong one."""
    found = ((o, checked(name, o, given[o.name], where)) for o in form.options if o.name in given)
    return tuple((o.name, value) for o, value in found if o.default is None or value != o.default)


def checked(name: str, option: Option, value: object, where: str) -> object:
    """The canonical value of an aggregate's option; DataflowError naming the place."""
    try:
        return option.check(plain(value))
    except ValueError as error:
        raise DataflowError(f"{where}: {option.name} of {name} is {error}, got {shown(value)}") from None
