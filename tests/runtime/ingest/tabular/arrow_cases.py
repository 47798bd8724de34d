"""Random Arrow arrays of every type, built from plain values, and what each value must become."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.decoded import Decoded, twin_name

EPOCH = datetime(1970, 1, 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
Twin = tuple[str, Any]
"""The suffix of a twin, and the value there."""


@dataclass(frozen=True)
class Leaf:
    """A flat type: its values as pyarrow takes them, and what one becomes: a value, or that of a twin."""

    type: Any
    values: st.SearchStrategy[Any]
    column: Callable[[Any], Any]
    text: Callable[[Any], str] | None = None
    """In JSON, of what is text there."""

    def __repr__(self) -> str:
        return str(self.type)


@dataclass(frozen=True)
class Nest:
    """A type with parts: ``form`` is struct, map, sparse, dense, a kind of list, or a layout of one part."""

    form: str
    parts: tuple[Any, ...]
    names: tuple[str, ...] = ()
    keys: Any = field(default=None)


def same(value: Any) -> Any:
    return value


def of_int64(value: int) -> Any:
    return value if -(2**63) <= value < 2**63 else ("string", str(value))


def real(value: float) -> Any:
    return value if math.isfinite(value) else None


def clock(unit: int) -> Callable[[int], str]:
    """A time of day in units of ``unit`` nanoseconds."""

    def text(value: int) -> str:
        nanos = value * unit
        if nanos % 1000:
            return (EPOCH + timedelta(seconds=nanos // 10**9)).time().isoformat() + f".{nanos % 10**9:09}"
        return (EPOCH + timedelta(microseconds=nanos // 1000)).time().isoformat()

    return text


def moment(unit: int, zone: str = "") -> Callable[[int], Any]:
    """A time in units of ``unit`` nanoseconds, in microseconds; out of range as numpy's own text."""

    def column(value: int) -> Any:
        micros = value * unit // 1000
        if -(2**63) < micros < 2**63:
            return micros
        code = {10**9: "s", 10**6: "ms", 86_400 * 10**9: "D"}[unit]
        text = str(np.datetime64(value, code))
        text = f"{text}000".removesuffix(".000000") if "." in text else text
        return "string", ("" if text.startswith("-") else "+") + text + zone

    return column


def length(unit: int, digits: int) -> Callable[[int], Any]:
    def column(value: int) -> Any:
        micros = value * unit // 1000
        return micros if -(2**63) < micros < 2**63 else ("string", seconds(value, digits))

    return column


def seconds(value: int, digits: int) -> str:
    """An ISO-8601 duration."""
    text = format(abs(Decimal(value)).scaleb(-digits), "f")
    return f"PT{'-' if value < 0 else ''}{text.rstrip('0').rstrip('.') if '.' in text else text}S"


