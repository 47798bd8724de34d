"""zstd through its C functions and through the package: the same rows, and the same errors."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from runtime.errors import FormatError
from runtime.pointfile import Buffers
from runtime.pointfile.zstd import ZstdContext, called_back, library
from tests.runtime.pointfile.cases import file_rows, open_bytes
from tests.runtime.pointfile.test_damage import small


@pytest.fixture(scope="module")
def by_methods() -> Buffers:
    return Buffers(ZstdContext(called_back()))


def outcome(data: bytes, buffers: Buffers) -> object:
    try:
        return file_rows(open_bytes(data), buffers)
    except FormatError:
        return None


def test_the_same_rows(by_methods: Buffers) -> None:
    data = small()
    assert outcome(data, by_methods) == outcome(data, Buffers()) is not None


def test_the_same_refusals(by_methods: Buffers) -> None:
    data, by_functions = small(), Buffers()
    for at in range(32, len(data) // 2, 7):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        assert outcome(bytes(damaged), by_methods) == outcome(bytes(damaged), by_functions)


def test_the_wheel_carries_a_library_with_its_functions() -> None:
    # Without it everything works, several times slower; the wheels for Linux and macOS have it.
    assert library().has_contexts


def test_a_context_lives_as_long_as_it_is_used() -> None:
    for _ in range(100):
        context = ZstdContext()
        assert np.count_nonzero(context.words) == 3
        del context
    gc.collect()
