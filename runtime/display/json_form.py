"""Results as JSON: their values, and the text of a whole result, a piece at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

from operators.types import Type
from runtime.columns import Column
from runtime.display.pieces import pieces
from runtime.display.text_tables import iso

_EXACT = 2**53  # every JSON reader is exact for integers up to this


class Described(Protocol):
    """A result: its columns, and the rest of its JSON form."""

    columns: dict[str, Column]

    def form(self) -> dict[str, object]:
        """The JSON form, with None for its rows."""


def json_pieces(result: Described) -> Iterator[str]:
    """The text of a result's JSON form, on one line: that of ``Result.to_dict``; decimals are text."""
    lead = "{"
    for name, value in result.form().items():
        yield f"{lead}{_text(name)}: "
        lead = ", "
        if name == "rows":
            yield from _rows(result.columns)
        else:
            yield _text(value)
    yield "}"


def _rows(columns: Mapping[str, Column]) -> Iterator[str]:
    lead = "["
    for piece in pieces(columns):
        text = _text(plain_rows(piece))[1:-1]
        if text:
            yield lead + text
            lead = ", "
    yield "[]" if lead == "[" else "]"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(value)


def plain_rows(columns: Mapping[str, Column]) -> list[list[object]]:
    """The rows as lists of JSON values."""
    return [list(row) for row in zip(*map(plain_values, columns.values()), strict=True)]


def plain_values(column: Column) -> list[object]:
    """The values of a column as JSON values."""
    values = column.to_list()
    match column.type:
        case Type.TIME:
            return [iso(v) if isinstance(v, int) else None for v in values]
        case Type.FLOAT:
            return [_plain_float(v) if isinstance(v, float) else None for v in values]
        case Type.INT | Type.DURATION:
            return [str(v) if isinstance(v, int) and not -_EXACT <= v <= _EXACT else v for v in values]
        case _:
            return values


def _plain_float(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
