"""Verifies a whole point file."""

from __future__ import annotations

import zlib

import numpy as np

from operators.types import Type
from runtime.errors import FormatError
from runtime.pointfile import layout
from runtime.pointfile.hashing import hash_distinct
from runtime.pointfile.reading.decoded_blocks import Buffers
from runtime.pointfile.reading.file import PointFile


def verify_file(file: PointFile, buffers: Buffers | None = None) -> None:
    """Read the whole file; FormatError unless every checksum and every entry of its directory is right."""
    buffers = buffers or Buffers()
    file._check_header(bytes(file._fetch(0, layout.HEADER.size)))
    offsets = file.places.offsets.tolist()
    slots = [(file.time_name, 0), *((name, 1 + i) for i, name in enumerate(file.schema))]
    for name, slot in slots:
        for b in range(len(file.blocks)):
            first, end = file.places.chunk_frames[slot, b : b + 2].tolist()
            _check_crcs(file, offsets, first, end, f"block {b} of column {name!r}")
    _check_crcs(file, offsets, file.places.counts, len(offsets) - 1, "its dictionaries")
    _check_keys(file)
    for column, kind in file.schema.items():
        if kind is Type.STRING:
            file.dictionary(column)
    for b in range(len(file.blocks)):
        _check_block(file, b, buffers)


def _check_crcs(file: PointFile, offsets: list[int], first: int, end: int, what: str) -> None:
    start = offsets[first]
    data = file._fetch(start, offsets[end] - start)
    crcs = file._footer.frames["crc"][first:end].tolist()
    for lo, hi, crc in zip(offsets[first:end], offsets[first + 1 : end + 1], crcs, strict=True):
        if zlib.crc32(data[lo - start : hi - start]) != crc:
            raise FormatError(f"{file.name} is damaged: {what}: a checksum is wrong")


def _check_keys(file: PointFile) -> None:
    hashes = hash_distinct(file.key_column(0, file.keys))
    slots = (hashes >> np.uint64(56)).astype(np.int64)
    if (hashes[1:] < hashes[:-1]).any() or (np.bincount(slots, minlength=256) != file._footer.shard_keys).any():
        raise FormatError(f"{file.name} is damaged: its keys are not in the order of their hashes")
    assert len(file.run_starts) == file.keys + 1


def _check_block(file: PointFile, b: int, buffers: Buffers) -> None:
    block = file.load(list(file.schema), b, b + 1).block(b, list(file.schema), buffers)
    entry = file.blocks[b]
    inside = np.ones(block.rows - 1, np.bool_)
    inside[np.cumsum(block.run_lengths)[:-1] - 1] = False
    steps = np.diff(block.time)[inside]
    claims = (int(entry["t_min"]), int(entry["t_max"]), int(entry["max_step"]))
    found_times = (int(block.time.min()), int(block.time.max()), int(steps.max(initial=-1)))
    if found_times != claims or (steps < 0).any():
        raise FormatError(f"{file.name} is damaged: the times of block {b} are not what its directory says")
    for name, (values, valid) in block.columns.items():
        chunk = file._footer.chunks[file.slot(name), b]
        present = values[valid.astype(np.bool_)] if len(valid) == len(values) else values
        if not valid.any():
            continue
        pair = np.array([present.min(), present.max()])
        found = pair.view(np.int64) if file.schema[name] is Type.FLOAT else pair.astype(np.int64)
        if file.schema[name] is Type.FLOAT:
            same = np.array_equal(pair, np.array([chunk["vmin"], chunk["vmax"]]).view(np.float64), equal_nan=True)
        else:
            same = found.tolist() == [int(chunk["vmin"]), int(chunk["vmax"])]
        if not same:
            raise FormatError(f"{file.name} is damaged: column {name!r} of block {b} differs from its declared values")
