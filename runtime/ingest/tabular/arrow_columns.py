"""Arrow arrays as typed columns; imported where pyarrow is known to be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED
from operators.types import MAX_PLACES, Type, decimal
from runtime.ingest.tabular.arrow_json import NULL, fragments, unique_names
from runtime.ingest.tabular.arrow_values import (
    BOOL8,
    codes_of,
    filled,
    is_binary,
    is_text,
    leaf_texts,
    plain_array,
    raw,
    validity,
)
from runtime.ingest.tabular.decoded import Decoded, Mask, WordsOf, all_null, of_texts, of_uint64, reals, with_texts
from runtime.ingest.tabular.python_values import Objects, of_objects
from runtime.ingest.tabular.value_texts import iso_date, iso_duration, iso_time
from runtime.ingest.text.json_strict import name_fault

_DAY = 86_400_000_000
_MOST = 2**63 - 1
_MICROS = {"s": 1_000_000, "ms": 1000, "us": 1}
_HEXADECIMAL = "bytes that are no text as \\x and hexadecimal digits"


def columns_of(
    names: Sequence[str], arrays: Sequence[Any], words: WordsOf, meanings: Mapping[str, str]
) -> dict[str, Decoded]:
    """The columns of a record batch: structs become columns with dotted names, and a name that occurs again gets a
    number (``v_2``). ``meanings`` are those of arrays by their path, beside their types (``arrow_values``)."""
    flat = [leaf for name, array in zip(names, arrays, strict=True) for leaf in _leaves(name, array)]
    out: dict[str, Decoded] = {}
    for name, (path, array, there) in zip(unique_names([path for path, _, _ in flat]), flat, strict=True):
        fault = name_fault(name)
        if fault:
            out[name] = all_null(len(array), fault)
        elif isinstance(array, Decoded):
            out[name] = array
        elif isinstance(array, Objects):
            out[name] = of_objects(array.values, name, words, array.main)
        else:
            column = column_of(array, name, words, meanings.get(path, ""))
            if there is not None:
                column = replace(column, valid=there if column.valid is None else there & column.valid)
            out[name] = column
    return out


def _leaves(name: str, array: Any, there: Mask | None = None) -> list[tuple[str, Any, Mask | None]]:
    """The columns that structs fall into: their paths, their arrays and, of unions, which have no nulls of their own,
    where the struct is there."""
    if isinstance(array, Objects | Decoded):
        return [(name, array, None)]
    plain = plain_array(array)[0] if isinstance(array.type, pa.BaseExtensionType) else array
    if not pa.types.is_struct(plain.type):
        return [(name, array, there)]
    found = []
    for i in range(plain.type.num_fields):
        path, child, valid = f"{name}.{plain.type.field(i).name}", plain.field(i), validity(plain)
        if pa.types.is_run_end_encoded(child.type):
            child = plain_array(child)[0]
        if valid is not None and not pa.types.is_union(child.type):
            # One by one: with a union among the fields, pyarrow aborts the process.
            child, valid = pa.StructArray.from_arrays([child], ["x"], mask=pa.array(~valid)).flatten()[0], None
        found += _leaves(path, child, valid)
    return found


def column_of(array: Any, name: str, words: WordsOf, meaning: str = "") -> Decoded:
    """An array as a column of the nearest type: what has none becomes text or JSON."""
    types, kind = pa.types, array.type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if is_text(inner) or (is_binary(inner) and not meaning):
        codes, is_spelled = codes_of(array, words(name))
        return Decoded(Type.STRING, codes, validity(array), note=_HEXADECIMAL if is_spelled else "")
    array, known = plain_array(array)
    meaning, kind, valid = known or meaning, array.type, validity(array)
    if array.type != inner and (is_text(kind) or (is_binary(kind) and not meaning)):
        return column_of(array, name, words)
    if types.is_null(kind):
        return all_null(len(array))
    if types.is_boolean(kind) or meaning == BOOL8:
        return Decoded(Type.BOOL, filled(array.cast(pa.bool_()), False).astype(np.uint8), valid)
    if types.is_uint64(kind):
        return of_uint64(filled(array, 0), valid, name, words)
    if types.is_integer(kind):
        return Decoded(Type.INT, filled(array.cast(pa.int64()), 0), valid)
    if types.is_floating(kind):
        return reals(filled(array.cast(pa.float64()), 0.0), valid)
    if types.is_decimal(kind) and kind.scale <= MAX_PLACES:
        return _decimals(array, valid, name, words)
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_date(kind):
        return _times(array, valid, name, words)
    texts = leaf_texts(array, meaning)
    if texts is not None:
        return of_texts(_present(texts, valid), name, words, f"{meaning or kind} as text")
    if types.is_nested(kind):
        found = fragments(array)
        return of_texts([None if f == NULL else f for f in found], name, words, f"{_outer(kind)} as JSON")
    return all_null(len(array), f"values of the type {kind} have no type here")


def _present(texts: Sequence[str], valid: Mask | None) -> Sequence[str | None]:
    return texts if valid is None else [t if v else None for t, v in zip(texts, valid.tolist(), strict=True)]


def _outer(kind: Any) -> str:
    """The name of a nested type without what it holds."""
    return str(kind).partition("<")[0].partition("[")[0]


def _decimals(array: Any, valid: Mask | None, name: str, words: WordsOf) -> Decoded:
    """Decimals as counts of their unit; those that do not fit in int64 go to the text twin."""
    kind = array.type
    if kind.bit_width < 64:
        units, fit = raw(array, "<i4").astype(np.int64), np.ones(len(array), np.bool_)
    else:
        # Two's complement in words of 64 bits, the lowest first: it fits if the others repeat its sign.
        parts = raw(array, f"V{kind.bit_width // 8}").view("<i8").reshape(len(array), kind.bit_width // 64)
        units, fit = parts[:, 0], (parts[:, 1:] == (parts[:, :1] >> 63)).all(axis=1)
    if kind.scale < 0:
        by = 10**-kind.scale
        limit = _MOST // by
        fit &= (units <= limit) & (units >= -limit)
        units = np.where(fit, units, 0) * (by if limit else 1)
    if valid is not None:
        fit |= ~valid
        units = np.where(valid, units, 0)
    odd = {row: format(array[row].as_py(), "f") for row in np.flatnonzero(~fit).tolist()}
    return with_texts(Decoded(decimal(max(kind.scale, 0)), np.ascontiguousarray(units), valid), odd, name, words)


def _times(array: Any, valid: Mask | None, name: str, words: WordsOf) -> Decoded:
    """Times and durations in microseconds, rounded down; those out of range go to the text twin."""
    types, kind = pa.types, array.type
    is_day = types.is_date32(kind)
    unit = "ms" if types.is_date64(kind) else "" if is_day else kind.unit
    ticks: NDArray[np.int64] = raw(array, "<i4" if is_day else "<i8").astype(np.int64, copy=False)
    if valid is not None:
        ticks = np.where(valid, ticks, 0)
    is_time = not types.is_duration(kind)
    naive = is_time and not (types.is_timestamp(kind) and kind.tz)
    odd: dict[int, str] = {}
    if unit == "ns":
        micros = ticks // 1000
    else:
        factor = _DAY if is_day else _MICROS[unit]
        limit = _MOST // factor
        far = np.flatnonzero((ticks > limit) | (ticks < -limit))
        for row, value in zip(far.tolist(), ticks[far].tolist(), strict=True):
            zone = "" if naive else "Z"
            odd[row] = (
                iso_date(value) if is_day else iso_time(value, unit, zone) if is_time else iso_duration(value, unit)
            )
        if odd:
            ticks = ticks.copy()
            ticks[far] = 0
        micros = ticks * factor
    is_date = is_day or (unit == "ms" and types.is_date64(kind))
    zone_of = LOCAL_DATE if is_date else LOCAL if naive else ZONED
    return with_texts(Decoded(Type.TIME if is_time else Type.DURATION, micros, valid, zone=zone_of), odd, name, words)
