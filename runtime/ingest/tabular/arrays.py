"""Numpy arrays, and dicts of arrays and lists, as typed columns; strings become codes without an object per value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED
from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.arrow import pyarrow
from runtime.ingest.tabular.decoded import (
    Chunk,
    Decoded,
    WordsOf,
    all_null,
    mask_of,
    of_texts,
    of_uint64,
    reals,
    rows_of,
    with_texts,
)
from runtime.ingest.tabular.python_values import Objects, of_objects
from runtime.ingest.tabular.value_texts import binary_text, iso_duration, iso_interval
from runtime.ingest.text.json_strict import name_fault

_COARSER = {"Y": 0, "M": 0, "W": 604_800_000, "D": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
"""Units in which a time may be out of range in microseconds, in milliseconds; years and months have none."""


def mapping_chunks(table: Mapping[Any, Any], name: str, rows: int, words: WordsOf) -> Iterator[Chunk]:
    """The rows of a dict of arrays, lists or series of one length, some at a time."""
    columns = {str(column): _as_column(values) for column, values in table.items()}
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1 or any(getattr(column, "ndim", 1) != 1 for column in columns.values()):
        raise IngestError(f"{name} has columns of different lengths: give arrays of one length.")
    most = rows_of(rows, len(columns))
    for at in range(0, max(sizes, default=0), most):
        yield {n: _decoded(column[at : at + most], n, words) for n, column in columns.items()}


def _as_column(values: Any) -> Any:
    """An array unchanged; Python values as they are, since numpy would make them one type."""
    if type(values).__module__.partition(".")[0] in ("pyarrow", "polars"):
        # As an array of numpy, integers with nulls would be floats.
        found = pyarrow().chunked_array(values) if hasattr(values, "__arrow_c_stream__") else values
        return found.combine_chunks() if hasattr(found, "combine_chunks") else found
    array = np.asarray(values) if hasattr(values, "__array__") else None
    if array is not None and array.dtype.kind != "O":
        return array
    return Objects.of(list(values) if array is None else array.tolist())


def _decoded(column: Any, name: str, words: WordsOf) -> Decoded:
    fault = name_fault(name)
    if fault:
        return all_null(len(column), fault)
    if isinstance(column, Objects):
        return of_objects(column.values, name, words, column.main)
    if isinstance(column, np.ndarray):
        return from_numpy(column, name, words)
    from runtime.ingest.tabular.arrow_columns import column_of

    return column_of(column, name, words)


def from_numpy(array: NDArray[Any], name: str, words: WordsOf) -> Decoded:
    """The column of a numpy array; NaN, NaT and (in object arrays) None are null."""
    kind = array.dtype.kind
    if kind == "b":
        return Decoded(Type.BOOL, array.astype(np.uint8), None)
    if kind == "u" and array.dtype.itemsize == 8:
        return of_uint64(array.astype(np.uint64), None, name, words)
    if kind in "iu":
        return Decoded(Type.INT, array.astype(np.int64), None)
    if kind == "f":
        return _reals(array, name, words)
    if kind in "mM":
        return _times(array, name, words)
    if kind in "US":
        return Decoded(Type.STRING, _text(array, words(name)), None)
    if kind in "OT":
        return of_objects(array.tolist(), name, words)
    if kind == "c":
        return of_texts([str(v) for v in array.tolist()], name, words, "complex numbers as text")
    return all_null(len(array), f"values of the dtype {array.dtype} have no type here")


def _reals(array: NDArray[Any], name: str, words: WordsOf) -> Decoded:
    with np.errstate(over="ignore"):
        plain = array.astype(np.float64)
    if array.dtype.itemsize <= 8:
        return reals(plain)
    # A longer float may have more digits, or a larger exponent.
    lost = (plain != array) & ~np.isnan(array)
    odd = {row: str(array[row]) for row in np.flatnonzero(lost).tolist()}
    return with_texts(reals(np.where(lost, 0.0, plain)), odd, name, words)


def _times(array: NDArray[Any], name: str, words: WordsOf) -> Decoded:
    """Times or durations in microseconds, rounded down; those out of range go to the text twin."""
    is_time, (unit, size) = array.dtype.kind == "M", np.datetime_data(array.dtype)
    valid = ~np.isnat(array)
    if not is_time and unit in ("Y", "M"):
        months = array.astype("m8[M]").view(np.int64).tolist()
        texts = [iso_interval(n, 0, 0) if there else None for n, there in zip(months, valid.tolist(), strict=True)]
        return of_texts(texts, name, words, "months as ISO-8601 durations")
    out = array.astype(f"{array.dtype.kind}8[us]")
    odd: dict[int, str] = {}
    if unit in _COARSER:
        # numpy's conversion wraps around.
        with np.errstate(all="ignore"):
            lost = np.flatnonzero((out.astype(array.dtype) != array) & valid).tolist()
        ticks = array.view(np.int64)
        odd = {r: str(array[r]) if is_time else iso_duration(int(ticks[r]) * size * _COARSER[unit], "ms") for r in lost}
    values = np.where(valid, out.view(np.int64), 0)
    zone = ZONED if not is_time else LOCAL_DATE if unit in ("Y", "M", "W", "D") else LOCAL
    column = Decoded(Type.TIME if is_time else Type.DURATION, values, mask_of(valid), zone=zone)
    return with_texts(column, odd, name, words)


def _text(array: NDArray[Any], words: InternedStrings) -> NDArray[np.int32]:
    if not len(array):
        return np.zeros(0, np.int32)
    if array.dtype.kind == "U":
        width = array.dtype.itemsize // 4
        points = np.ascontiguousarray(array).view(np.uint32).reshape(len(array), width)
        if width and int(points.max()) >= 128:
            texts = array.tolist()
            try:
                return words.codes_of(texts)
            except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 lacks
                return words.codes_of([t.encode("utf-8", "backslashreplace").decode() for t in texts])
        data = points.astype(np.uint8)
    else:
        width = array.dtype.itemsize
        data = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), width)
        if width and int(data.max()) >= 128:
            return words.codes_of([binary_text(t) for t in array.tolist()])
    if not width:
        return words.codes_of([""] * len(array))
    lengths = width - np.argmax(data[:, ::-1] != 0, axis=1).astype(np.int64)
    lengths[~data.any(axis=1)] = 0
    starts = np.arange(len(array), dtype=np.int64) * width
    return words.codes(data.reshape(-1), starts << 32 | lengths)
