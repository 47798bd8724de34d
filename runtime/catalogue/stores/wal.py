"""Rebuilds an SQLite database from its write-ahead log alone, if that contains every page.

The format is SQLite's ("Database File Format", section 4, "The Write-Ahead Log"): a header of 32 bytes, then frames of
24 bytes and a page each; a frame is valid if its salts equal the header's and its cumulative checksum is right; a
transaction ends with a frame that contains the number of pages of the database.
"""

from __future__ import annotations

import struct

_HEADER, _FRAME = 32, 24
_MAGIC = 0x377F0682
_LIMIT = 1 << 16


def database_of(log: bytes) -> bytes | None:
    """The database as of the last complete transaction in the log; None if the log lacks some of its pages."""
    if len(log) < _HEADER:
        return None
    magic, _, size, _, *salts = struct.unpack(">6I", log[:24])
    if magic | 1 != _MAGIC | 1 or not 512 <= size <= _LIMIT or size & (size - 1):
        return None
    order = ">" if magic & 1 else "<"
    sums = _checksum(log[:24], order, (0, 0))
    if sums != struct.unpack(">2I", log[24:32]):
        return None
    pages: dict[int, bytes] = {}
    whole: dict[int, bytes] = {}
    count = 0
    for at in range(_HEADER, len(log) - _FRAME - size + 1, _FRAME + size):
        frame, page = log[at : at + _FRAME], log[at + _FRAME : at + _FRAME + size]
        number, after, *rest = struct.unpack(">6I", frame)
        sums = _checksum(page, order, _checksum(frame[:8], order, sums))
        if rest[:2] != salts or tuple(rest[2:]) != sums:
            break
        pages[number] = page
        if after:
            whole, count = dict(pages), after
    if not count or any(number not in whole for number in range(1, count + 1)):
        return None
    return b"".join(whole[number] for number in range(1, count + 1))


def _checksum(data: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    a, b = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x, y in zip(words[::2], words[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b
