"""The loops of the encodings beside plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.pointfile import chunk_loops as loops

WORD = 1 << 64
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
REALS = st.one_of(
    st.floats(), st.decimals(-1000, 1000, places=2).map(float), st.sampled_from([0.0, -0.0, 0.1 + 0.2, 2.0**53 + 2])
)


def bits_of(value: float) -> int:
    return int(np.float64(value).view(np.int64))


@given(st.lists(st.tuples(INTS, st.booleans()), min_size=1, max_size=600).filter(lambda rows: any(v for _, v in rows)))
def test_fill(rows: list[tuple[int, bool]]) -> None:
    values, valid = np.array([v for v, _ in rows], np.int64), np.array([v for _, v in rows], np.bool_)
    out = np.empty(len(rows), np.int64)
    loops.fill(values, valid, out)
    last = next(v for v, is_valid in rows if is_valid)
    for (value, is_valid), found in zip(rows, out.tolist(), strict=True):
        last = value if is_valid else last
        assert found == last


@given(st.lists(REALS, min_size=1, max_size=600), st.integers(0, 9))
def test_scale(rows: list[float], places: int) -> None:
    values = np.array(rows, np.float64)
    whole, exact = np.empty(len(rows), np.int64), np.empty(len(rows), np.bool_)
    misses = loops.scale(values, values.view(np.int64), places, len(rows), whole, exact)
    assert misses == len(rows) - exact.sum()
    last = next((n for n, is_exact in zip(whole.tolist(), exact, strict=True) if is_exact), 0)
    for value, n, is_exact in zip(rows, whole.tolist(), exact.tolist(), strict=True):
        product = value * 10.0**places
        nearest = round(Fraction(product)) if math.isfinite(product) else None
        restores = nearest is not None and abs(nearest) <= 1 << 53 and bits_of(nearest / 10**places) == bits_of(value)
        assert is_exact == restores
        last = nearest if restores else last
        assert n == last


@given(st.integers(0, WORD - 1), st.lists(st.integers(0, WORD - 1), min_size=1, max_size=600))
def test_divide_by_tick(factor: int, rows: list[int]) -> None:
    values = [v * factor if v * factor < WORD else v for v in rows]
    offsets = np.array(values, np.uint64)
    tick = loops.divide_by_tick(offsets) % WORD
    assert tick == (math.gcd(*values) or 1)
    assert offsets.tolist() == [v // tick for v in values]


RUNS = st.lists(st.lists(st.integers(0, (1 << 60) - 1), min_size=1, max_size=40), min_size=1, max_size=20)


@given(RUNS.filter(lambda runs: any(len(run) > 1 for run in runs)))
def test_differences(runs: list[list[int]]) -> None:
    values = np.array([v for run in runs for v in run], np.int64)
    starts = np.cumsum([0, *map(len, runs)])[:-1]
    out = np.empty(len(values) - len(runs), np.int64)
    least = loops.differences(values, starts, out)
    steps = [b - a for run in runs for a, b in pairwise(run)]
    assert least == min(steps)
    assert out.tolist() == [step - least for step in steps]


@given(RUNS)
def test_lines(runs: list[list[int]]) -> None:
    values = np.array([v for run in runs for v in run], np.int64)
    starts = np.cumsum([0, *map(len, runs)])[:-1]
    slopes, firsts = np.empty(len(runs), np.int64), np.empty(len(runs), np.int64)
    out = np.empty(len(values), np.int64)
    loops.lines(values, starts, slopes, firsts, out)
    for run, begin, slope, first in zip(runs, starts.tolist(), slopes.tolist(), firsts.tolist(), strict=True):
        distances = out[begin : begin + len(run)].tolist()
        assert min(distances) == 0
        assert [first + slope * i + d for i, d in enumerate(distances)] == run
        n, middle = len(run), Fraction(len(run) - 1, 2)
        xx = max(sum((i - middle) ** 2 for i in range(n)), Fraction(1))
        best = sum((i - middle) * (v - run[0]) for i, v in enumerate(run)) / xx
        assert abs(slope - best) <= Fraction(1, 2) + abs(best) / (1 << 40) + (1 << 20)


@given(st.lists(st.integers(0, WORD - 1), min_size=1, max_size=600), st.integers(0, 8))
def test_planes(values: list[int], width: int) -> None:
    out = np.empty((width, len(values)), np.uint8)
    loops.planes(np.array(values, np.uint64), out)
    assert out.tolist() == [[v >> 8 * k & 255 for v in values] for k in range(width)]


@given(st.lists(st.integers(0, WORD - 1), min_size=1, max_size=600), st.integers(0, 60), st.sampled_from([1, 2, 4]))
def test_bit_part(values: list[int], shift: int, part: int) -> None:
    out = np.empty(-(-len(values) * part // 8), np.uint8)
    loops.bit_part(np.array(values, np.uint64), shift, part, out)
    together = sum((v >> shift & (1 << part) - 1) << i * part for i, v in enumerate(values))
    assert int.from_bytes(out.tobytes(), "little") == together
