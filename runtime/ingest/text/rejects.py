"""Rejected records: counted by reason; the first ones with position and text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import orjson

from runtime.ingest.report import Reject, counted
from runtime.ingest.text.tokens import Bytes

KEPT = 10_000
EXAMPLES = 5
_REASONS = 200
_TEXT = 200
OTHER = "other reasons"


class RowFault(NamedTuple):
    """Bytes ``start`` to ``end`` of a buffer are a record that is rejected for ``reason``."""

    start: int
    end: int
    reason: str


class Rejects:
    """The rejects of one source."""

    def __init__(self) -> None:
        self.count = 0
        self.reasons: dict[str, int] = {}
        self.kept: list[Reject] = []

    @property
    def examples(self) -> tuple[Reject, ...]:
        """The first rejects of each of the first few reasons."""
        seen: dict[str, Reject] = {}
        for reject in self.kept:
            seen.setdefault(counted(reject.reason), reject)
            if len(seen) == EXAMPLES:
                break
        return tuple(seen.values())

    def add(self, faults: Iterable[RowFault], data: Bytes, base: int, line: int) -> None:
        """Record faults in a buffer that starts at byte ``base`` and line ``line`` of the source."""
        seen = 0
        for fault in sorted(faults):
            if len(self.kept) < KEPT:
                line += int(np.count_nonzero(data[seen : fault.start] == 10))
                seen = fault.start
                raw = data[fault.start : min(fault.end, fault.start + 4 * _TEXT)].tobytes()
                text = raw.decode("utf-8", "replace").rstrip("\r\n")[:_TEXT]
                self.kept.append(Reject(line, base + fault.start, fault.reason, text))
            self.tally(fault.reason)

    def add_rows(self, rows: Iterable[tuple[int, str]]) -> None:
        """Record rejected rows of a table, by number; a table has no lines and bytes."""
        for row, reason in rows:
            if len(self.kept) < KEPT:
                self.kept.append(Reject(row + 1, 0, reason, ""))
            self.tally(reason)

    def tally(self, reason: str, n: int = 1) -> None:
        """Count a reason; beyond some hundred reasons, the rest is counted together."""
        self.count += n
        reason = counted(reason)
        if reason not in self.reasons and len(self.reasons) >= _REASONS:
            reason = OTHER
        self.reasons[reason] = self.reasons.get(reason, 0) + n

    def to_ndjson(self) -> bytes:
        """One JSON object per line; a last line counts the rejects that are not listed."""
        lines = [orjson.dumps(_fields(r)) for r in self.kept]
        if self.count > len(self.kept):
            lines.append(orjson.dumps({"not_listed": self.count - len(self.kept), "reasons": self.reasons}))
        return b"\n".join(lines) + b"\n"


def _fields(reject: Reject) -> dict[str, object]:
    return {"line": reject.line, "byte": reject.byte, "reason": reject.reason, "text": reject.text}
