"""The footer of a point file as it is stored: its digest, and its content unpacked."""

from __future__ import annotations

from hashlib import blake2b

import zstandard

from runtime.pointfile import layout


def footer_digest(data: bytes) -> str:
    """BLAKE2b, 16 bytes in hex, over footer and trailer of a checked file; ``data`` is at least its last bytes.

    The footer contains the CRC-32 of every frame, so this identifies the whole file.
    """
    length = int.from_bytes(data[-28:-24], "little")
    return blake2b(data[len(data) - layout.TRAILER.size - length :], digest_size=16).hexdigest()


def expand_footer(packed: bytes, raw: int) -> bytes:
    """A footer of ``raw`` bytes, decompressed; ValueError if it is not one intact frame."""
    # No footer compresses this well, so nothing is allocated for one that claims to.
    if raw > 65536 + 16384 * len(packed):
        raise ValueError("its footer's size is out of bounds")
    try:
        head = zstandard.get_frame_parameters(packed)
        if head.content_size != raw or not head.has_checksum or head.window_size > layout.MAX_FOOTER:
            raise ValueError("its footer is not of the declared size")
        out = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(f"its footer: zstd: {error}") from None
    if len(out) != raw:
        raise ValueError("its footer is not of the declared size")
    return out
