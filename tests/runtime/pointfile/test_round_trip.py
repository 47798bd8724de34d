"""Rows read are the rows written, in every bit."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import STORED, Type
from runtime.columns import Column, Dictionary, Points
from runtime.errors import FormatError
from runtime.pointfile import Buffers, encode, sort_points, verify_file
from runtime.pointfile.layout import BITS, BITWISE, CONST, DELTA, FOR, LINEAR, MICROS_PER_DAY, RUNS
from tests.runtime.pointfile.cases import (
    DAY,
    KEY,
    START,
    TIME,
    VALUES,
    any_points,
    column,
    column_of,
    file_rows,
    largest_step,
    open_bytes,
    packed,
    plain_order,
    rows_of,
    text_column,
)

SHARED = Buffers()


def one_key(columns: dict[str, Column], rows: int, step: int = 1000) -> Points:
    key = Column(Type.STRING, np.zeros(rows, np.int32), None, Dictionary.of(["only"]))
    return Points(key, START + np.arange(rows, dtype=np.int64) * step, columns)


@given(any_points(), st.sampled_from([1, 2, 7, 16, 32768]))
def test_any_points_come_back(points: Points, block_rows: int) -> None:
    file = open_bytes(packed(points, block_rows))
    assert file_rows(file, SHARED) == plain_order(points)
    assert (file.rows, file.day, file.key_name, file.time_name) == (len(points), DAY, KEY, TIME)
    assert file.key_type is points.key.type
    assert file.schema == {name: c.type for name, c in points.columns.items()}
    verify_file(file, SHARED)


@pytest.mark.parametrize("kind", [kind for kind in STORED if kind.places in (None, 0, 2, 18)])
@settings(max_examples=max(10, settings().max_examples // 4))
@given(data=st.data())
def test_long_columns_come_back(kind: Type, data: st.DataObject) -> None:
    few = data.draw(column_of(kind, 50))
    index = np.arange(20_000) * data.draw(st.sampled_from([1, 7, 50])) // data.draw(st.sampled_from([1, 50, 401])) % 50
    points = one_key({"x": few.take(index)}, len(index))
    assert file_rows(open_bytes(packed(points, 9000)), SHARED) == rows_of(points)


@given(any_points(), st.sampled_from([3, 10, 100]))
def test_statistics_are_those_of_the_rows(points: Points, block_rows: int) -> None:
    file = open_bytes(packed(points, block_rows))
    rows = file_rows(file)
    for b, entry in enumerate(file.blocks):
        inside = rows[entry["row_start"] : entry["row_start"] + entry["rows"]]
        times = [row[1] for row in inside]
        assert (entry["t_min"], entry["t_max"]) == (min(times), max(times))
        assert entry["max_step"] == largest_step(inside)
        assert entry["runs"] == len({row[0] for row in inside})
        for i, (name, kind) in enumerate(file.schema.items()):
            chunk = file.chunks(name)[b]
            values = [row[2 + i] for row in inside if row[2 + i] is not None]
            assert chunk["nulls"] == len(inside) - len(values)
            assert not chunk["constant"] or len({row[2 + i] for row in inside}) == 1
            if values and kind is Type.FLOAT:
                floats = np.frombuffer(b"".join(values))  # type: ignore[arg-type]
                low, high = np.array([chunk["vmin"], chunk["vmax"]]).view(np.float64)
                nan = bool(np.isnan(floats).any())
                assert nan == math.isnan(low) == math.isnan(high)
                assert nan or (low, high) == (floats.min(), floats.max())
            elif values:
                words = file.dictionary(name).strings if kind is Type.STRING else None
                span = (chunk["vmin"], chunk["vmax"])
                if kind.places is not None:
                    values = [int(v.scaleb(kind.places)) for v in values]  # type: ignore[attr-defined]
                assert (words[span[0]], words[span[1]]) if words else span == (min(values), max(values))  # type: ignore[type-var]


def encoding(kind: Type, values: list[object], block_rows: int = 32768) -> int:
    file = open_bytes(packed(one_key({"x": column(kind, values)}, len(values)), block_rows))
    return int(file.chunks("x")["encoding"][0])


def test_each_encoding_is_chosen_where_it_is_for() -> None:
    rng = np.random.default_rng(5)
    n = 20_000
    noise = rng.integers(0, 2, n).astype(bool).tolist()
    walk = (np.cumsum(rng.integers(-3, 4, n)) / 10).tolist()
    assert encoding(Type.INT, [2**63 - 1] * n) == CONST
    assert encoding(Type.BOOL, noise) == BITS
    assert encoding(Type.BOOL, np.repeat(np.arange(150) % 2 == 0, rng.integers(100, 200, 150)).tolist()) == RUNS
    assert encoding(Type.INT, rng.integers(0, 256, n).tolist()) == FOR
    assert encoding(Type.INT, (np.arange(n) * 60_000 + rng.integers(0, 4000, n)).tolist()) == LINEAR
    assert encoding(Type.FLOAT, walk) == DELTA
    assert encoding(Type.STRING, ["up" if i % 5000 < 4000 else "down" for i in range(n)]) == RUNS


@pytest.mark.parametrize("span", [2**59, 2**60 - 1, 2**60, 2**61, 2**62 - 1, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("shape", ["line", "step", "fall", "noise", "apart"])
def test_lines_over_wide_spans_lose_nothing(span: int, shape: str) -> None:
    rng, n = np.random.default_rng(3), 4000
    jitter = rng.integers(0, 4000, n).tolist()
    parts = {
        "line": [i * span // (n - 1) for i in range(n)],
        "step": [0 if i < n // 2 else span for i in range(n)],
        "fall": [span - i * span // (n - 1) for i in range(n)],
        "noise": [int(v) % (span + 1) for v in rng.integers(0, 2**64, n, np.uint64)],
        # Three keys, at the ends and in the middle of the span.
        "apart": [
            abs((0, span // 2, span - 2**31)[i * 3 // n] - 60_000 * (i if i * 3 < n else n - i) - late)
            for i, late in enumerate(jitter)
        ],
    }[shape]
    values = [v - 2**63 for v in parts]
    keys = text_column(["abc"[i * 3 // n] for i in range(n)])
    points = Points(keys, START + np.arange(n), {"x": column(Type.INT, list(values))})
    assert file_rows(open_bytes(packed(points))) == plain_order(points)


def test_floats_are_decimals_only_where_that_is_exact() -> None:
    def scale(values: list[float]) -> int:
        file = open_bytes(packed(one_key({"x": column(Type.FLOAT, list(values))}, len(values))))
        return int(file._footer.chunks[1]["scale"][0])

    decimals = [i / 10 for i in range(1000)]
    assert scale(decimals) == 1
    assert scale([float(i) for i in range(1000)]) == 0
    assert scale([1000000.25, 0.5, 3.0]) == 2
    assert scale([1 / 3 + i for i in range(100)]) == BITWISE


@pytest.mark.parametrize("odd", [-0.0, float("nan"), float("-inf"), 5e-324, 1 / 3, 0.1 + 0.2, 2.0**60])
@pytest.mark.parametrize("values", ["even", "walk", "runs"])
def test_a_few_odd_values_do_not_cost_the_others_their_encoding(odd: float, values: str) -> None:
    rng = np.random.default_rng(7)
    n = 20_000
    tenths = {"even": rng.integers(0, 900, n), "walk": np.cumsum(rng.integers(-3, 4, n)), "runs": np.arange(n) // 999}
    floats = tenths[values] / 10
    floats[rng.integers(0, n, 300)] = odd
    floats[0] = floats[-1] = odd
    points = one_key({"x": Column(Type.FLOAT, floats)}, n)
    file = open_bytes(packed(points))
    assert int(file._footer.chunks[1]["scale"][0]) == 1
    assert file.chunk_bytes("x").sum() < 2 * n
    assert file_rows(file, SHARED) == rows_of(points)
    verify_file(file, SHARED)


def test_decimals_that_are_all_the_same_but_for_patches() -> None:
    points = one_key({"x": column(Type.FLOAT, [0.5] * 49 + [5e-324])}, 50)
    assert file_rows(open_bytes(packed(points))) == rows_of(points)


@given(st.lists(st.one_of(VALUES[Type.FLOAT]), min_size=1, max_size=30))
def test_payloads_of_nan_and_signs_of_zero_survive(values: list[float]) -> None:
    values = [*values, -0.0, float(np.array([0x7FF0000000000001], np.uint64).view(np.float64)[0])]
    points = one_key({"x": column(Type.FLOAT, list(values))}, len(values))
    assert file_rows(open_bytes(packed(points)), SHARED) == rows_of(points)


def test_a_regular_series_takes_next_to_nothing() -> None:
    data = packed(one_key({"n": column(Type.INT, list(range(0, 300_000, 3)))}, 100_000, step=60))
    assert len(data) < 1500


def test_a_hundred_thousand_keys() -> None:
    n = 100_000
    key = Column(Type.STRING, np.arange(n, dtype=np.int32), None, Dictionary.of([f"k{i}" for i in range(n)]))
    points = Points(key, np.full(n, START), {"x": Column(Type.INT, np.arange(n))})
    file = open_bytes(packed(points))
    assert file.keys == n
    assert file_rows(file, SHARED) == rows_of(sort_points(points))


def test_the_day_is_exact_at_both_ends() -> None:
    points = Points(text_column(["a", "a"]), np.array([START, START + MICROS_PER_DAY - 1]), {})
    assert file_rows(open_bytes(packed(points))) == rows_of(points)
    for late in (START - 1, START + MICROS_PER_DAY):
        with pytest.raises(ValueError, match="not all points lie in UTC day"):
            packed(Points(text_column(["a"]), np.array([late]), {}))


def test_days_before_1970() -> None:
    points = Points(text_column(["a"]), np.array([-5]), {})
    assert open_bytes(encode(points, key=KEY, time=TIME, day=-1)).day == -1


def test_words_that_no_row_uses_are_left_out() -> None:
    words = Dictionary.of(["never", "b", "a", "nor this"])
    points = one_key({"s": Column(Type.STRING, np.array([1, 2, 1], np.int32), None, words)}, 3)
    file = open_bytes(packed(points))
    assert file.dictionary("s").strings == ["a", "b"]
    assert [row[2] for row in file_rows(file)] == ["b", "a", "b"]


def test_codes_of_nulls_may_be_anything() -> None:
    valid = np.array([True, False, False])
    points = one_key({"s": Column(Type.STRING, np.array([0, -1, 99], np.int32), valid, Dictionary.of(["a"]))}, 3)
    assert [row[2] for row in file_rows(open_bytes(packed(points)))] == ["a", None, None]


def test_a_column_of_strings_that_are_all_null_has_no_words() -> None:
    points = one_key({"s": Column(Type.STRING, np.zeros(4, np.int32), np.zeros(4, np.bool_), Dictionary.of([]))}, 4)
    file = open_bytes(packed(points))
    assert len(file.dictionary("s")) == 0
    assert [row[2] for row in file_rows(file)] == [None] * 4


def test_code_maps_translate_codes() -> None:
    values = ["up", "down", "up", None] * 3000
    points = one_key({"s": text_column(values), "c": text_column(["one"] * 12_000)}, 12_000)
    file = open_bytes(packed(points))
    maps = {"s": np.array([70, 80], np.int32), "c": np.array([7], np.int32)}
    block = file.load(["s", "c"], 0, 1).block(0, ["s", "c"], Buffers(), maps)
    codes, valid = block.columns["s"]
    assert codes[valid.astype(bool)].tolist() == [80, 70, 80] * 3000
    assert block.columns["c"][0].tolist() == [7]
    with pytest.raises(ValueError, match="code map of column 's'"):
        file.load(["s"], 0, 1).block(0, ["s"], Buffers(), {"s": np.zeros(1, np.int32)})


@pytest.mark.parametrize("block_rows", [0, -1, (1 << 19) + 1])
def test_block_sizes_out_of_bounds(block_rows: int) -> None:
    with pytest.raises(ValueError, match="block_rows"):
        packed(one_key({}, 1), block_rows)


def test_what_cannot_be_encoded_is_refused() -> None:
    empty = Points(text_column([]), np.zeros(0, np.int64), {})
    bad_bool = one_key({"b": Column(Type.BOOL, np.array([2], np.uint8))}, 1)
    bad_code = one_key({"s": Column(Type.STRING, np.array([3], np.int32), None, Dictionary.of(["a"]))}, 1)
    no_words = one_key({"s": Column(Type.STRING, np.array([0], np.int32))}, 1)
    wrong_dtype = one_key({"n": Column(Type.INT, np.array([0], np.int32))}, 1)
    null_key = Points(text_column(["a", None]), np.array([START, START]), {})
    same_name = one_key({TIME: column(Type.INT, [1])}, 1)
    seq = one_key({"$seq": column(Type.FLOAT, [1.0])}, 1)
    surrogate = one_key({"\ud800": column(Type.INT, [1])}, 1)
    cases = [empty, bad_bool, bad_code, no_words, wrong_dtype, null_key, same_name, seq, surrogate]
    for points in cases:
        with pytest.raises(ValueError, match=r"\w"):
            encode(points, key=KEY, time=TIME, day=DAY)


def test_the_reserved_column_is_an_ordinary_one_today() -> None:
    points = one_key({"$seq": column(Type.INT, [4, 2, 9])}, 3)
    assert [row[2] for row in file_rows(open_bytes(packed(points)))] == [4, 2, 9]


@pytest.mark.parametrize("days", [2, 31, 366])
def test_a_file_of_several_days(days: int) -> None:
    rows = 1000
    time = START + np.linspace(0, days * MICROS_PER_DAY - 1, rows).astype(np.int64)
    points = Points(one_key({}, rows).key, time, {"x": column(Type.INT, list(range(rows)))})
    data = encode(points, key=KEY, time=TIME, day=DAY, days=days)
    file = open_bytes(data)
    assert (file.day, file.days) == (DAY, days)
    assert file_rows(file, SHARED) == plain_order(points)
    verify_file(file, SHARED)
    with pytest.raises(ValueError, match="points lie in UTC days"):
        encode(points, key=KEY, time=TIME, day=DAY, days=days + 1 if days < 366 else 365)
    with pytest.raises(ValueError, match="from 1 to 366 days"):
        encode(points, key=KEY, time=TIME, day=DAY, days=367)


def test_the_versions_of_files_of_several_days_agree() -> None:
    """The trailer says 2 where the footer says one day, and the other way round."""
    one = packed(one_key({}, 3))
    points = Points(one_key({}, 2).key, np.array([START, START + MICROS_PER_DAY]), {})
    for data, version in ((one, 2), (encode(points, key=KEY, time=TIME, day=DAY, days=2), 1)):
        trailer = bytearray(data[-36:])
        struct.pack_into("<H", trailer, 20, version)
        struct.pack_into("<I", trailer, 24, zlib.crc32(trailer[:24]))
        with pytest.raises(FormatError, match="its trailer contradicts its footer"):
            open_bytes(data[:-36] + bytes(trailer))


def test_same_points_same_bytes() -> None:
    points = one_key({"x": column(Type.FLOAT, [0.5, None, 2.5])}, 3)
    assert packed(points) == packed(points)


@pytest.mark.parametrize("level", [1, 3, 9, 19])
def test_large_blocks_at_every_level(level: int) -> None:
    rng = np.random.default_rng(level)
    points = one_key({"x": Column(Type.INT, rng.integers(0, 1 << 40, 200_000))}, 200_000)
    file = open_bytes(packed(points, block_rows=1 << 19, level=level))
    assert len(file.blocks) == 1
    assert (file.load(["x"], 0, 1).block(0, ["x"], SHARED).columns["x"][0] == points.columns["x"].values).all()
