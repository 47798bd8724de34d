"""All texts and keys that the objects of a store hold, decompressed."""

from __future__ import annotations

import zstandard

from operators.types import Type
from runtime import Store
from runtime.pointfile import PointFile


def held(store: Store) -> set[str]:
    """The keys and strings of all point files, and the contents of rejects, states and saved answers."""
    found: set[str] = set()
    for info in [*store.objects.list("data/"), *store.objects.list("carry/")]:
        if not info.path.endswith(".points"):
            continue
        file = _opened(store, info.path, info.size)
        found.update(map(str, file.key_column(0, file.keys).to_list()))
        for name, type_ in file.schema.items():
            if type_ is Type.STRING:
                found.update(file.dictionary(name).strings)
        found.add(str(file.origin))
    for prefix in ("rejects/", "cache/", "results/"):
        for info in store.objects.list(prefix):
            data = store.objects.read(info.path, 0, info.size)
            if prefix == "cache/":
                data = zstandard.ZstdDecompressor().decompress(data)
            found.add(data.decode("utf-8", "replace"))
    return found


def _opened(store: Store, path: str, size: int) -> PointFile:
    return PointFile.open(lambda at, n: store.objects.read(path, at, n), size, path, store.objects.gap)
