"""Columns, twins, missing values and rejects of sources, by the rules: slowly, value by value, in plain Python.

Shares no code with ``runtime.ingest``: text is read by Python's own ``json`` and ``csv``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXACT = 2**53
YEAR_2262 = 9_214_646_400_000  # in milliseconds
TWICE = "a name occurs twice in one object"
HALF = "half of a surrogate pair"
NO_NAME = "a field has no name"
LONG = "column name is empty or longer than 256 bytes"
CONTROL = "column name with control characters"
RESERVED = "the column name $seq is reserved"
TAKEN = "another field has the name of its twin"

MISSING = {
    "": "", "na": "NA", "n/a": "N/A", "null": "null", "none": "None", "?": "?", "-": "-",
    "unavailable": "unavailable", "unknown": "unknown",
    **{sign + "nan": "NaN" for sign in ("", "+", "-")},
    **{sign + word: "infinity" for sign in ("", "+", "-") for word in ("inf", "infinity")},
}  # fmt: skip
"""Words for a missing value, and under which of them they are counted."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Cell = tuple[str, Any]
"""What a value is, and the value: ("null", None), ("bool", True), ("int64", 5), ("-0", 0), ("float64", 1.5),
("digits", "1e999"), ("string", "x"), ("json", "[1]"), ("nan", "NaN"), ("inf", "Infinity")."""


class NoRecord(Exception):
    """A record that is rejected."""


def number(text: str) -> Cell:
    """A number in JSON's notation."""
    if re.fullmatch(r"-?[0-9]+", text):
        whole = int(text) if len(text) < 4000 else 10**30
        if text == "-0":
            return "-0", 0
        return ("int64", whole) if -(2**63) <= whole < 2**63 else ("digits", text)
    real = float(text)
    return ("digits", text) if math.isinf(real) else ("float64", real)


# ---- JSON


class Pairs(list[tuple[str, Any]]):
    """The fields of an object, also those that occur twice."""


def parsed(text: str) -> Any:
    """JSON with objects as ``Pairs`` and scalars as cells."""
    constants: dict[str, Cell] = {n: ("nan" if n == "NaN" else "inf", n) for n in ("NaN", "Infinity", "-Infinity")}
    decoder = json.JSONDecoder(
        object_pairs_hook=Pairs, parse_int=lambda t: ("number", t), parse_float=lambda t: ("number", t),
        parse_constant=constants.__getitem__,
    )  # fmt: skip
    return decoder.decode(text)


