"""The text of a pattern of rows, such as ``"A B{2,} (C | D)?"``.

    pattern  = sequence { "|" sequence }
    sequence = part { part }
    part     = ( name | "." | "(" pattern ")" ) [ "?" | "*" | "+" | "{n}" | "{n,}" | "{,m}" | "{n,m}" ]

A name stands for one row that meets the condition of that name, ``.`` for any one row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dataflow.values.mistaken import shown
from operators.errors import DataflowError

ANY_ROW = "."

MAX_TEXT, MAX_NESTED, MAX_TIMES = 1000, 16, 64
"""Limits: characters, parentheses within each other, and the numbers in braces."""

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|([.()|?*+])|\{\s*([0-9]*)\s*(,?)\s*([0-9]*)\s*\})")


@dataclass(frozen=True)
class NamedRow:
    """One row that meets the condition ``name``; ``.`` is any row."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class InTurn:
    """The parts one after another, on consecutive rows."""

    parts: tuple[Pattern, ...]

    def __str__(self) -> str:
        return " ".join(f"({p})" if isinstance(p, OneOf) else str(p) for p in self.parts)


@dataclass(frozen=True)
class OneOf:
    """One of the options; of several that fit, the first."""

    options: tuple[Pattern, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


@dataclass(frozen=True)
class Repeated:
    """The part ``low`` to ``high`` times (None: any number of times)."""

    part: Pattern
    low: int
    high: int | None

    def __str__(self) -> str:
        inner = str(self.part) if isinstance(self.part, NamedRow) else f"({self.part})"
        return inner + _times(self.low, self.high)


Pattern: TypeAlias = NamedRow | InTurn | OneOf | Repeated


def _times(low: int, high: int | None) -> str:
    if (found := {(0, 1): "?", (0, None): "*", (1, None): "+"}.get((low, high))) is not None:
        return found
    return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def parse_pattern(text: object) -> Pattern:
    """The pattern that ``text`` describes; DataflowError says where it is wrong. ``str`` of it is its canonical
    text."""
    if not isinstance(text, str):
        raise DataflowError(f"match takes the text of a pattern, like 'A B{{2,}} C', got {shown(text)}")
    if len(text) > MAX_TEXT:
        raise DataflowError(f"match: a pattern has at most {MAX_TEXT:,} characters, got {len(text):,}")
    return _Parser(text).whole()


def names_of(pattern: Pattern) -> Iterator[str]:
    """The names in a pattern, from left to right, with repetitions; without ``.``."""
    if isinstance(pattern, NamedRow):
        if pattern.name != ANY_ROW:
            yield pattern.name
    elif isinstance(pattern, Repeated):
        yield from names_of(pattern.part)
    else:
        for part in pattern.parts if isinstance(pattern, InTurn) else pattern.options:
            yield from names_of(part)


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nested = 0
        self._next()

    def whole(self) -> Pattern:
        found = self._choice()
        if self._token:
            raise self._fail(f"there is no '(' for this {self._token!r}")
        return found

    def _next(self) -> None:
        """Read the next token: its text, and the bounds of braces."""
        self._start, self._bounds = self._at, ("", "", "")
        if not self._text[self._at :].strip():
            self._token, self._start = "", len(self._text)
            return
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :].lstrip()
            self._start = len(self._text) - len(rest)
            hint = {
                "{": "; repetitions are {n}, {n,} or {n,m}",
                "[": "; for rows of which a condition does not hold give it a name of its own, as in N=~(...)",
            }.get(rest[0], "")
            raise self._fail(f"{rest[0]!r} has no meaning here{hint}")
        self._at = found.end()
        self._start = found.end() - len(found.group().lstrip())
        self._token = found[1] or found[2] or "{"
        self._bounds = (found[3] or "", found[4] or "", found[5] or "")

    def _fail(self, what: str) -> DataflowError:
        at = self._start + 1
        where = f"at character {at}" if at <= len(self._text) else "at its end"
        return DataflowError(f"match: the pattern {self._text!r} is wrong {where}: {what}")

    def _choice(self) -> Pattern:
        options: list[Pattern] = []
        while True:
            found = self._sequence()
            options.extend(found.options if isinstance(found, OneOf) else (found,))
            if self._token != "|":
                return options[0] if len(options) == 1 else OneOf(tuple(options))
            self._next()

    def _sequence(self) -> Pattern:
        parts: list[Pattern] = []
        while self._token and self._token not in "|)":
            part = self._part()
            # Parentheses without a meaning of their own leave no trace in the canonical text.
            parts.extend(part.parts if isinstance(part, InTurn) else (part,))
        if not parts:
            raise self._fail("a name is missing")
        return parts[0] if len(parts) == 1 else InTurn(tuple(parts))

    def _part(self) -> Pattern:
        if self._token in ("?", "*", "+", "{"):
            raise self._fail("there is nothing before this that could be repeated")
        if self._token == "(":
            found = self._group()
        else:
            found = NamedRow(self._token)
            self._next()
        while self._token and self._token in "?*+{":
            if isinstance(found, Repeated):
                raise self._fail("this is repeated already; put it into parentheses to repeat the repetition")
            found = self._repeated(found)
        return found

    def _group(self) -> Pattern:
        opened = self._fail("this '(' has no ')'")
        self._nested += 1
        if self._nested > MAX_NESTED:
            raise self._fail(f"at most {MAX_NESTED} parentheses can be within each other")
        self._next()
        found = self._choice()
        if self._token != ")":
            raise opened
        self._nested -= 1
        self._next()
        # Grouped repetitions may be repeated.
        return InTurn((found,)) if isinstance(found, Repeated) and self._is_repeated() else found

    def _is_repeated(self) -> bool:
        return self._token != "" and self._token in "?*+{"

    def _repeated(self, part: Pattern) -> Pattern:
        first, comma, last = self._bounds
        low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(self._token, (0, None))
        if self._token == "{":
            if not first and not last:
                raise self._fail("say how often: {n}, {n,} or {n,m}")
            low = int(first[:9] or 0)
            high = (int(last[:9]) if last else None) if comma else low
            if max(low, high or 0) > MAX_TIMES or high == 0:
                raise self._fail(f"numbers of repetitions are from 1 to {MAX_TIMES}")
            if high is not None and low > high:
                raise self._fail(f"{low} is more than {high}")
        self._next()
        return Repeated(part, low, high)
