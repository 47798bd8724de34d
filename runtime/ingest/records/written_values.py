"""Values of texts that look like numbers or booleans."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isinf

from runtime.ingest.text.json_strict import Decimal, MinusZero, Value

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False}


def number_or_text(text: str) -> Value:
    """The number that a text is, in JSON's notation; the text itself if it is none or no column can hold it."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    if found[1] is None and found[2] is None:
        if text == "-0":
            return MinusZero(0)
        return int(text) if len(text) <= 20 and -(2**63) <= int(text) < 2**63 else text
    return text if isinf(float(text)) else Decimal(text)


def value_or_text(text: str) -> Value:
    """The number or the ``true`` or ``false`` that a text is; else the text itself."""
    return _WORDS[text] if text in _WORDS else number_or_text(text)


def distinct(names: Iterable[str]) -> list[str]:
    """The names; one that was there before gets ``_2``, ``_3`` and so on, as in CSV."""
    out: dict[str, None] = {}
    for name in names:
        once, n = name, 1
        while name in out:
            n += 1
            name = f"{once}_{n}"
        out[name] = None
    return list(out)
