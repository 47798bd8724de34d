"""Reads documents with one array per column: a record for each place in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from runtime.ingest.records.flat_values import flatten
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord
from runtime.ingest.records.record_paths import PathValue, RecordPath
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

_BLOCK = 1024


class ColumnarArrays:
    """Reads the object at a path whose members are arrays, or the array of arrays there, which ``names`` name.

    What is no array is the same in each record, under its dotted name. ``place``: the column whose values are the
    places of the records in the text.
    """

    def __init__(self, path: str, place: str, names: tuple[str, ...] = (), drop: Sequence[str] = ()) -> None:
        self._path = RecordPath(path, drop)
        self._place = place
        self._names = names

    def __call__(self, parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        """See ``DocumentReader``; arrays of different length reject the document."""
        for found in self._path.values(parts, start):
            if isinstance(found, RowFault):
                yield found
                continue
            first = parts.data[found.start : found.start + 1]
            if first == b"{":
                prefix = "" if self._path.path == "." else f"{self._path.path}."
                arrays: dict[str, int] = {}
                left_out = self._object(parts, found.start, prefix, "", arrays, found.beside)
                found = found._replace(left_out=(*found.left_out, *left_out))
            elif first == b"[":
                arrays = self._listed(parts, found)
            else:
                raise NotARecord(f"JSON: {self._path.path} is neither an object nor an array of arrays")
            yield from self._records(parts, arrays, found)

    def _object(
        self, parts: JsonParts, start: int, prefix: str, name: str, arrays: dict[str, int], beside: dict[str, Any]
    ) -> list[str]:
        left_out: list[str] = []
        for own, at, end in parts.members(start):
            first, full = parts.data[at : at + 1], name + own
            if full in arrays:
                raise NotARecord("JSON: a name occurs twice in one object")
            if first == b"[":
                arrays[full] = at
            elif first == b"{":
                left_out += self._object(parts, at, prefix, f"{full}.", arrays, beside)
            else:
                left_out += flatten({full: parts.value(at, end)}, beside, prefix)
        return left_out

    def _listed(self, parts: JsonParts, found: PathValue) -> dict[str, int]:
        names = self._names or found.names
        starts = [at for at, _ in parts.elements(found.start)]
        if not names or len(names) != len(starts) or any(parts.data[at : at + 1] != b"[" for at in starts):
            raise NotARecord(
                f"JSON: {self._path.path} has {len(starts)} columns, and {len(names) or 'no'} names (--names)"
            )
        return dict(zip(names, starts, strict=True))

    def _records(self, parts: JsonParts, arrays: dict[str, int], found: PathValue) -> Iterator[RecordItem]:
        sizes = {name: sum(1 for _ in parts.elements(at)) for name, at in arrays.items()}
        if not sizes:
            raise NotARecord(f"JSON: there is no array in {self._path.path}")
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{name} has {size:,}" for name, size in list(sizes.items())[:5])
            raise NotARecord(f"JSON: the arrays in {self._path.path} are not of one length: {shown}")
        columns = [parts.elements(at) for at in arrays.values()]
        names = list(arrays)
        place = names.index(self._place) if self._place in arrays else 0
        while True:
            blocks = [list(islice(column, _BLOCK)) for column in columns]
            if not blocks[0]:
                return
            rows = zip(*(parts.values(block) for block in blocks), strict=True)
            for (start, end), row in zip(blocks[place], rows, strict=True):
                fault = next((v for v in row if isinstance(v, NotARecord)), None)
                if fault is not None:
                    yield RowFault(start, end, str(fault))
                else:
                    yield SourceRecord(start, end, dict(zip(names, row, strict=True)), found.beside, found.left_out)
