"""Values of states as JSON values, for results with several parts."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from operators.types import Type

_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = ((t - _EPOCH) // timedelta(microseconds=1) for t in (datetime.min, datetime.max))
"""The years 1 to 9999, in microseconds."""


def from_bits(kind: Type, word: int, strings: list[str]) -> object:
    """The value stored as ``word``: a float's bits, a string's code, else the number itself.

    Times become ISO 8601 in UTC (microseconds as text outside of the years 1 to 9999), durations microseconds, decimals
    text; a float without a JSON form becomes its name.
    """
    if kind is Type.STRING:
        return strings[word]
    if kind is Type.BOOL:
        return bool(word)
    if kind is Type.FLOAT:
        return from_float(float(np.int64(word).view(np.float64)))
    if kind is Type.TIME:
        if not _FIRST <= word <= _LAST:
            return str(word)
        moment = _EPOCH + timedelta(microseconds=word)
        return moment.isoformat(timespec="microseconds") + "Z"
    if kind.places is not None:
        return decimal_text(word, kind.places)
    # Some JSON readers lose digits of larger integers.
    return word if abs(word) <= 2**53 else str(word)


def from_float(value: float) -> object:
    """The float, or its name where JSON has no form for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def as_decimal(units: int, places: int) -> Decimal:
    """``units`` times 10**-places, exactly."""
    return Decimal(units).scaleb(-places)


def decimal_text(units: int, places: int) -> str:
    """A decimal with all of its places: ``12.30``."""
    whole, rest = divmod(abs(units), 10**places)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{places}d}" if places else f"{sign}{whole}"


def canonical(value: object) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
