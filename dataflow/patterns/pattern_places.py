"""The places of a pattern: one for each name, and one for each time that it may be repeated.

``B{2,}`` has two places; a row that takes the second may be followed by others that take it, too. This is Glushkov's
automaton: a place is a state, and the rows of a match take places one after another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dataflow.patterns.pattern_syntax import InTurn, NamedRow, OneOf, Pattern, Repeated
from operators.errors import DataflowError

MAX_PLACES, MAX_STEPS = 32, 256
"""Limits: each place takes state per key, each step from one to another takes code."""


@dataclass(frozen=True)
class Places:
    """``names``: the condition of each place, in the order of the text. A match begins at one of ``first`` and ends at
    one of ``last``; ``following[p]`` are the places that the next row can take after ``p``. All are ascending."""

    names: tuple[str, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    following: tuple[tuple[int, ...], ...]

    def before(self, place: int) -> tuple[int, ...]:
        """The places that the row before can have taken."""
        return tuple(p for p, after in enumerate(self.following) if place in after)

    def further(self) -> tuple[int, ...]:
        """The places that rows can take after a match is complete."""
        found: set[int] = set()
        new = {q for p in self.last for q in self.following[p]}
        while new - found:
            found |= new
            new = {q for p in found for q in self.following[p]}
        return tuple(sorted(found))


def places_of(pattern: Pattern) -> Places:
    """The places of a pattern; DataflowError if there are too many, or if it fits no rows at all."""
    builder = _Builder()
    whole = builder.add(pattern)
    if whole.nullable:
        raise DataflowError(f"match: the pattern {str(pattern)!r} also fits no rows; one of its parts must be required")
    after = tuple(tuple(sorted(f)) for f in builder.following)
    if sum(map(len, after)) > MAX_STEPS:
        raise DataflowError(
            f"match: the pattern {str(pattern)!r} leaves more than {MAX_STEPS} ways from one row to the next; "
            "use fewer optional parts"
        )
    return Places(tuple(builder.names), tuple(sorted(whole.first)), tuple(sorted(whole.last)), after)


@dataclass
class _Fragment:
    """The places at which a part can begin and end, and whether it can be left out."""

    nullable: bool
    first: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)


class _Builder:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.following: list[set[int]] = []

    def add(self, pattern: Pattern) -> _Fragment:
        if isinstance(pattern, NamedRow):
            return self._place(pattern.name)
        if isinstance(pattern, OneOf):
            options = [self.add(p) for p in pattern.options]
            nullable = any(o.nullable for o in options)
            return _Fragment(nullable, _union(o.first for o in options), _union(o.last for o in options))
        if isinstance(pattern, InTurn):
            found = _Fragment(True)
            for part in pattern.parts:
                found = self._joined(found, self.add(part))
            return found
        return self._repeated(pattern)

    def _place(self, name: str) -> _Fragment:
        n = len(self.names)
        if n == MAX_PLACES:
            raise DataflowError(
                f"match: a pattern has at most {MAX_PLACES} places for rows, repetitions counted ({name!r} is one too "
                "many); make the numbers in braces smaller"
            )
        self.names.append(name)
        self.following.append(set())
        return _Fragment(False, {n}, {n})

    def _joined(self, a: _Fragment, b: _Fragment) -> _Fragment:
        for p in a.last:
            self.following[p] |= b.first
        first = a.first | b.first if a.nullable else a.first
        last = a.last | b.last if b.nullable else b.last
        return _Fragment(a.nullable and b.nullable, first, last)

    def _repeated(self, pattern: Repeated) -> _Fragment:
        low, high = pattern.low, pattern.high
        required = _Fragment(True)
        for _ in range(low if high is not None else max(0, low - 1)):
            required = self._joined(required, self.add(pattern.part))
        if high is None:
            loop = self.add(pattern.part)
            for p in loop.last:
                self.following[p] |= loop.first
            return self._joined(required, _Fragment(loop.nullable or low == 0, loop.first, loop.last))
        return self._joined(required, self._optional(pattern.part, high - low))

    def _optional(self, part: Pattern, times: int) -> _Fragment:
        """The part up to so many times: one that is left out ends it, so that there is one way to count."""
        if times == 0:
            return _Fragment(True)
        one = self.add(part)
        found = self._joined(one, self._optional(part, times - 1))
        return _Fragment(True, found.first, found.last)


def _union(sets: Iterable[set[int]]) -> set[int]:
    return set().union(*sets)
