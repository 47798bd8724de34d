"""Columns a few rows at a time: what is written of a large result never is in memory at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from runtime.columns import Column

PIECE = 1 << 14
"""Rows of a piece."""


def pieces(columns: Mapping[str, Column], rows: int = PIECE) -> Iterator[dict[str, Column]]:
    """The columns in pieces of so many rows, at least one; they share the memory of the whole."""
    size = len(next(iter(columns.values()))) if columns else 0
    for at in range(0, max(size, 1), rows):
        yield {name: column.part(at, at + rows) for name, column in columns.items()}


def parts(column: Column, rows: int = PIECE) -> Iterator[Column]:
    """One column in pieces."""
    for piece in pieces({"": column}, rows):
        yield piece[""]


def batched_text(text: Iterable[str], most: int = 1 << 20) -> Iterator[bytes]:
    """The pieces of a text in UTF-8, about so many characters at once."""
    some: list[str] = []
    size = 0
    for piece in text:
        some.append(piece)
        size += len(piece)
        if size >= most:
            yield "".join(some).encode()
            some, size = [], 0
    if some:
        yield "".join(some).encode()
