"""The kinds of cells of parsed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtime.ingest.text.json_strict import Big, Decimal, Flat, JsonText, MinusZero, NotFinite
from runtime.ingest.text.tokens import BIG, BOOL, DECIMAL, FLOAT, INFINITE, INT, JSON, NAN, NULL, STRING

SPANS = (STRING, BIG, JSON, DECIMAL)
"""Kinds of cells whose value is a place in the text."""

_KINDS: dict[type, int] = {
    str: STRING, Big: BIG, JsonText: JSON, int: INT, Decimal: FLOAT, bool: BOOL, type(None): NULL, MinusZero: INT,
}  # fmt: skip


def flatten(record: Mapping[str, Any], out: dict[str, Any], prefix: str = "") -> None:
    """Put the record's values into ``out``, by dotted name; what no column can hold is left out."""
    nested: Mapping[str, Any] = record
    for name in reversed(prefix.removesuffix(".").split(".")) if prefix else ():
        nested = {name: nested}
    out.update(Flat(dict(nested)).values)


def kind_of(value: Any) -> int:
    """The kind of a value's cell."""
    if type(value) is NotFinite:
        return NAN if np.isnan(value) else INFINITE
    kind = _KINDS.get(type(value))
    if kind is None:
        raise TypeError(f"a {type(value).__name__} is no value of a record")
    return BIG if kind == INT and not -(2**63) <= value < 2**63 else kind
