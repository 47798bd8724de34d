"""Nested Arrow arrays as JSON, value by value; imported where pyarrow is known to be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from runtime.ingest.tabular.arrow_values import BOOL8, is_text, leaf_texts, plain_array, raw, validity

NULL = "null"


def fragments(given: Any) -> list[str]:
    """The JSON of each value, ``null`` for null; numbers keep all of their digits, NaN and infinities are null."""
    array, meaning = plain_array(given)
    found = _values(array, meaning)
    valid = validity(array)
    return found if valid is None else [f if v else NULL for f, v in zip(found, valid.tolist(), strict=True)]


def _values(array: Any, meaning: str) -> list[str]:
    types, kind = pa.types, array.type
    if types.is_null(kind):
        return [NULL] * len(array)
    if types.is_struct(kind):
        names = unique_names([kind.field(i).name for i in range(kind.num_fields)])
        keys = [_quoted(name) for name in names]
        fields = [fragments(array.field(i)) for i in range(kind.num_fields)]
        return [_object(keys, row) for row in zip(*fields, strict=True)] if fields else ["{}"] * len(array)
    if types.is_map(kind):
        return _maps(array)
    if types.is_union(kind):
        return _unions(array)
    if hasattr(array, "values") and types.is_nested(kind):
        first, spans = _spans(array)
        items = fragments(array.values.slice(*first))
        return [f"[{','.join(items[a:b])}]" for a, b in spans]
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        if meaning == BOOL8:
            array = array.cast(pa.bool_())
        elif types.is_floating(kind):
            array = array.cast(pa.float64())
        text = orjson.dumps(array.to_pylist()).decode()[1:-1]
        return text.split(",") if len(array) else []
    texts = leaf_texts(array, meaning)
    if texts is not None:
        return texts if types.is_decimal(kind) else [_quoted(t) for t in texts]
    if is_text(kind):
        return [NULL if t is None else _quoted(t) for t in _strings(array)]
    return [_quoted(str(v)) for v in array.to_pylist()]


def _strings(array: Any) -> list[str | None]:
    try:
        found: list[str | None] = array.to_pylist()
        return found
    except UnicodeDecodeError:
        return [None if v is None else v for v in leaf_texts(array.cast(pa.large_binary()), "") or []]


def _spans(array: Any) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """The part of the items that these lists use, as its begin and length, and the span of each list within it."""
    if pa.types.is_fixed_size_list(array.type):
        starts = (np.arange(len(array)) + array.offset) * array.type.list_size
        ends = starts + array.type.list_size
    elif hasattr(array, "sizes"):
        starts = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        ends = starts + array.sizes.to_numpy(zero_copy_only=False)
    else:
        offsets = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        starts, ends = offsets[:-1], offsets[1:]
    valid = validity(array)
    if valid is not None:  # the spans of nulls may be anything
        starts, ends = np.where(valid, starts, 0), np.where(valid, ends, 0)
    used = ends > starts
    first = int(starts[used].min()) if used.any() else 0
    last = int(ends[used].max(initial=0))
    starts, ends = np.where(used, starts - first, 0), np.where(used, ends - first, 0)
    return (first, last - first), list(zip(starts.tolist(), ends.tolist(), strict=True))


def _maps(array: Any) -> list[str]:
    """Objects; arrays of pairs where a key occurs twice."""
    first, spans = _spans(array)
    keys, items = fragments(array.keys.slice(*first)), fragments(array.items.slice(*first))
    names = [k if k.startswith('"') else _quoted(k) for k in keys]
    out = []
    for a, b in spans:
        if len(set(names[a:b])) == b - a:
            out.append(_object(names[a:b], items[a:b]))
        else:
            out.append(f"[{','.join(f'[{k},{v}]' for k, v in zip(keys[a:b], items[a:b], strict=True))}]")
    return out


def _unions(array: Any) -> list[str]:
    """The values of unions, each of the member that its type code names. (pyarrow's ``type_codes`` and ``offsets`` are
    those of the whole array, of which this may be a part.)"""
    codes = raw(array, "i1")
    places = raw(array, "<i4", buffer=2) if array.type.mode == "dense" else np.arange(len(array))
    out = np.empty(len(array), object)
    for i, code in enumerate(array.type.type_codes):
        mine = places[codes == code]
        if len(mine):
            first = int(mine.min())
            found = fragments(array.field(i).slice(first, int(mine.max()) - first + 1))
            out[codes == code] = [found[place] for place in (mine - first).tolist()]
    return out.tolist()


def _object(keys: Sequence[str], values: Sequence[str]) -> str:
    return f"{{{','.join(f'{k}:{v}' for k, v in zip(keys, values, strict=True))}}}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with ``_2`` (or the next number that is free) after one that was there before."""
    taken, out = set(names), []
    seen: set[str] = set()
    for name in names:
        n, found = 2, name
        while found in seen or (found != name and found in taken):
            found, n = f"{name}_{n}", n + 1
        seen.add(found)
        out.append(found)
    return out
