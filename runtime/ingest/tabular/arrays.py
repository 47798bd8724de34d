"""Numpy arrays as typed columns; strings become codes without an object per value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED
from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings

_COARSER = ("Y", "M", "W", "D", "h", "m", "s", "ms")
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Decoded:
    """A typed column of a table; string values are codes into the words of its name.

    ``zone`` is ``LOCAL`` for times that are what a clock showed, ``LOCAL_DATE`` for such dates.
    """

    type: Type
    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    zone: int = ZONED


def from_numpy(array: NDArray[Any], name: str, words: Callable[[str], InternedStrings]) -> Decoded:
    """The column of a numpy array; NaN, NaT and (in object arrays) None are null."""
    kind = array.dtype.kind
    if kind == "b":
        return Decoded(Type.BOOL, array.astype(np.uint8), None)
    if kind in "iu":
        if array.dtype == np.uint64 and len(array) and int(array.max()) >= 2**63:
            raise IngestError(f"column {name!r} has integers that do not fit in int64.")
        return Decoded(Type.INT, array.astype(np.int64), None)
    if kind == "f":
        return reals(array.astype(np.float64))
    if kind in "mM":
        valid = ~np.isnat(array)
        micros = floored(array).view(np.int64)
        return Decoded(
            Type.TIME if kind == "M" else Type.DURATION,
            np.where(valid, micros, 0),
            None if valid.all() else valid,
            LOCAL_DATE if np.datetime_data(array.dtype)[0] in ("Y", "M", "W", "D") else LOCAL,
        )
    if kind in "US":
        return Decoded(Type.STRING, _text(array, name, words), None)
    if kind in "OT":
        return _objects(array, name, words)
    raise IngestError(f"column {name!r} has the dtype {array.dtype}, which is not supported: convert it.")


def floored(array: NDArray[Any]) -> NDArray[Any]:
    """Times or durations in microseconds, rounded down; values out of range are clipped."""
    out = array.astype(f"{array.dtype.kind}8[us]")
    if np.datetime_data(array.dtype)[0] in _COARSER:
        # numpy's conversion wraps around.
        with np.errstate(all="ignore"):
            lost = (out.astype(array.dtype) != array) & ~np.isnat(array)
        out[lost] = np.where(array[lost].view(np.int64) < 0, -_MOST, _MOST).astype(out.dtype)
    return out


def reals(values: NDArray[np.float64]) -> Decoded:
    """Floats; NaN is null."""
    nan = np.isnan(values)
    return Decoded(Type.FLOAT, np.where(nan, 0.0, values), ~nan) if nan.any() else Decoded(Type.FLOAT, values, None)


def _text(array: NDArray[Any], name: str, words: Callable[[str], InternedStrings]) -> NDArray[np.int32]:
    if not len(array):
        return np.zeros(0, np.int32)
    if array.dtype.kind == "U":
        width = array.dtype.itemsize // 4
        points = np.ascontiguousarray(array).view(np.uint32).reshape(len(array), width)
        if width and int(points.max()) >= 128:
            try:
                return words(name).codes_of(array.tolist())
            except UnicodeEncodeError as error:
                raise IngestError(f"column {name!r} has text that is no UTF-8: half of a surrogate pair.") from error
        data = points.astype(np.uint8)
    else:
        width = array.dtype.itemsize
        data = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), width)
        try:
            data.tobytes().decode()
        except UnicodeDecodeError as error:
            raise IngestError(f"column {name!r} has bytes that are not UTF-8.") from error
    if not width:
        return words(name).codes_of([""] * len(array))
    lengths = width - np.argmax(data[:, ::-1] != 0, axis=1).astype(np.int64)
    lengths[~data.any(axis=1)] = 0
    starts = np.arange(len(array), dtype=np.int64) * width
    return words(name).codes(data.reshape(-1), starts << 32 | lengths)


def _objects(array: NDArray[Any], name: str, words: Callable[[str], InternedStrings]) -> Decoded:
    values = array.tolist()
    types = set(map(type, values)) - {type(None)}
    valid = np.array([v is not None for v in values], np.bool_)
    mask = None if valid.all() else valid
    if types == {str}:
        try:
            codes = np.zeros(len(values), np.int32)
            codes[valid] = words(name).codes_of([v for v in values if v is not None])
        except UnicodeEncodeError as error:
            raise IngestError(f"column {name!r} has text that is no UTF-8: half of a surrogate pair.") from error
        return Decoded(Type.STRING, codes, mask)
    if types == {bool}:
        return Decoded(Type.BOOL, np.array([bool(v) for v in values], np.uint8), mask)
    if types == {int}:
        try:
            return Decoded(Type.INT, np.array([0 if v is None else v for v in values], np.int64), mask)
        except OverflowError as error:
            raise IngestError(f"column {name!r} has integers that do not fit in int64.") from error
    if types and types <= {int, float}:
        if any(type(v) is int and abs(v) > 2**53 for v in values):
            raise IngestError(f"column {name!r} mixes fractions with integers beyond 2^53: make it one or the other.")
        found = reals(np.array([np.nan if v is None else v for v in values], np.float64))
        return found
    if not types:
        return Decoded(Type.FLOAT, np.zeros(len(values)), np.zeros(len(values), np.bool_))
    names = ", ".join(sorted(t.__name__ for t in types))
    raise IngestError(f"column {name!r} holds {names}: give one of bool, int, float, str or numpy times.")
