"""Point files: compressed columnar files of points. `runtime/POINTFILE.md` specifies the format."""

from __future__ import annotations

from runtime.pointfile.encode import encode
from runtime.pointfile.hashing import hash_keys
from runtime.pointfile.layout import DEFAULT_BLOCK_ROWS
from runtime.pointfile.order import sort_points
from runtime.pointfile.reading.columns_of_file import Loaded
from runtime.pointfile.reading.decoded_blocks import Block, Buffers, Changes, borrowed
from runtime.pointfile.reading.file import PointFile
from runtime.pointfile.reading.stored_footer import footer_digest
from runtime.pointfile.reading.verify_file import verify_file

__all__ = [
    "DEFAULT_BLOCK_ROWS",
    "Block",
    "Buffers",
    "Changes",
    "Loaded",
    "PointFile",
    "borrowed",
    "encode",
    "footer_digest",
    "hash_keys",
    "sort_points",
    "verify_file",
]
