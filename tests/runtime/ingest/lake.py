"""A store in a folder for the ingest tests, and its rows read back."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from operators.types import Type
from runtime.catalogue import SqliteCatalogue
from runtime.ingest import IngestReport, ingest
from runtime.objects import FolderObjects
from runtime.pointfile import Buffers, PointFile

T = 1_700_000_000_000  # 2023-11-14, in milliseconds


class Lake:
    """Objects and catalogue in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = FolderObjects(folder)
        self.catalogue = SqliteCatalogue(folder / "catalogue.sqlite")

    def ingest(self, *inputs: Any, stream: str = "s", **options: Any) -> IngestReport:
        options = {"key": "k", "time": "t", "unit": "ms"} | options
        report = ingest(self.objects, self.catalogue, stream, inputs, **options)
        for source in report.sources:
            assert source.rows_read == source.committed + source.rejected + source.dropped
        return report

    def text(self, text: str | bytes, **options: Any) -> IngestReport:
        """Ingest this text."""
        return self.ingest(io.BytesIO(text.encode() if isinstance(text, str) else text), **options)

    def records(self, records: list[dict[str, Any]], **options: Any) -> IngestReport:
        """Ingest these records as NDJSON."""
        return self.text("".join(json.dumps(r) + "\n" for r in records), **options)

    def columns(self, stream: str = "s") -> dict[str, Type]:
        schema = self.catalogue.schema(stream)
        assert schema is not None
        return dict(schema.columns)

    def rows(self, stream: str = "s") -> list[dict[str, Any]]:
        """All rows as dicts with "k" (key), "t" (microseconds) and the columns that are not null.

        In the order of (key, time, commit, file, place in the file).
        """
        out = []
        for file in self.catalogue.snapshot(stream).files:
            found = read_rows(self.objects, file.path)
            assert len(found) == file.rows
            assert min(r["t"] for r in found) == file.t_min
            assert max(r["t"] for r in found) == file.t_max
            assert len({r["k"] for r in found}) == file.keys
            for name, nulls in file.nulls.items():
                assert sum(name not in r for r in found) == nulls
            out += found
        return sorted(out, key=lambda r: (r["k"], r["t"]))


def read_rows(objects: FolderObjects, path: str) -> list[dict[str, Any]]:
    """The rows of a point file, in file order."""
    file = PointFile.open(lambda offset, length: objects.read(path, offset, length), objects.size(path), path)
    names = list(file.schema)
    keys = file.key_column(0, file.keys).to_list()
    loaded = file.load(names, 0, len(file.blocks))
    buffers = Buffers()
    out: list[dict[str, Any]] = []
    for b in range(len(file.blocks)):
        block = loaded.block(b, names, buffers)
        key = [keys[block.first_key + i] for i, n in enumerate(block.run_lengths.tolist()) for _ in range(n)]
        rows = [{"k": k, "t": t} for k, t in zip(key, block.time.tolist(), strict=True)]
        for name in names:
            values, valid = block.columns[name]
            for i, row in enumerate(rows):
                if valid[i if len(valid) > 1 else 0]:
                    row[name] = _value(file, name, values[i if len(values) > 1 else 0])
        out += rows
    return out


def _value(file: PointFile, name: str, value: Any) -> Any:
    type_ = file.schema[name]
    if type_ is Type.STRING:
        return file.dictionary(name).strings[int(value)]
    if type_.places is not None:
        return Decimal(int(value)).scaleb(-type_.places)
    return {Type.BOOL: bool, Type.FLOAT: float}.get(type_, int)(value)
