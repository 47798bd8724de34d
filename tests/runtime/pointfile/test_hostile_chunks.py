"""Payloads with right checksums and wrong contents: refused before anything is indexed with them."""

from __future__ import annotations

import numpy as np
import pytest

from operators.types import Type
from runtime.pointfile import Buffers
from runtime.pointfile.frames import Compressor, width_of
from runtime.pointfile.layout import BITWISE, DELTA, FOR, LINEAR, RUNS
from runtime.pointfile.reading import unpack

ROWS = 6
ZSTD = Compressor(3)
BUFFERS = Buffers()
KINDS = {Type.BOOL: unpack.BOOL, Type.FLOAT: unpack.FLOAT, Type.STRING: unpack.STRING}


def decoded(kind: Type, frames: list[bytes], words: int | None = None, **fields: int) -> list[object]:
    """The values of a chunk of ``ROWS`` rows in two key runs, made of these frames."""
    names = ("encoding", "scale", "width", "width2", "nulls", "count", "base", "tick", "step", "frame")
    given = dict.fromkeys(names, 0) | {"encoding": FOR, "scale": BITWISE, "tick": 1} | fields
    chunks = np.array([[[given[name] for name in names]]], np.int64)
    data = np.frombuffer(b"".join(frames), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in frames])]).astype(np.int64)
    one = np.zeros(1, np.int64)
    outputs = np.zeros((1, ROWS), np.int64), np.zeros((1, ROWS), np.int32), np.zeros((1, ROWS), np.uint8)
    st = np.zeros(6, np.int64)
    wrong = unpack.unpack_blocks(
        BUFFERS.zstd.words, st, offsets, one + data.ctypes.data, one + KINDS.get(kind, unpack.WHOLE), one,
        one + unpack.VALUES, chunks,
        np.array([[0, ROWS, 0, 2, 0]], np.int64), 0, 1, np.array([0, 2, 6], np.int64),
        np.arange(words or 0, dtype=np.int32), np.array([0, words or 0], np.int64), np.zeros(2, np.int64),
        np.zeros(2, np.int64),
        np.zeros(unpack.planes_size(ROWS), np.uint8), np.zeros(ROWS, np.uint64), np.zeros(ROWS, np.int64), *outputs,
        np.zeros((1, ROWS), np.uint8),
    )  # fmt: skip
    if wrong:
        raise ValueError(unpack.WRONG[wrong])
    out = outputs[1 if kind is Type.STRING else 2 if kind is Type.BOOL else 0][0]
    return (out.view(np.float64) if kind is Type.FLOAT else out).tolist()


def array(values: list[int], width: int | None = None) -> list[bytes]:
    return ZSTD.array(np.array(values, np.uint64), width or width_of(max(values)))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_codes_outside_the_dictionary(width: int) -> None:
    good = [0, 1, 2, 2, 1, 0]
    assert decoded(Type.STRING, array(good, width), words=3, width=width) == good
    for bad in ([0, 1, 2, 3, 1, 0], [0, 0, 0, 0, 0, 256**width - 1]):
        with pytest.raises(ValueError, match="a code is outside its dictionary"):
            decoded(Type.STRING, array(bad, width), words=3, width=width)
    with pytest.raises(ValueError, match="a code is outside its dictionary"):
        decoded(Type.STRING, array(good, width), words=3, width=width, base=1)


@pytest.mark.parametrize("lengths", [[1, 2], [1, 4], [1, 0], [255, 0], [0, 255]])
def test_runs_that_do_not_fill_the_block(lengths: list[int]) -> None:
    for kind, words in ((Type.INT, None), (Type.FLOAT, None), (Type.STRING, 9), (Type.BOOL, None)):
        fields = {"encoding": RUNS, "count": 2, "width": 1, "width2": 1}
        values = array([0, 1], 1)
        assert len(decoded(kind, [*values, *array([1, 3], 1)], words, **fields)) == ROWS
        with pytest.raises(ValueError, match="its runs do not add up"):
            decoded(kind, [*values, *array(lengths, 1)], words, **fields)


def test_run_lengths_that_overflow() -> None:
    fields = {"encoding": RUNS, "count": 2, "width": 1, "width2": 8}
    for lengths in ([2**64 - 1, 5], [2**63, 2**63 + 5], [2**64 - 3, 7]):
        with pytest.raises(ValueError, match="its runs do not add up"):
            decoded(Type.INT, [*array([0, 1], 1), *array(lengths, 8)], **fields)


@pytest.mark.parametrize("at", [ROWS, 255, (1 << 24) - 1])
@pytest.mark.parametrize("encoding", [FOR, DELTA])
def test_patches_outside_the_block(at: int, encoding: int) -> None:
    tenths = array([1, 2, 3, 4, 5, 6], 1) if encoding == FOR else [*array([1, 3], 1), *array([1, 1, 1, 1], 1)]
    fields = {"encoding": encoding, "scale": 1, "count": 1, "width": 1, "width2": 1}
    minus_zero = array([1 << 63], 8)
    good = decoded(Type.FLOAT, [*tenths, *array([5], 3), *minus_zero], **fields)
    assert str(good) == "[0.1, 0.2, 0.3, 0.4, 0.5, -0.0]"
    with pytest.raises(ValueError, match="a patch is outside its block"):
        decoded(Type.FLOAT, [*tenths, *array([at], 3), *minus_zero], **fields)


def test_booleans_that_are_none() -> None:
    fields = {"encoding": RUNS, "count": 2, "width": 1, "width2": 1}
    with pytest.raises(ValueError, match="a boolean is neither 0 nor 1"):
        decoded(Type.BOOL, [*array([0, 2], 1), *array([1, 3], 1)], **fields)


def test_a_null_bitmap_that_disagrees_with_the_count() -> None:
    bitmap = ZSTD.planes(np.array([[0b101111]], np.uint8))
    assert decoded(Type.INT, [*bitmap, *array([1, 2, 3, 4, 5, 6])], width=1, nulls=1) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="null bitmap"):
        decoded(Type.INT, [*bitmap, *array([1, 2, 3, 4, 5, 6])], width=1, nulls=2)


def test_lines() -> None:
    # Two runs: from 10 in steps of 3, from 50 in steps of 5; distances of 13 bits: a byte, a nibble and a bit.
    distances = [0, 8191, 1, 300, 4096, 2]
    parts = [array([d & 255 for d in distances], 1)]
    parts.append(ZSTD.planes(np.array([[0 | 15 << 4, 0 | 1 << 4, 0 | 0 << 4]], np.uint8)))
    parts.append(ZSTD.planes(np.array([[0b010010]], np.uint8)))
    frames = [*array([0, 40], 1), *array([0, 2], 1), *(f for part in parts for f in part)]
    fields = {"encoding": LINEAR, "width": 1, "count": 1, "width2": 13, "base": 10, "step": 3}
    expected = [10 + 0, 10 + 3 + 8191, 50 + 1, 50 + 5 + 300, 50 + 10 + 4096, 50 + 15 + 2]
    assert decoded(Type.INT, frames, **fields) == expected
    with pytest.raises(ValueError, match="a frame does not begin as it must"):
        decoded(Type.INT, frames, **(fields | {"width2": 12 + 8}))
