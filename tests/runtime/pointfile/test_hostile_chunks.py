"""Payloads whose checksums are right and whose contents are not: refused before anything is indexed with them."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard

from operators.types import Type
from runtime.pointfile import Buffers
from runtime.pointfile.blocks import ChunkInfo, Frames, decode_chunk
from runtime.pointfile.frames import Compressor, width_of
from runtime.pointfile.layout import BITWISE, DELTA, FOR, RUNS

ROWS = 6
ZSTD = Compressor(3)


def decoded(kind: Type, frames: list[bytes], words: int | None = None, **fields: int) -> list[object]:
    """The values of a chunk of ``ROWS`` rows in two key runs, made of these frames."""
    plain = dict.fromkeys(("width", "width2", "nulls", "count", "base", "step", "vmin", "vmax"), 0)
    info = ChunkInfo(**({"encoding": FOR, "scale": BITWISE, "tick": 1} | plain | fields))
    source = Frames(memoryview(b"".join(frames)), [len(f) for f in frames], zstandard.ZstdDecompressor())
    table = None if words is None else np.arange(words, dtype=np.int32)
    lengths = np.array([2, 4], np.int64)
    return decode_chunk(kind, "x", info, source, ROWS, lengths, table, Buffers())[0].tolist()


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
