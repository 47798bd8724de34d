"""Walks JSON text by positions: the members of an object, the elements of an array, without reading what is in them.

So a document of any size costs no more memory than its text, and each record keeps its place in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from operators.compiler.loops import I64, loop
from runtime.ingest.text.json_strict import Malformed, NotARecord, parse
from runtime.ingest.text.tokens import CONTROL, CUT, for_loops, literal_end, skip_nested, skip_space, string_end

ENDED, FULL, CUT_OFF, BROKEN = range(4)
_BLOCK = 1024
_SPACE = re.compile(rb"[ \t\r\n]*")


@loop("i8(u1[::1], i8, i8, i8, i8, i8[:,::1], i8[::1])")
def value_spans(data: Any, i: I64, end: I64, colons: I64, single: I64, spans: Any, at: Any) -> I64:
    """Write the spans of values from ``i`` on into ``spans``: (start, end) each; ``at`` gets (position, state).

    Inside of an object (``colons``) every second value is a name's; ``single`` is one value on its own. The state is
    ENDED (the closing bracket was passed), FULL, CUT_OFF (``end`` was reached) or BROKEN (at the position).
    """
    found = 0
    at[1] = FULL
    while found < len(spans):
        i = skip_space(data, i, end)
        at[0] = i
        if i >= end:
            at[1] = CUT_OFF
            break
        c = data[i]
        if c == 123 or c == 91:
            j = skip_nested(data, i, end)
        elif c == 34:
            j, met = string_end(data, i + 1, end)
            if met & CUT:
                j = -1
            elif met & CONTROL:
                j = -2 - j
            else:
                j += 1
        else:
            j = literal_end(data, i, end)
            if j == i:
                j = -2 - i
            elif j == end and not single:
                j = -1
        if j < 0:
            at[1] = CUT_OFF if j == -1 else BROKEN
            at[0] = i if j == -1 else -2 - j
            break
        spans[found, 0] = i
        spans[found, 1] = j
        found += 1
        if single:
            at[0] = j
            at[1] = ENDED
            break
        i = skip_space(data, j, end)
        at[0] = i
        if i >= end:
            at[1] = CUT_OFF
            break
        c = data[i]
        named = colons and found % 2 == 1
        if (named and c == 58) or (not named and c == 44):
            i += 1
            at[0] = i
        elif not named and c == (125 if colons else 93):
            at[0] = i + 1
            at[1] = ENDED
            break
        else:
            at[1] = BROKEN
            break
    return found


class JsonParts:
    """The parts of JSON values in ``data``, by position. ``Malformed`` where the text is not JSON.

    ``cut``: the text may end in the middle; then what is whole is given, and nothing is raised for the rest.
    """

    def __init__(self, data: bytes, cut: bool = False) -> None:
        self.data = data
        self._bytes = for_loops(np.frombuffer(data, np.uint8))
        self._cut = cut
        self._at = np.zeros(2, np.int64)
        self._one = np.zeros((1, 2), np.int64)

    def skip(self, at: int) -> int:
        """The position of the first byte that is not white space."""
        found = _SPACE.match(self.data, at)
        return found.end() if found else at

    def whole(self, at: int) -> tuple[int, int]:
        """The end of the value at ``at`` and ENDED; or where it is cut off or breaks, and which."""
        value_spans(self._bytes, at, len(self.data), 0, 1, self._one, self._at)
        return int(self._at[0]), int(self._at[1])

    def members(self, start: int) -> Iterator[tuple[str, int, int]]:
        """Name, start and end of the value of every member of the object at ``start``; an end of -1: cut off."""
        name = ""
        named = False
        for first, last in self._spans(start, 1):
            if not named:
                value = self.value(first, last)
                if not isinstance(value, str) or type(value) is not str:
                    raise Malformed("JSON: expecting property name enclosed in double quotes")
                name = value
            else:
                yield name, first, last
            named = not named

    def elements(self, start: int) -> Iterator[tuple[int, int]]:
        """Start and end of every element of the array at ``start``; an end of -1: cut off."""
        return self._spans(start, 0)

    def _spans(self, start: int, colons: int) -> Iterator[tuple[int, int]]:
        close = b"}" if colons else b"]"
        at = self.skip(start + 1)
        if self.data[at : at + 1] == close:
            return
        spans, state, left = np.zeros((_BLOCK, 2), np.int64), np.zeros(2, np.int64), FULL
        odd = 0
        while left == FULL:
            # The block has an even size, so that each begins with a name.
            found = value_spans(self._bytes, at, len(self.data), colons, 0, spans, state)
            yield from map(tuple, spans[:found].tolist())
            odd = found % 2
            at, left = int(state[0]), int(state[1])
        if left != ENDED and not self._cut:
            raise Malformed("JSON: cut off in the middle" if left == CUT_OFF else self._expected(at))
        if left == CUT_OFF and at < len(self.data) and (odd or not colons) and self.data[at] in b'{["':
            yield at, -1

    def _expected(self, at: int) -> str:
        found = self.data[at : at + 1]
        return "JSON: expecting value" if found in (b"]", b"}", b",", b":") else "JSON: expecting ',' delimiter"

    def value(self, start: int, end: int) -> Any:
        """The value, read strictly; ``NotARecord`` gives the reason why it is none."""
        raw = self.data[start:end]
        return parse(raw) if raw[:1] == b"{" else parse(b'{"v":' + raw + b"}")["v"]

    def values(self, spans: list[tuple[int, int]]) -> list[Any]:
        """The values of consecutive elements of an array, each read strictly; for one that is no value, why."""
        raw = self.data[spans[0][0] : spans[-1][1]]
        try:
            return list(parse(b'{"v":[' + raw + b"]}")["v"])
        except NotARecord:
            return [self._value_or_fault(start, end) for start, end in spans]

    def _value_or_fault(self, start: int, end: int) -> Any:
        try:
            return self.value(start, end)
        except NotARecord as fault:
            return fault
