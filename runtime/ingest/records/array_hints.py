"""Which option would find records inside of a JSON document whose own fields lack key and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from string import ascii_uppercase

from runtime.ingest.records.flat_values import flatten
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_paths import EACH
from runtime.ingest.text.json_strict import NotARecord

_DEPTH = 6
_MOST = 5
_ALIKE = 3
"""Values of an object that have key and time, so that they seem to be records."""

_BRACKETS = (b"{", b"[")


def array_hints(head: bytes, needed: Sequence[Sequence[str]]) -> list[str]:
    """Options such as ``--records data.stations`` with which the first document of ``head``, which may be cut off, has
    one name of each group in ``needed``."""
    parts = JsonParts(head, cut=True)
    start = parts.skip(0)
    if head[start : start + 1] not in _BRACKETS:
        return []
    found: dict[str, None] = {}
    try:
        for hint in _Search(parts, needed).hints(start, "", set(), 0):
            found[hint] = None
            if len(found) == _MOST:
                break
    except NotARecord:
        pass
    return list(found)


class _Search:
    def __init__(self, parts: JsonParts, needed: Sequence[Sequence[str]]) -> None:
        self._parts = parts
        self._needed = needed

    def _has(self, own: set[str], beside: set[str]) -> bool:
        """Whether the names have all that is needed, and at least one of it is their own."""
        both = own | beside
        complete = all(any(name in both for name in names) for names in self._needed)
        return complete and any(name in own for names in self._needed for name in names)

    def hints(self, start: int, path: str, beside: set[str], depth: int) -> Iterator[str]:
        """The options for what is inside of the value at ``start``, which is found at ``path``."""
        if depth > _DEPTH:
            return
        if self._parts.data[start : start + 1] == b"[":
            yield from self._in_array(start, path, beside, depth)
            return
        members = list(self._parts.members(start))
        inside = [(name, at) for name, at, _ in members if self._first(at) in _BRACKETS]
        here = beside | self._names(start, members, path)
        columns = {name for name, at in inside if self._first(at) == b"[" and not self._is_nested(at)}
        if columns and self._has(columns, here):
            yield f"--columnar {path or '.'}"
        values = [(at, end) for _, at, end in members if self._first(at) == b"{" and end >= 0][:_ALIKE]
        if len(values) == _ALIKE and all(self._has(self._flat(at, end), here) for at, end in values):
            yield f"--records {quote(f'{path}.*' if path else EACH)}"
        for name, at in inside:
            yield from self.hints(at, f"{path}.{name}" if path else name, here, depth + 1)

    def _in_array(self, start: int, path: str, beside: set[str], depth: int) -> Iterator[str]:
        at, end = next(self._parts.elements(start), (0, 0))
        if not at:
            return
        first = self._first(at)
        if first == b"{":
            own = self._flat(at, end)
            if path and self._has(own, beside):
                yield f"--records {path}"
        if first == b"[" and not self._is_nested(at):
            count = sum(1 for _ in self._parts.elements(at))
            names = f"--names {','.join(ascii_uppercase[:count])}{',...' if count > len(ascii_uppercase) else ''}"
            yield f"--records {path} {names}" if path else names
        elif first in _BRACKETS:
            yield from self.hints(at, path, beside, depth + 1)

    def _names(self, start: int, members: list[tuple[str, int, int]], path: str) -> set[str]:
        prefix = f"{path}." if path else ""
        names: set[str] = set()
        for name, at, end in members:
            if self._first(at) == b"{" and end >= 0:
                names |= {f"{prefix}{name}.{n}" for n in self._flat(at, end)}
            elif self._first(at) != b"[":
                names.add(f"{prefix}{name}")
        return names

    def _flat(self, at: int, end: int) -> set[str]:
        out: dict[str, object] = {}
        if end >= 0:
            try:
                flatten(self._parts.value(at, end), out)
            except NotARecord:
                return set()
        return set(out)

    def _is_nested(self, at: int) -> bool:
        inner = self._parts.skip(at + 1)
        return self._first(inner) in _BRACKETS

    def _first(self, at: int) -> bytes:
        return self._parts.data[at : at + 1]
