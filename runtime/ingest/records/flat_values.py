"""The values of parsed JSON as columns take them: objects flattened to dotted names, and the kinds of cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runtime.ingest.text.json_strict import _SURROGATE, Decimal, MinusZero, _flatten, name_fault
from runtime.ingest.text.tokens import BOOL, FLOAT, INT, NULL, STRING

KINDS: dict[type, int] = {str: STRING, int: INT, Decimal: FLOAT, bool: BOOL, type(None): NULL, MinusZero: INT}
"""The kind of the cells of values, by their type."""

_is_fine = lru_cache(1 << 14)(lambda name: name_fault(name) is None)


def flatten(record: Mapping[str, Any], out: dict[str, Any], prefix: str = "") -> None:
    """Put the record's values into ``out``, by dotted name; ``NotARecord`` says why that cannot be."""
    for name, value in record.items():
        full = prefix + name
        if type(value) in KINDS and name and full not in out and _is_fine(full):
            out[full] = value
        else:
            _flatten(prefix, {name: value}, out)


def fault_of(value: Any, kind: int) -> str | None:
    """Why no column can hold a value of this kind; None if one can."""
    if kind == INT and not -(2**63) <= value < 2**63:
        return "integer outside 64 bits"
    if kind == STRING and not value.isascii() and _SURROGATE.search(value):
        return "JSON: half of a surrogate pair"
    return None
