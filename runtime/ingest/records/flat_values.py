"""The values of parsed JSON as columns take them: objects flattened to dotted names, and the kinds of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.ingest.text.json_strict import HALF, SURROGATE, Big, Decimal, Flat, JsonText, MinusZero, NotFinite
from runtime.ingest.text.tokens import BIG, BOOL, DECIMAL, FLOAT, INT, JSON, NAN, NULL, STRING

SPANS = (STRING, BIG, JSON, DECIMAL)
"""Kinds of cells whose value is a place in the text."""

KINDS: dict[type, int] = {
    str: STRING, Big: BIG, JsonText: JSON, int: INT, Decimal: FLOAT, bool: BOOL, type(None): NULL, MinusZero: INT,
    NotFinite: NAN,
}  # fmt: skip
"""The kind of the cells of values, by their type; an infinity is INFINITE, an integer beyond 64 bits BIG."""


def flatten(record: Mapping[str, Any], out: dict[str, Any], prefix: str = "") -> list[str]:
    """Put the record's values into ``out``, by dotted name. Returns why others are not among them."""
    nested: Mapping[str, Any] = record
    for name in reversed(prefix.removesuffix(".").split(".")) if prefix else ():
        nested = {name: nested}
    flat = Flat(dict(nested))
    out.update(flat.values)
    return flat.left_out


def fault_of(text: str) -> str | None:
    """Why no column can hold the text; None if one can."""
    return HALF if not text.isascii() and SURROGATE.search(text) else None
