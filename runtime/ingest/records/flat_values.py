"""The values of parsed JSON as columns take them: objects flattened to dotted names, and the kinds of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.ingest.text.json_strict import _SURROGATE, Decimal, MinusZero, NotARecord, _flatten
from runtime.ingest.text.tokens import BOOL, FLOAT, INT, NULL, STRING

_KINDS: dict[type, int] = {str: STRING, int: INT, Decimal: FLOAT, bool: BOOL, type(None): NULL, MinusZero: INT}


def flatten(record: Mapping[str, Any], out: dict[str, Any], prefix: str = "") -> None:
    """Put the record's values into ``out``, by dotted name; ``NotARecord`` says why that cannot be."""
    _flatten(prefix, dict(record), out)


def kind_of(value: Any) -> int:
    """The kind of a value's cell; ``NotARecord`` if no column can hold it."""
    kind = _KINDS.get(type(value))
    if kind is None:
        raise TypeError(f"a {type(value).__name__} is no value of a record")
    if kind == INT and not -(2**63) <= value < 2**63:
        raise NotARecord("integer outside 64 bits")
    if kind == STRING and not value.isascii() and _SURROGATE.search(value):
        raise NotARecord("JSON: half of a surrogate pair")
    return kind
