"""What the fields of the first records hold: types, distinct values and samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.types import Type
from runtime.ingest.columns.assemble import Screened
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.samples import type_of
from runtime.ingest.report import utc_text
from runtime.ingest.text.shaping import Texts
from runtime.ingest.text.tokens import NULL

_SAMPLES = 3
_SHOWN = 40


@dataclass(frozen=True)
class SeenField:
    """A field of the first records.

    ``type`` is that of most of its values ("null": it has none), ``texts`` counts its distinct values as text, in the
    order of their first appearance, and ``values`` all of them.
    """

    name: str
    type: str
    values: int
    texts: Mapping[str, int]

    def samples(self) -> list[str]:
        """Some values, shortened."""
        first = list(self.texts)[:_SAMPLES]
        return [text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…" for text in first]


def fields_of_cells(parts: Sequence[Screened]) -> Iterator[SeenField]:
    """The fields of text; the first two columns are not the source's."""
    places: dict[str, list[tuple[Screened, int]]] = {}
    for part in parts:
        for at, name in enumerate(part.cells.names[2:], 2):
            places.setdefault(name, []).append((part, at))
    for name, found in places.items():
        texts: Counter[str] = Counter()
        values = 0
        for part, at in found:
            texts.update(_texts(part, at))
            values += int(np.count_nonzero(part.cells.kind[at] > NULL))
        if values or any((part.cells.kind[at] == NULL).any() for part, at in found):
            type_ = type_of(found)
            yield SeenField(name, "null" if type_ is None else str(type_), values, texts)


def _texts(part: Screened, at: int) -> dict[str, int]:
    found = Texts(part.cells, at)
    codes = found.codes[found.codes >= 0]
    distinct, first, counts = np.unique(codes, return_index=True, return_counts=True)
    order = np.argsort(first)
    return {found.texts[code]: count for code, count in zip(distinct[order], counts[order].tolist(), strict=True)}


def fields_of_table(chunk: Mapping[str, Any], words: Callable[[str], InternedStrings]) -> Iterator[SeenField]:
    """The fields of a table's typed columns."""
    for name, column in chunk.items():
        values = column.values if column.valid is None else column.values[column.valid]
        distinct = Counter(values.tolist())
        texts = {_text(column.type, value, name, words): count for value, count in distinct.items()}
        yield SeenField(name, str(column.type) if len(values) else "null", len(values), texts)


def _text(type_: Type, value: Any, name: str, words: Callable[[str], InternedStrings]) -> str:
    if type_ is Type.STRING:
        return words(name).text(value)
    if type_ is Type.TIME:
        return utc_text(value)
    if type_ is Type.BOOL:
        return "true" if value else "false"
    return str(value)
