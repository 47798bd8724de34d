"""Commits the sources named on standard input, one a line: a process for the tests to kill.

    python committer.py URL THREADS < names

Prints ``ready`` once it is at work, then ``NAME committed`` or ``NAME already`` after each commit.
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor

from operators.types import Type
from runtime.catalogue import (
    DAY,
    Catalogue,
    Committed,
    FileEntry,
    SourceEntry,
    StreamSchema,
    file_path,
    new_attempt,
)
from runtime.objects import ObjectStore
from runtime.storage.locations import locate

FIRST_DAY = 19_800
SCHEMA = StreamSchema("device", Type.STRING, "ts", {"x": Type.INT})


def ingest(objects: ObjectStore, catalogue: Catalogue, name: str) -> bool:
    """Put two files for the source and commit them; whether it was this call that did."""
    attempt = new_attempt()
    files = []
    for n in range(2):
        path, data = file_path("s", FIRST_DAY + n, attempt, n), f"1 row of {name}".encode()
        objects.put(path, data)
        start = (FIRST_DAY + n) * DAY
        files.append(FileEntry(path, FIRST_DAY + n, 1, len(data), start, start, hashlib.sha256(data).hexdigest()))
    source = SourceEntry(hashlib.sha256(name.encode()).hexdigest(), name, 10, 2, 2)
    return isinstance(catalogue.commit("s", SCHEMA, source, files, attempt), Committed)


def main(url: str, threads: int) -> None:
    """Ingest every name, on some threads."""
    names = sys.stdin.read().split()
    location = locate(url)
    objects, catalogue = location.objects(), location.catalogue(lambda: True)
    print("ready", flush=True)

    def work(name: str) -> None:
        outcome = "committed" if ingest(objects, catalogue, name) else "already"
        sys.stdout.write(f"{name} {outcome}\n")
        sys.stdout.flush()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, names))
    catalogue.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
