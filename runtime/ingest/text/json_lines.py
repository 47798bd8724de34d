"""Where lines and records of JSON end, and malformed lines.

Such a line is rejected as a whole, with every record that touches it: if a line is broken, apparent records on it may
be pieces of another one.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson

from runtime.errors import IngestError
from runtime.ingest.text import json_scanner as js
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import for_loops

MAX_RECORD = 1 << 24
"""Maximum bytes of a record."""

SPACE = b" \t\r\n"

NOWHERE, BEYOND = -1, -2
"""No place to resume: there is none, or more text is needed to find it."""

_FEW = 256

MAX_LINE = 1 << 24
"""Maximum bytes of a line whose records wait until all of it is read. In a longer one, malformed text is an error of
the whole source."""


def without_broken_lines(
    data: bytes, cells: RawCells, malformed: list[RowFault], beside: list[RowFault], begun: int, handed: int, name: str
) -> RawCells:
    """The cells without the records that touch a malformed line: these become one reject together with it.

    ``beside`` are well-formed rejects, which stay unless they are on such a line. The first line begins at ``begun``
    (below 0: before ``data``), and records up to ``handed`` were already passed on.
    """
    gone = np.zeros(len(cells), np.bool_)
    faults: list[RowFault] = []
    last_line = last_row = -1
    for fault in sorted(malformed):
        lo = data.rfind(b"\n", 0, fault.start) + 1
        hi = data.find(b"\n", max(fault.end - 1, fault.start))
        hi = len(data) if hi < 0 else hi
        line = lo or begun
        if handed > line or fault.start - line > MAX_LINE:
            where = f"byte {cells.base + fault.start:,}"
            raise IngestError(
                f"{name}: {fault.reason} at {where}, in a line that is too long to be rejected alone: repair it, or "
                "put every record on its own line. Nothing of it was ingested."
            )
        first = int(np.searchsorted(cells.end, lo, "right"))
        end = int(np.searchsorted(cells.start, hi, "left"))
        touched = range(first, end)
        gone[first:end] = True
        first_word = hi - len(data[lo:hi].lstrip(SPACE))
        start = min(first_word, fault.start, int(cells.start[first]) if touched else first_word)
        stop = max(hi, fault.end, int(cells.end[end - 1]) if touched else hi)
        if faults and (lo < last_line or first <= last_row):
            before = faults.pop()
            start, stop, fault = min(start, before.start), max(stop, before.end), before
        faults.append(RowFault(start, stop, fault.reason))
        last_line, last_row = max(last_line, hi), end - 1 if touched else last_row
    kept = [f for f in beside if not any(fault.start <= f.start < fault.end for fault in faults)]
    index = np.flatnonzero(~gone)
    places = np.cumsum(~gone) - 1
    out = cells.take(index, faults + kept)
    out.bad = {int(places[row]): why for row, why in cells.bad.items() if not gone[row]}
    return out


def next_start(data: bytes, start: int, at: int, final: bool) -> int:
    """Where to resume after the record that starts at ``start`` broke at ``at``; below 0 if not found yet.

    That is the next line or, for a record over several lines, the next line that opens a record with the same indent.
    """
    line_end = data.find(b"\n", start)
    if line_end < 0 or at <= line_end:
        return line_end + 1 or NOWHERE
    indent = data[data.rfind(b"\n", 0, start) + 1 : start]
    if not indent.strip():
        again = data.find(b"\n" + indent + b"{", start, start + MAX_RECORD)
        if again >= 0:
            return again + 1
        if not final and len(data) - start < MAX_RECORD:
            return BEYOND
    return line_end + 1


def value_end(data: bytes, at: int) -> int:
    """The end of a value that is not an object; -1 if it has no clear end."""
    end = int(js.value_end(for_loops(np.frombuffer(data, np.uint8)), at, len(data)))
    return end if at < end < len(data) else -1


def without_space(data: bytes, end: int) -> int:
    """The end of the text before ``end`` without the blanks there, of which there are few: nothing long is copied."""
    while end and not (part := data[max(0, end - _FEW) : end].rstrip(SPACE)):
        end = max(0, end - _FEW)
    return max(0, end - _FEW) + len(part) if end else 0


def first_record(data: bytes, start: int) -> dict[str, Any]:
    """The record that begins there; an empty one if it is not well-formed."""
    end = data.find(b"\n", start)
    try:
        found = orjson.loads(data[start : end if end >= 0 else len(data)])
    except ValueError:  # it is over several lines, or not alone
        try:
            text = data[start : start + MAX_RECORD].decode("utf-8", "replace")
            found, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}
