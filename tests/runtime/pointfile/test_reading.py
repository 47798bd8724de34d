"""A reader's requests: one read of the tail, then few and small ones."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.errors import FormatError
from runtime.pointfile import Buffers, PointFile, verify_file
from runtime.pointfile.layout import HEADER
from tests.runtime.pointfile.cases import START, file_rows, packed, rows_of, text_column


class Source:
    """Bytes that remember what was read of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    def open(self) -> PointFile:
        return PointFile.open(self, len(self.data), "test.points")


def noisy(rows: int = 300_000, columns: int = 3) -> Points:
    """Points that do not compress, so that the file is larger than a tail."""
    rng = np.random.default_rng(1)
    key = Column(Type.STRING, np.sort(rng.integers(0, 50, rows)).astype(np.int32), None, Dictionary.of([*"ab"] * 25))
    key = Column(Type.STRING, key.values, None, Dictionary.of([f"d{i}" for i in range(50)]))
    time = START + rng.integers(0, 86_400_000_000, rows)
    return Points(key, time, {f"c{i}": Column(Type.INT, rng.integers(0, 1 << 40, rows)) for i in range(columns)})


@pytest.fixture(scope="module")
def data() -> bytes:
    return packed(noisy())


def test_a_small_file_is_read_at_once() -> None:
    source = Source(packed(Points(text_column(["a", "b"]), START + np.arange(2), {})))
    file_rows(source.open())
    assert source.reads == [(0, len(source.data))]


def test_a_large_file_takes_one_read_of_the_tail_and_one_per_column(data: bytes) -> None:
    source = Source(data)
    file = source.open()
    assert len(source.reads) == 1
    assert source.reads[0][1] < len(data) // 10
    source.reads.clear()
    loaded = file.load(["c2"], 2, 4, time=False)
    assert source.reads[0][1] == loaded.nbytes == file.chunk_bytes("c2")[2:4].sum()
    source.reads.clear()
    file.load(["c0", "c2"], 2, 4)
    assert len(source.reads) == 3


def test_neighbouring_columns_share_a_read(data: bytes) -> None:
    source = Source(data)
    file = source.open()
    source.reads.clear()
    file.load(["c0", "c1"], 0, len(file.blocks))
    assert len(source.reads) == 1
    source.reads.clear()
    file.load(["c0", "c2"], 0, len(file.blocks), gap=len(data))
    assert len(source.reads) == 1


def test_constant_columns_are_not_read_at_all(data: bytes) -> None:
    rows = 300_000
    points = noisy(rows, 1)
    points = Points(points.key, points.time, points.columns | {"k": Column(Type.INT, np.full(rows, 7))})
    source = Source(packed(points))
    file = source.open()
    source.reads.clear()
    loaded = file.load(["k"], 0, len(file.blocks), time=False)
    assert source.reads == []
    values, valid = loaded.block(3, ["k"], Buffers()).columns["k"]
    assert (values.tolist(), valid.tolist()) == ([7], [1])


def test_the_header_is_checked_when_its_neighbours_are_read(data: bytes) -> None:
    damaged = bytes([data[0] ^ 1]) + data[1:]
    file = Source(damaged).open()
    with pytest.raises(FormatError, match=r"test\.points is damaged: its header"):
        file.load([], 0, 1)
    with pytest.raises(FormatError, match="header"):
        verify_file(file)
    assert HEADER.size == 32


def test_a_source_that_gives_too_little(data: bytes) -> None:
    file = PointFile.open(lambda offset, length: data[offset : offset + length], len(data), "x")
    file._read = lambda offset, length: data[offset : offset + length - 1]
    with pytest.raises(FormatError, match="x ends early"):
        file.load(["c0"], 0, 1)


def test_times_can_be_left_out(data: bytes) -> None:
    file = Source(data).open()
    block = file.load(["c0"], 0, 1, time=False).block(0, ["c0"], Buffers())
    assert len(block.time) == 0
    assert len(block.columns["c0"][0]) == block.rows == int(block.run_lengths.sum())


def test_questions_about_what_is_not_there(data: bytes) -> None:
    file = Source(data).open()
    with pytest.raises(ValueError, match="has no column 'nope'; it has ts, c0, c1, c2"):
        file.load(["nope"], 0, 1)
    with pytest.raises(ValueError, match="blocks 0 to 99"):
        file.load(["c0"], 0, 99)
    with pytest.raises(ValueError, match="column 'c1' was not loaded"):
        file.load(["c0"], 0, 1).block(0, ["c1"], Buffers())
    with pytest.raises(ValueError, match="block 1 was not loaded"):
        file.load(["c0"], 0, 1).block(1, ["c0"], Buffers())
    with pytest.raises(ValueError, match="no string column 'c0'"):
        file.dictionary("c0")
    with pytest.raises(ValueError, match="keys 0 to 99"):
        file.key_column(0, 99)


def test_the_time_column_can_be_asked_for_by_name(data: bytes) -> None:
    file = Source(data).open()
    block = file.load(["ts"], 0, 1).block(0, ["ts"], Buffers())
    assert (block.columns["ts"][0] == block.time).all()


def test_threads_share_a_file_with_buffers_of_their_own(data: bytes) -> None:
    file = Source(data).open()
    expected = file_rows(file)
    found: list[bool] = []

    def work() -> None:
        found.append(file_rows(Source(data).open() if len(found) == 3 else file, Buffers()) == expected)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3


def test_buffers_are_used_again(data: bytes) -> None:
    file = Source(data).open()
    buffers = Buffers()
    loaded = file.load(["c0"], 0, 3)
    first = loaded.block(0, ["c0"], buffers).columns["c0"][0]
    second = loaded.block(1, ["c0"], buffers).columns["c0"][0]
    assert np.shares_memory(first, second)
    buffers.clear()
    assert rows_of(Points(text_column([]), np.zeros(0, np.int64), {})) == []
