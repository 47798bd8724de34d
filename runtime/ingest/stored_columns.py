"""Looks up column facts in stored points, where the catalogue does not have them."""

from __future__ import annotations

import numpy as np

from operators.types import Type
from runtime.catalogue import Catalogue, FileEntry
from runtime.helpers import Helpers
from runtime.ingest.columns.column_types import beyond
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile

_AT_ONCE = 16


def holds_wide(objects: ObjectStore, catalogue: Catalogue, stream: str, column: str) -> bool:
    """Whether an int64 column has an integer beyond 2^53 in any file; reads only the files' directories, no chunks."""

    def wide(entry: FileEntry) -> bool:
        path = entry.path
        file = PointFile.open(lambda offset, length: objects.read(path, offset, length), entry.bytes, path)
        if file.schema.get(column) is not Type.INT:
            return False
        chunks = file.chunks(column)
        return bool(beyond(np.concatenate([chunks["vmin"], chunks["vmax"]])).any())

    files = [entry for entry in catalogue.snapshot(stream).files if column in entry.nulls]
    with Helpers(_AT_ONCE, "stored") as pool:
        return any(pool.map(wide, files))