def compact(value: Any, faults: list[str]) -> str:
    """An array or object as compact text; ``faults`` gets what keeps it from being a value."""
    if isinstance(value, Pairs):
        names = [name for name, _ in value]
        faults += [TWICE] * (len(set(names)) < len(names))
        return "{" + ",".join(f"{compact(n, faults)}:{compact(v, faults)}" for n, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(compact(v, faults) for v in value) + "]"
    if isinstance(value, tuple):
        return str(value[1])
    if isinstance(value, str) and is_half(value):
        faults.append(HALF)
    return json.dumps(value, ensure_ascii=False)


def is_half(text: str) -> bool:
    """Whether a text has half of a surrogate pair."""
    return any(0xD800 <= ord(c) < 0xE000 for c in text)


def cell(value: Any) -> Cell | str:
    """The cell of a value that is not taken apart; a text says why it has none."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, tuple):
        return number(value[1]) if value[0] == "number" else value
    if isinstance(value, str):
        return HALF if is_half(value) else ("string", value)
    faults: list[str] = []
    text = compact(value, faults)
    return max(faults, key=[HALF, TWICE].index) if faults else ("json", text)


def name_fault(name: str) -> str | None:
    """Why a column cannot have this name."""
    if len(name.encode("utf-8", "replace")) > 256:
        return LONG
    if is_half(name) or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return CONTROL
    return RESERVED if name == "$seq" else None


def flat(record: Pairs, depth: int = 32) -> tuple[dict[str, Cell], list[str]]:
    """The cells of a record by column, without nulls, and why other fields are left out."""
    out: dict[str, Cell] = {}
    left_out: list[str] = []

    def add(prefix: str, pairs: Pairs, depth: int) -> None:
        times = Counter(name for name, _ in pairs)
        for name, value in dict(pairs).items():
            full = prefix + name
            if times[name] == 1 and isinstance(value, Pairs) and depth > 1 and name:
                add(full + ".", value, depth - 1)
                continue
            found: Cell | str = NO_NAME if not name else name_fault(full) or ""
            found = found or (TWICE if times[name] > 1 else cell(value))
            if isinstance(found, str):
                left_out.append(found)
            elif found[0] != "null":
                number = 2
                while full in out:
                    full, number = f"{prefix}{name}_{number}", number + 1
                out[full] = found

    add("", record, depth)
    return out, left_out


# ---- CSV


def csv_cell(text: str) -> Cell:
    """What a cell of CSV is; ``Plain`` keeps its text beside it."""
    if not text:
        return "null", None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return "bool", text.lower() == "true"
    return number(text) if _NUMBER.fullmatch(text) else ("string", text)


@dataclass
class Row:
    """One record: its cells, in CSV also their texts, and its size in bytes."""

    cells: dict[str, Cell]
    left_out: list[str]
    size: int
    texts: dict[str, str] | None = None


def json_rows(lines: list[str]) -> list[Row]:
    """The records of lines of JSON."""
    return [Row(*flat(parsed(line)), len(line.encode())) for line in lines]


def csv_rows(text: str) -> list[Row]:
    """The rows of CSV text with a header."""
    names, *rows = list(csv.reader(io.StringIO(text, newline="")))
    ends = [len(line.encode()) for line in text.splitlines(keepends=True)[1:]]
    assert len(ends) == len(rows)  # one row a line
    out = []
    for row, size in zip(rows, ends, strict=True):
        texts = {n: v for n, v in zip(names, row, strict=True) if v}
        out.append(Row({n: csv_cell(v) for n, v in texts.items()}, [], size, texts))
    return out


# ---- streams


@dataclass
class Source:
    """What became of one source: rows by number, and for each column its values, twins and missing ones."""

    committed: int = 0
    rejected: int = 0
    values: Counter[str] = field(default_factory=Counter)
    twins: dict[str, Counter[str]] = field(default_factory=dict)
    nulls: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


class Plain:
    """A stream with the key k and the time t in milliseconds."""

    def __init__(self, sample_rows: int = 1 << 16, sample_bytes: int = 1 << 24, sample_cells: int = 1 << 23) -> None:
        self.types: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []
        self._sample = sample_rows, sample_bytes, sample_cells
        self._key: str | None = None
        self._wide: set[str] = set()

    def take(self, rows: list[Row]) -> Source | None:
        """Add a source; None if all of its rows are rejected, which is an error."""
        source = Source()
        key = self._key
        kept = [row for row in rows if self._accept(row)]
        source.committed, source.rejected = len(kept), len(rows) - len(kept)
        if rows and not kept:
            self._key = key
            return None
        at = 0
        while at < len(kept):
            if not self._unsettled(kept[at]):
                self._place(kept[at], source)
                at += 1
                continue
            size, end, names = 0, at, set[str]()
            most = self._sample
            while end < len(kept) and end - at < most[0] and size < most[1] and (end - at) * len(names) < most[2]:
                size += kept[end].size
                names |= set(kept[end].cells)
                end += 1
            self._settle(kept[at:end])
            for row in kept[at:end]:
                self._place(row, source)
            at = end
        # Of a column that got no value, for example as all of its numbers are beyond float64, the type is forgotten.
        self.types = {name: type_ for name, type_ in self.types.items() if any(name in row for row in self.rows)}
        return source

    # ---- rows

    def _accept(self, row: Row) -> bool:
        kind, key = row.cells.get("k", ("null", None))
        time = row.cells.get("t", ("null", None))
        if row.texts is not None:
            if self._key is None or self._key == "string":
                kind, key = "string", row.texts.get("k", "")
        elif kind == "json":
            kind = "string"
        if kind not in ("string", "int64") or key == "":
            return False
        if time[0] != "int64" or not 0 <= time[1] < YEAR_2262:
            return False
        if kind != (self._key or kind):
            return False
        self._key = kind
        row.cells["k"] = (kind, key)
        return True

    # ---- types

    def _unsettled(self, row: Row) -> bool:
        return any(name not in self.types for name in row.cells if name not in ("k", "t"))

    def _settle(self, rows: list[Row]) -> None:
        for name in dict.fromkeys(n for row in rows for n in row.cells if n not in ("k", "t")):
            if name in self.types:
                continue
            kinds = [row.cells[name] for row in rows if name in row.cells]
            kinds = [
                c for c in kinds if c[0] not in ("nan", "inf") and not (c[0] == "string" and c[1].lower() in MISSING)
            ]
            groups = ["number" if c[0] in ("int64", "-0", "float64", "digits") else c[0] for c in kinds]
            if groups:
                # max takes the first of equals, and the groups are in the order of their first values.
                most = max(dict.fromkeys(groups), key=groups.count)
                self.types[name] = {"number": _of_numbers(kinds), "json": "string"}.get(most, most)

    # ---- values

    def _place(self, row: Row, source: Source) -> None:
        out: dict[str, Any] = {"k": row.cells["k"][1], "t": row.cells["t"][1] * 1000}
        source.left_out.update(row.left_out)
        rest: list[tuple[str, str, Any, str | None]] = []
        for name, (kind, value) in row.cells.items():
            if name in ("k", "t"):
                continue
            text = None if row.texts is None else row.texts[name]
            where = self._where(name, self.types.get(name), kind, value, text)
            if where.startswith("missing "):
                source.nulls.setdefault(name, Counter())[where.removeprefix("missing ")] += 1
            elif where:
                rest.append((name, where, value, text))
            else:
                self._put(name, kind, value, text, out, source)
        for name, suffix, value, text in rest:
            twin, type_ = f"{name}#{suffix}", "string" if suffix == "json" else suffix
            if twin in out or self.types.setdefault(twin, type_) != type_:
                source.left_out[TAKEN] += 1
            else:
                source.twins.setdefault(name, Counter())[suffix] += 1
                self._put(twin, type_, value, text, out, source)
        self.rows.append(out)

    def _put(self, name: str, kind: str, value: Any, text: str | None, out: dict[str, Any], source: Source) -> None:
        main = self.types[name]
        source.values[name] += 1
        out[name] = text if main == "string" and text is not None else value
        if main == "float64":
            out[name] = -0.0 if kind == "-0" else float(value)

    def _where(self, name: str, main: str | None, kind: str, value: Any, text: str | None) -> str:
        """Where a value goes: "" for its column, the suffix of a twin, or "missing " and under which word."""
        if main == "string":
            if text is not None or kind in ("string", "json"):
                return ""
        elif kind == "string" and value.lower() in MISSING:
            return f"missing {MISSING[value.lower()]}"
        if kind in ("nan", "inf"):
            return "missing NaN" if kind == "nan" else "missing infinity"
        if kind == "digits":
            return "json" if main == "string" else "string"
        kind = "int64" if kind == "-0" else kind
        if main == "int64" and kind == "float64" and name not in self._wide:
            main = self.types[name] = "float64"
            for row in self.rows:  # in the stream, too: all of them are exact
                if name in row:
                    row[name] = float(row[name])
        wide = kind == "int64" and abs(value) > EXACT
        if wide and main == "int64":
            self._wide.add(name)
        if main == "float64" and kind == "int64":
            return "int64" if wide else ""
        return "" if kind == main else kind


def _of_numbers(kinds: list[Cell]) -> str:
    """float64 if there is a fraction before any integer beyond 2^53."""
    for kind, value in kinds:
        if kind == "float64":
            return "float64"
        if kind == "int64" and abs(value) > EXACT:
            break
    return "int64"
