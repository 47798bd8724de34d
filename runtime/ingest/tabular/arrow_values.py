"""Values of flat Arrow arrays, as numpy arrays and as text; imported where pyarrow is known to be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.decoded import Mask
from runtime.ingest.tabular.value_texts import binary_text, clock_time, iso_date, iso_duration, iso_interval, iso_time

_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])
_PARQUET_INTERVAL = np.dtype([("months", "<u4"), ("days", "<u4"), ("millis", "<u4")])

_MOST_PLACES = 76
"""The digits of the longest decimals."""

UUID, BOOL8, INTERVAL = "arrow.uuid", "arrow.bool8", "interval"
"""Meanings of an array besides its type: extensions that are read by their name, and Parquet's intervals."""


def plain_array(array: Any) -> tuple[Any, str]:
    """The array without what changes only its layout (extensions, dictionaries, runs), and its meaning."""
    meaning = ""
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            meaning = kind.extension_name if kind.extension_name in (UUID, BOOL8) else ""
            array = array.storage
        elif pa.types.is_dictionary(kind):
            array = _without_views(array.dictionary).take(array.indices)
        elif pa.types.is_run_end_encoded(kind):
            array = _without_runs(array)
        elif pa.types.is_decimal(kind) and abs(kind.scale) > _MOST_PLACES:
            # Of a damaged file: such a number could have a billion zeros.
            raise pa.ArrowInvalid(f"a decimal has a scale of {kind.scale}")
        else:
            return array, meaning


def _without_runs(array: Any) -> Any:
    try:
        return pc.run_end_decode(array)
    except pa.ArrowException:  # views, for example, have no such function
        ends = array.run_ends.to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.arange(array.offset, array.offset + len(array))
        return _without_views(array.values).take(pa.array(np.searchsorted(ends, rows, side="right")))


def _without_views(array: Any) -> Any:
    """Views of strings or bytes in one piece."""
    if _is_view(array.type, "is_string_view"):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if _is_view(array.type, "is_binary_view") else array


def validity(array: Any) -> Mask | None:
    """Where there is a value; None for no nulls."""
    return cast("Mask", array.is_valid().to_numpy(zero_copy_only=False)) if array.null_count else None


def filled(array: Any, value: object) -> NDArray[Any]:
    """The values, with ``value`` in place of nulls."""
    if array.null_count:
        array = array.fill_null(value)
    return cast("NDArray[Any]", array.to_numpy(zero_copy_only=False))


def raw(array: Any, dtype: Any, buffer: int = 1) -> NDArray[Any]:
    """The values of a type of fixed width as they lie in memory; those of nulls are arbitrary."""
    found = array.buffers()[buffer]
    size = np.dtype(dtype).itemsize
    if found is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(found, dtype, len(array), array.offset * size)


def is_text(kind: Any) -> bool:
    """Whether it is a type of strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_view(kind, "is_string_view"))


def is_binary(kind: Any) -> bool:
    """Whether it is a type of bytes."""
    types = pa.types
    plain = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return bool(plain or _is_view(kind, "is_binary_view"))


def _is_view(kind: Any, test: str) -> bool:
    return bool(getattr(pa.types, test, lambda _: False)(kind))


def codes_of(array: Any, words: InternedStrings) -> tuple[NDArray[np.int32], bool]:
    """Codes of strings, bytes or a dictionary of them, which looks up only what is distinct; and whether some bytes had
    to be spelled out (``binary_text``)."""
    if not pa.types.is_dictionary(array.type):
        array = _without_views(array).dictionary_encode()
    is_plain = is_text(array.dictionary.type)
    distinct = array.dictionary.cast(pa.large_binary())
    places = filled(array.indices, 0).astype(np.int64)
    if not len(distinct):
        return np.zeros(len(array), np.int32), False
    _, edges, blob = distinct.buffers()
    offsets = np.frombuffer(edges, np.int64)[distinct.offset : distinct.offset + len(distinct) + 1]
    data = np.frombuffer(blob, np.uint8) if blob is not None and blob.size else np.zeros(1, np.uint8)
    first = int(offsets[0])
    data = data[first : max(int(offsets[-1]), first + 1)]
    # Only strings that occur: their order of first appearance must not depend on the table's dictionary.
    used, at = np.unique(places, return_index=True)
    used = used[np.argsort(at, kind="stable")]
    starts, lengths = offsets[used] - first, offsets[used + 1] - offsets[used]
    codes = np.zeros(len(distinct), np.int32)
    if is_plain and _is_utf8(data, starts[lengths > 0]):
        codes[used] = words.codes(data, starts << 32 | lengths)
        return codes[places], False
    found = [data[a : a + n].tobytes() for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
    texts = [_text_of(value, is_plain) for value in found]
    codes[used] = words.codes_of(texts)
    return codes[places], any(t.encode() != v for t, v in zip(texts, found, strict=True))


def _text_of(data: bytes, is_plain: bool) -> str:
    """Bytes as text; those of a type of strings may contain anything that is UTF-8."""
    if is_plain:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return binary_text(data)


def _is_utf8(data: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Whether all of the strings are: together they are, and none begins within a character."""
    try:
        data.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return not ((data[starts] & 0xC0) == 0x80).any()


def leaf_texts(array: Any, meaning: str) -> list[str] | None:
    """The text of each value of a type that has no other form here; that of a null is arbitrary. None for other
    types."""
    types, kind = pa.types, array.type
    if meaning == UUID or (meaning == INTERVAL and kind.byte_width == _PARQUET_INTERVAL.itemsize):
        if meaning == UUID:
            whole = raw(array, "V16").tobytes().hex()
            parts = [whole[i : i + 32] for i in range(0, len(whole), 32)]
            return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in parts]
        found = raw(array, _PARQUET_INTERVAL)
        return _by_value(found, lambda v: iso_interval(v[0], v[1], v[2] * 10**6))
    if types.is_decimal(kind):
        return ["" if v is None else format(v, "f") for v in array.to_pylist()]
    if types.is_time(kind):
        dtype = "<i4" if types.is_time32(kind) else "<i8"
        return _by_value(raw(array, dtype), lambda v: clock_time(v, kind.unit))
    if types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return _by_value(raw(array, "<i8"), lambda v: iso_time(v, kind.unit, zone))
    if types.is_date32(kind):
        return _by_value(raw(array, "<i4"), iso_date)
    if types.is_date64(kind):
        return _by_value(raw(array, "<i8"), lambda v: iso_time(v, "ms", ""))
    if types.is_duration(kind):
        return _by_value(raw(array, "<i8"), lambda v: iso_duration(v, kind.unit))
    if types.is_interval(kind):
        return _by_value(raw(array, _INTERVAL), lambda v: iso_interval(*v))
    if is_binary(kind):
        return ["" if v is None else binary_text(v) for v in array.to_pylist()]
    return None


def _by_value(values: NDArray[Any], text: Callable[[Any], str]) -> list[str]:
    """The text of each value, made once for each distinct one."""
    distinct, places = np.unique(values, return_inverse=True)
    texts = np.array([text(v) for v in distinct.tolist()], object)
    return texts[places].tolist() if len(texts) else []
