"""Rows of the day index whose seals were checked before in this process: the same bytes are not checked again.

A long-lived process plans query after query over the same rows, and most of them may be those of files that a
compaction replaced long ago. A seal takes more than 1 µs a row, the digest of all rows of a day a fraction of it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np

from operators import forking
from runtime.catalogue.day_rows import DayFiles

_ENTRY = 256
"""Bytes that a digest of 32 bytes takes, with what Python needs around it."""


class CheckedRows:
    """SHA-256 digests of rows whose seals were right, by day, in at most ``most`` bytes. Thread-safe.

    A digest is of the bytes as they were read, and of the partition that they were read from: all that a seal is of.
    So damage that comes after a check is found as before. What was used least recently is forgotten first.
    """

    def __init__(self, most: int = 4 << 20) -> None:
        self._most = most
        self._lock = forking.lock()
        self.make_anew()
        forking.renew(self, CheckedRows.make_anew)

    def make_anew(self) -> None:
        """Forget everything: for the child of a fork."""
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes that the digests take."""
        return len(self._digests) * _ENTRY

    def check(self, partition: str, scanned: tuple[bytes, bytes]) -> None:
        """FormatError unless each of the rows of a scan of the partition has its seal."""
        # Most often nothing has changed since the last scan: one digest of all of it takes a tenth of one for each day.
        whole = _digest(partition, *scanned)
        if self._known(whole):
            return
        rows = DayFiles.of([scanned])
        for first, last in _runs(rows):
            name = _digest(partition, *rows.stored(first, last))
            if not self._known(name):
                rows[first:last].check_seals(partition)
                self._keep(name)
        self._keep(whole)

    def _known(self, name: bytes) -> bool:
        with self._lock:
            if name not in self._digests:
                return False
            self._digests.move_to_end(name)
            return True

    def _keep(self, name: bytes) -> None:
        with self._lock:
            self._digests[name] = None
            while self.size > self._most:
                self._digests.popitem(last=False)


CHECKED = CheckedRows()
"""The process's."""


def _digest(partition: str, heads: bytes | memoryview, tails: bytes | memoryview) -> bytes:
    """The SHA-256 of rows in a partition: their heads, what comes after these, and where the heads end."""
    digest = hashlib.sha256(f"{partition}\0{len(heads)}\0".encode())
    digest.update(heads)
    digest.update(tails)
    return digest.digest()


def _runs(rows: DayFiles) -> list[tuple[int, int]]:
    """The first row of each run of rows of one day, and the row after its last.

    A commit changes the rows of its days only, and ranges of a query begin and end with days.
    """
    days = rows.heads["day"]
    if not len(days):
        return []
    changes = (np.flatnonzero(days[1:] != days[:-1]) + 1).tolist()
    return list(zip([0, *changes], [*changes, len(days)], strict=True))
