"""Finds the value at a dotted path in JSON documents, with what stands beside it and on the way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from runtime.ingest.records.flat_values import flatten
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord
from runtime.ingest.text.json_strict import Malformed, NotARecord
from runtime.ingest.text.rejects import RowFault

MAX_BESIDE = 1 << 16
"""Maximum bytes of a value that stands beside the records, as each of them repeats it."""

EACH = "*"
"""What stands for each value of an object in a path."""

_TITLES = {b"{": "an object", b"[": "an array", b'"': "a text"}


class Beside(NamedTuple):
    """Flat values by dotted name that stand beside records and on the way to them; why others are not among them."""

    values: dict[str, Any]
    left_out: tuple[str, ...] = ()


class PathValue(NamedTuple):
    """The value at a path: its place, and what stands beside it; ``names`` if there are ``columns``."""

    start: int
    end: int
    beside: dict[str, Any]
    left_out: tuple[str, ...]
    names: tuple[str, ...] = ()


Keep = Callable[[str, str, Any, dict[str, Any]], list[str]]


def _keep(prefix: str, name: str, value: Any, out: dict[str, Any]) -> list[str]:
    return flatten({name: value}, out, prefix)


class RecordPath:
    """A dotted path in documents; ``.`` is the document itself. An array on the way stands for each of its elements,
    ``*`` for each value of an object, beside which its name is kept as ``key``.

    Columns that match a pattern of ``drop`` are not kept from beside the records. ``keep`` puts the name and value of
    the others, behind a prefix, among the flat values, and returns why it cannot. ``optional``: a document without such
    a path has no records.
    """

    def __init__(self, path: str, drop: Sequence[str] = (), keep: Keep = _keep, optional: bool = False) -> None:
        self.path = path
        self._drop = drop
        self._keep = keep
        self._optional = optional

    def values(self, parts: JsonParts, start: int) -> Iterator[PathValue | RowFault]:
        """The values there, in order; ``NotARecord`` where a document has none. Elements of an array on the way that
        have none are rejected alone."""
        return self._below(parts, start, "" if self.path == "." else self.path, "", Beside({}))

    def _below(
        self, parts: JsonParts, start: int, rest: str, prefix: str, beside: Beside, names: tuple[str, ...] = ()
    ) -> Iterator[PathValue | RowFault]:
        first = parts.data[start : start + 1]
        if not rest:
            yield PathValue(start, parts.whole(start)[0], beside.values, beside.left_out, names)
        elif first == b"[":
            for at, end in parts.elements(start):
                try:
                    yield from self._below(parts, at, rest, prefix, beside)
                except NotARecord as fault:
                    yield RowFault(at, end, str(fault))
        elif first == b"{":
            yield from self._inside(parts, start, rest, prefix, beside)
        elif parts.data[start : start + 4] != b"null":
            raise NotARecord(f"JSON: {prefix[:-1] or 'the document'} is no object that may have {rest}")

    def _inside(
        self, parts: JsonParts, start: int, rest: str, prefix: str, beside: Beside
    ) -> Iterator[PathValue | RowFault]:
        members: dict[str, tuple[int, int]] = {}
        for name, at, end in parts.members(start):
            if name in members:
                raise NotARecord("JSON: a name occurs twice in one object")
            members[name] = (at, end)
        target = next((name for name in members if rest == name or rest.startswith(f"{name}.")), None)
        if target is None and rest.partition(".")[0] == EACH:
            yield from self._each(parts, members, rest[2:], prefix, beside)
            return
        if target is None:
            if self._optional:
                return
            there = ", ".join(list(members)[:10]) or "nothing"
            raise NotARecord(f"JSON: there is no {prefix}{rest}; {prefix[:-1] or 'the document'} has {there}")
        here, left_out = dict(beside.values), list(beside.left_out)
        names: tuple[str, ...] = ()
        for name, (at, end) in members.items():
            full = prefix + name
            if name == target or any(fnmatchcase(full, pattern) for pattern in self._drop):
                continue
            if end - at > MAX_BESIDE:
                raise NotARecord(
                    f"JSON: {full} stands beside {self.path}, and its {end - at:,} bytes would be repeated in every "
                    f"record: leave it out (--drop {full})"
                )
            value = parts.value(at, end)
            if name == "columns" and rest == target and _are_names(value):
                names = tuple(value)
            else:
                left_out += self._keep(prefix, name, value, here)
        below = Beside(here, tuple(left_out))
        yield from self._below(parts, members[target][0], rest[len(target) + 1 :], f"{prefix}{target}.", below, names)

    def _each(
        self, parts: JsonParts, members: Mapping[str, tuple[int, int]], rest: str, prefix: str, beside: Beside
    ) -> Iterator[PathValue | RowFault]:
        """The values below each value of an object; those that have none are rejected alone."""
        for name, (at, end) in members.items():
            here = dict(beside.values)
            left_out = self._keep(prefix, "key", name, here)
            try:
                yield from self._below(parts, at, rest, f"{prefix}{EACH}.", Beside(here, (*beside.left_out, *left_out)))
            except NotARecord as fault:
                yield RowFault(at, end, str(fault))


def _are_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(v) is str for v in value)


def elements_of(parts: JsonParts, found: PathValue) -> Iterator[tuple[int, int] | RowFault]:
    """The places of the elements of the array that was found; last, a reject if it breaks off."""
    end = found.start
    try:
        for start, end in parts.elements(found.start):
            yield start, end
    except Malformed as fault:
        yield RowFault(end, found.end, str(fault))


class RecordArrays:
    """Reads documents whose records are the elements of the array at a path.

    ``names`` are those of the values of an element that is an array; of the element, if it is only one. With ``names``,
    the document may itself be one record, an array of values, if its first element is no array.
    """

    def __init__(self, path: str, names: tuple[str, ...] = (), drop: Sequence[str] = ()) -> None:
        self._path = RecordPath(path, drop)
        self._names = names

    def __call__(self, parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        """See ``DocumentReader``."""
        for found in self._path.values(parts, start):
            first = parts.data[found.start : found.start + 1]
            if isinstance(found, RowFault):
                yield found
            elif first == b"[":
                yield from self._elements(parts, found)
            elif first == b"{" and self._path.path.rpartition(".")[2] in ("", EACH):
                yield _item(parts, found.start, found.end, found, ())
            elif parts.data[found.start : found.end] != b"null":
                if self._path.path.rpartition(".")[2] == EACH:
                    yield RowFault(found.start, found.end, "JSON: not an object")
                    continue
                what = _TITLES.get(first, "a number or a word")
                raise NotARecord(f"JSON: {self._path.path} is {what}, not an array of records")

    def _elements(self, parts: JsonParts, found: PathValue) -> Iterator[RecordItem]:
        names = self._names or found.names
        at = parts.skip(found.start + 1)
        if self._path.path == "." and len(names) > 1 and parts.data[at : at + 1] not in (b"[", b"{", b"]"):
            yield _item(parts, found.start, found.end, found, names)
            return
        for place in elements_of(parts, found):
            yield place if isinstance(place, RowFault) else _item(parts, *place, found, names)


def _item(parts: JsonParts, start: int, end: int, found: PathValue, names: tuple[str, ...]) -> RecordItem:
    try:
        values = parts.value(start, end)
        if not isinstance(values, dict):
            values = _named(values, names)
    except NotARecord as fault:
        return RowFault(start, end, str(fault))
    return SourceRecord(start, end, values, found.beside, found.left_out)


def _named(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not names:
        raise NotARecord("JSON: not an object")
    given = value if isinstance(value, list) else [value]
    if len(given) != len(names):
        raise NotARecord(f"JSON: {len(given)} values for the {len(names)} names of the columns (--names)")
    return dict(zip(names, given, strict=True))
