"""Strips debug information from shared objects."""

from __future__ import annotations

import struct

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian


def without_debug_information(data: bytes) -> bytes:
    """The file up to the end of its last segment, which is all that is ever loaded ("Executable and Linking Format",
    Tool Interface Standard): debug information and the table of sections come after it."""
    if not data.startswith(_MAGIC):
        raise ValueError("not a shared object of a 64-bit little-endian machine")
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    ends = []
    for at in range(table, table + size * count, size):
        (offset,), (length,) = struct.unpack_from("<Q", data, at + 8), struct.unpack_from("<Q", data, at + 32)
        ends.append(offset + length)
    head = bytearray(data[: max(ends)])
    struct.pack_into("<Q", head, 0x28, 0)  # no table of sections,
    struct.pack_into("<HH", head, 0x3C, 0, 0)  # of no entries, nor one with their names
    return bytes(head)