def iso(unit: int, zone: str) -> Callable[[int], str]:
    """ISO-8601 text of times that datetime knows."""

    def text(value: int) -> str:
        nanos = value * unit
        whole = (EPOCH + timedelta(microseconds=nanos // 1000)).isoformat()
        return (whole[:19] + f".{nanos % 10**9:09}" if nanos % 1000 else whole) + zone

    return text


def decimals(places: int) -> Callable[[Decimal], Any]:
    def column(value: Decimal) -> Any:
        units = value.scaleb(max(places, 0), context=WIDE)
        return value if -(2**63) <= units < 2**63 else ("string", format(value, "f"))

    return column


def spelled(value: bytes) -> str:
    """Bytes as text, or as hexadecimal digits."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "\\x" + value.hex()
    odd = text.startswith("\\x") or any((ord(c) < 32 and c not in "\t\n\r") or ord(c) == 127 for c in text)
    return "\\x" + value.hex() if odd else text


def interval(value: tuple[int, int, int]) -> str:
    """Not the text but what it says, which ``read_interval`` reads."""
    return repr(value)


_INTERVAL = re.compile(r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?[\d.]+)S)?)?")


def read_interval(text: str) -> str:
    """Months, days and nanoseconds of an ISO-8601 duration."""
    match = _INTERVAL.fullmatch(text)
    assert match, text
    y, m, d, hours, minutes, rest = (Decimal(g or 0) for g in match.groups())
    return repr((int(12 * y + m), int(d), int((hours * 3600 + minutes * 60 + rest) * 10**9)))


WIDE = Context(prec=200)
DAYS = st.integers(-719_162, 2_932_896)
BYTES = st.one_of(st.binary(max_size=6), st.sampled_from([b"ab", b"\\xff", "é".encode(), b"", b"\x00", b"\xc3"]))
TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
FLOATS = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.1]))
SECOND, MS, US, NS = 10**9, 10**6, 1000, 1
DAY = 86_400_000_000
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800


def _ints(bits: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def _decimal(kind: Any) -> Leaf:
    most = 10**kind.precision - 1
    near = st.integers(-min(most, 10**9), min(most, 10**9))
    units = st.one_of(near, st.integers(-most, most), st.sampled_from([min(most, 2**63 - 1), max(-most, -(2**63))]))
    values = units.map(lambda n: Decimal(n).scaleb(-kind.scale, context=WIDE))
    long = kind.scale > 9
    return Leaf(kind, values, (lambda v: format(v, "f")) if long else decimals(kind.scale))


LEAVES: dict[str, Leaf] = {
    **{f"int{n}": Leaf(getattr(pa, f"int{n}")(), _ints(n, True), same) for n in (8, 16, 32, 64)},
    **{f"uint{n}": Leaf(getattr(pa, f"uint{n}")(), _ints(n, False), of_int64) for n in (8, 16, 32, 64)},
    "bool": Leaf(pa.bool_(), st.booleans(), same),
    "float16": Leaf(pa.float16(), st.floats(width=16).map(np.float16), lambda v: real(float(v))),
    "float32": Leaf(pa.float32(), st.floats(width=32), real),
    "float64": Leaf(pa.float64(), FLOATS, real),
    "null": Leaf(pa.null(), st.none(), same),
    **{
        f"string {i}": Leaf(kind, TEXT, same, same)
        for i, kind in enumerate([pa.string(), pa.large_string(), pa.string_view()])
    },
    **{
        f"binary {i}": Leaf(kind, BYTES, spelled, spelled)
        for i, kind in enumerate([pa.binary(), pa.large_binary(), pa.binary_view()])
    },
    "fixed binary": Leaf(pa.binary(3), st.binary(min_size=3, max_size=3), spelled, spelled),
    "uuid": Leaf(
        pa.uuid(), st.binary(min_size=16, max_size=16), lambda v: str(UUID(bytes=v)), lambda v: str(UUID(bytes=v))
    ),
    "time32 s": Leaf(pa.time32("s"), st.integers(0, 86_399), clock(SECOND), clock(SECOND)),
    "time32 ms": Leaf(pa.time32("ms"), st.integers(0, 86_399_999), clock(MS), clock(MS)),
    "time64 us": Leaf(pa.time64("us"), st.integers(0, 86_399_999_999), clock(US), clock(US)),
    "time64 ns": Leaf(pa.time64("ns"), st.integers(0, 86_399_999_999_999), clock(NS), clock(NS)),
    "date32": Leaf(pa.date32(), DAYS, lambda v: v * DAY, lambda v: (date(1970, 1, 1) + timedelta(v)).isoformat()),
    "date64": Leaf(pa.date64(), DAYS.map(lambda d: d * 86_400_000), lambda v: v * 1000, iso(MS, "")),
    "s": Leaf(pa.timestamp("s"), st.integers(YEAR_1, YEAR_10000 - 1), moment(SECOND), iso(SECOND, "")),
    "ms": Leaf(pa.timestamp("ms", "UTC"), st.integers(YEAR_1 * 1000, YEAR_10000 * 1000 - 1), moment(MS), iso(MS, "Z")),
    "us": Leaf(pa.timestamp("us"), st.integers(YEAR_1 * 10**6, YEAR_10000 * 10**6 - 1), moment(US), iso(US, "")),
    "ns": Leaf(pa.timestamp("ns", "Europe/Berlin"), INT64.filter(lambda v: v > -(2**63)), moment(NS), iso(NS, "Z")),
    "far s": Leaf(pa.timestamp("s"), st.integers(-(2**55), 2**55), moment(SECOND)),
    "far ms": Leaf(pa.timestamp("ms", "UTC"), st.integers(-(2**62), 2**62), moment(MS, "Z")),
    **{
        f"duration {u}": Leaf(pa.duration(u), INT64.filter(lambda v: v > -(2**63)), length(size, digits),
            lambda v, digits=digits: seconds(v, digits))
        for u, size, digits in (("s", SECOND, 0), ("ms", MS, 3), ("us", US, 6), ("ns", NS, 9))
    },
    "interval": Leaf(
        pa.month_day_nano_interval(), st.tuples(_ints(31, True), _ints(31, True), _ints(62, True)), interval, interval
    ),
    **{
        str(kind): _decimal(kind)
        for kind in (pa.decimal128(5, 2), pa.decimal128(38, 0), pa.decimal128(21, 9), pa.decimal128(12, -3),
            pa.decimal128(38, 18), pa.decimal256(60, 4), pa.decimal256(76, 30), pa.decimal32(7, 3), pa.decimal64(18, 9))
    },
}  # fmt: skip
FAR = ("far s", "far ms")
LISTS = ("list", "large_list", "fixed", "list_view", "large_list_view")


def leaves(names: tuple[str, ...] = tuple(LEAVES)) -> st.SearchStrategy[Leaf]:
    return st.sampled_from([LEAVES[name] for name in names])


def kinds() -> st.SearchStrategy[Any]:
    """Flat types, layouts of them, and nests of up to some levels."""
    inner = leaves(tuple(n for n in LEAVES if n not in FAR))
    flat = inner.filter(lambda leaf: leaf.type != pa.null())

    def nested(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        names = st.lists(st.sampled_from(["a", "b", "c.d", "ä", "a"]), min_size=1, max_size=3)
        return st.one_of(
            st.sampled_from(LISTS).flatmap(lambda form: parts.map(lambda part: Nest(form, (part,)))),
            names.flatmap(lambda n: st.tuples(*[parts] * len(n)).map(lambda p: Nest("struct", p, tuple(n)))),
            st.tuples(leaves(("string 0", "int32", "date32", "bool")), parts).map(
                lambda p: Nest("map", (p[1],), keys=p[0])
            ),
            st.tuples(st.sampled_from(["sparse", "dense"]), st.lists(parts, min_size=1, max_size=3)).map(
                lambda p: Nest(p[0], tuple(p[1]))
            ),
        )

    layouts = st.tuples(st.sampled_from(["dictionary", "runs"]), flat).map(lambda p: Nest(p[0], (p[1],)))
    return st.one_of(leaves(), layouts, nested(st.recursive(st.one_of(inner, layouts), nested, max_leaves=4)))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Plain values of a type; None is null."""
    if isinstance(kind, Leaf):
        return st.one_of(st.none(), kind.values, kind.values)
    parts = [values_of(part) for part in kind.parts]
    if kind.form in ("dictionary", "runs"):
        return parts[0]
    if kind.form == "struct":
        return st.one_of(st.none(), st.tuples(*parts), st.tuples(*parts))
    if kind.form == "map":
        return st.one_of(st.none(), st.lists(st.tuples(kind.keys.values, parts[0]), max_size=3))
    if kind.form in ("sparse", "dense"):
        return st.one_of([part.map(lambda v, i=i: (i, v)) for i, part in enumerate(parts)])
    size = {"min_size": 2, "max_size": 2} if kind.form == "fixed" else {"max_size": 3}
    return st.one_of(st.none(), st.lists(parts[0], **size))


def array(kind: Any, values: list[Any]) -> Any:
    """The Arrow array of plain values."""
    if isinstance(kind, Leaf):
        if isinstance(kind.type, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind.type, pa.array(values, kind.type.storage_type))
        return pa.array(values, kind.type)
    mask = pa.array([v is None for v in values], pa.bool_())
    if kind.form == "dictionary":
        present = [v for v in values if v is not None]
        places = [None if v is None else sum(w is not None for w in values[:i]) for i, v in enumerate(values)]
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), array(kind.parts[0], present))
    if kind.form == "runs":
        found = array(kind.parts[0], values)
        ends = pa.array(range(1, len(values) + 1), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, found)
    if kind.form == "struct":
        parts = [array(part, [None if v is None else v[i] for v in values]) for i, part in enumerate(kind.parts)]
        fields = [pa.field(n, p.type) for n, p in zip(kind.names, parts, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=mask)
    if kind.form in ("sparse", "dense"):
        values = [(0, None) if v is None else v for v in values]  # in a struct that is null
        codes = pa.array([i for i, _ in values], pa.int8())
        if kind.form == "sparse":
            return pa.UnionArray.from_sparse(codes, [array(p, [v if i == j else None for i, v in values])
                for j, p in enumerate(kind.parts)])  # fmt: skip
        of = [[v for i, v in values if i == j] for j in range(len(kind.parts))]
        at = [sum(i == values[r][0] for i, _ in values[:r]) for r in range(len(values))]
        return pa.UnionArray.from_dense(
            codes, pa.array(at, pa.int32()), [array(p, v) for p, v in zip(kind.parts, of, strict=True)]
        )
    if kind.form == "fixed":
        flat = [x for v in values for x in ([None, None] if v is None else v)]
        return pa.FixedSizeListArray.from_arrays(array(kind.parts[0], flat), 2, mask=mask)
    flat = [x for v in values for x in (v or [])]
    sizes = [len(v or []) for v in values]
    starts = np.cumsum([0, *sizes])
    offsets = [None if v is None else int(s) for v, s in zip(values, starts, strict=False)]
    if kind.form == "map":
        keys, items = array(kind.keys, [k for k, _ in flat]), array(kind.parts[0], [v for _, v in flat])
        return pa.MapArray.from_arrays(pa.array([*offsets, int(starts[-1])], pa.int32()), keys, items)
    child = array(kind.parts[0], flat)
    wide = pa.int64() if kind.form.startswith("large") else pa.int32()
    if kind.form.endswith("view"):
        made = pa.LargeListViewArray if wide == pa.int64() else pa.ListViewArray
        return made.from_arrays(pa.array([int(s) for s in starts[:-1]], wide), pa.array(sizes, wide), child, mask=mask)
    made = pa.LargeListArray if wide == pa.int64() else pa.ListArray
    return made.from_arrays(pa.array([*offsets, int(starts[-1])], wide), child)


def plain(column: Decoded, name: str, words: dict[str, InternedStrings]) -> list[Any]:
    """The values of a decoded column."""
    valid = np.ones(len(column), np.bool_) if column.valid is None else column.valid
    values: list[Any] = column.values.tolist()
    if column.type == "string":
        texts = _texts(words[name]) if name in words else []
        values = [texts[c] if ok else None for c, ok in zip(values, valid.tolist(), strict=True)]
    elif column.type == "bool":
        values = [bool(v) for v in values]
    elif column.type.places is not None:
        values = [Decimal(v).scaleb(-column.type.places) for v in values]
    return [v if ok else None for v, ok in zip(values, valid.tolist(), strict=True)]


def _texts(words: InternedStrings) -> list[str]:
    _, found = words.compact(np.arange(len(words), dtype=np.int32))
    return found.strings


def with_values_of_twins(column: Decoded, name: str, words: dict[str, InternedStrings]) -> list[Any]:
    """The values, and those of the twins as (suffix, value)."""
    out = plain(column, name, words)
    for suffix, twin in column.twins.items():
        for row, value in enumerate(plain(twin, twin_name(name, suffix), words)):
            if value is not None:
                assert out[row] is None
                out[row] = (suffix, value)
    return out


def alike(a: Any, b: Any) -> bool:
    return a == b and type(a) is type(b) and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))
