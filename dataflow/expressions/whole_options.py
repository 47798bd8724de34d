"""Options of functions that are whole numbers: the range of each, held where they are written, read and settled."""

from __future__ import annotations

from typing import Any

from dataflow.values.constants import plain
from dataflow.values.mistaken import shown
from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError
from operators.types import MAX_PLACES, MAX_PREVIOUS, MAX_ROUND, MAX_TEXT, MIN_ROUND

MOST_ROWS = 10_000_000
"""The most rows of a trailing or leading window that is given in rows."""

_ROWS = 2**31 - 1
_POSITION = "{where} is a position in a text"

_RANGES: dict[tuple[str, str], tuple[int, int, str]] = {
    ("previous", "rows"): (1, MAX_PREVIOUS, f"previous takes 1 to {MAX_PREVIOUS} rows"),
    ("next", "rows"): (1, MAX_PREVIOUS, f"next takes 1 to {MAX_PREVIOUS} rows"),
    ("round", "n"): (MIN_ROUND, MAX_ROUND, f"round takes {MIN_ROUND} to {MAX_ROUND} decimal places"),
    ("decimal", "places"): (0, MAX_PLACES, f"decimal takes 0 to {MAX_PLACES} places"),
    ("substring", "start"): (0, MAX_TEXT, _POSITION),
    ("substring", "count"): (0, MAX_TEXT, _POSITION),
    ("split", "index"): (-MAX_TEXT, MAX_TEXT, _POSITION),
    ("trailing", "rows"): (1, MOST_ROWS, f"trailing(rows=) takes 1 to {MOST_ROWS:,} rows"),
    ("leading", "rows"): (1, MOST_ROWS, f"leading(rows=) takes 1 to {MOST_ROWS:,} rows"),
    ("over", "n"): (1, _ROWS, "{where} takes a number from 1"),
    ("over", "rows"): (1, _ROWS, "{where} takes a number from 1"),
}


def is_whole(fn: str, name: str) -> bool:
    """Whether the option ``name`` of function ``fn`` is a whole number."""
    return (fn, name) in _RANGES


def whole_option(fn: str, name: str, value: Any, where: str = "") -> Any:
    """The number, or the parameter that stands for it; else DataflowError, which names ``where`` (usually the function
    with the option)."""
    if isinstance(value, Setting):
        return checked_setting(value, lambda v: whole_option(fn, name, v, where))
    low, high, wanted = _RANGES[fn, name]
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        if fn == "previous" and isinstance(value, str):
            wanted += "; the first value within a length of time is df.first('x').trailing('1h')"
        raise DataflowError(f"{wanted.format(where=where or f'{fn}({name})')}, got {shown(value)}")
    return value
