"""Ingests a stream of N rows in its own process and prints its peak memory in bytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from runtime.catalogue import SqliteCatalogue
from runtime.ingest import MEMORY_ROWS, ingest
from runtime.objects import FolderObjects

PER_PIECE = 5000
START, DAY = 1_700_000_000_000, 86_400_000  # milliseconds


class Records:
    """A file of ``rows`` records over three days, made as it is read."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._at = 0

    def read(self, _size: int) -> bytes:
        start, self._at = self._at, min(self._at + PER_PIECE, self._rows)
        return b"".join(
            b'{"device":"device-%05d","ts":%d,"status":"%s","temp":%.1f,"boots":%d}\n'
            % (i % 10_000, START + i * 7919 % (3 * DAY), b"up" if i % 100 else b"down", i % 97 / 4, i)
            for i in range(start, self._at)
        )


def main(folder: str, rows: str, memory_rows: str) -> None:
    objects, catalogue = FolderObjects(Path(folder)), SqliteCatalogue(Path(folder) / "catalogue.sqlite")
    source = Records(int(rows))
    report = ingest(
        objects, catalogue, "s", source, key="device", time="ts", unit="ms", memory_rows=int(memory_rows) or MEMORY_ROWS
    )
    assert report.committed == int(rows)
    sys.stdout.write(str(peak()))


def peak() -> int:
    """The most memory this process has had, in bytes."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage would count what the parent had when it forked.
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
