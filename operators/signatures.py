"""How an aggregate is written, and what its step is given: declared beside the aggregate itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Any, Literal, Protocol

from operators.types import Type


class WrittenLength(int):
    """The microseconds of an option that was written as a length of time, like ``"5m"``."""


class WrittenNumber(int):
    """The integer of an option that was written as a number, without a unit. In JSON both are integers like others."""


Check = Callable[[object], object]
"""Gives an option's canonical value; ValueError, saying what is expected, for any other."""

_MANY = 1000


@dataclass(frozen=True)
class Option:
    """One option: its canonical value is JSON-ready, with a tuple for a list."""

    name: str
    check: Check
    default: object = None
    """With one, the option may be left out, and is where it has this value."""

    length: Literal["", "or a number", "only"] = ""
    """Whether it is written as a length of time, like ``"5m"``; the canonical value has microseconds. Where it may be a
    number, too, they are a ``WrittenLength``, and integers ``WrittenNumber``."""


class Arguments(Protocol):
    """The arguments of one aggregate, as typed expressions, and the way to make others of them."""

    @property
    def first(self) -> Any:
        """The first argument."""

    @property
    def second(self) -> Any:
        """The second argument, of an aggregate that takes two."""

    @property
    def kind(self) -> Type:
        """The type of the first argument."""

    @property
    def options(self) -> Mapping[str, object]:
        """The aggregate's options."""

    @property
    def first_piece(self) -> tuple[Any, ...]:
        """Conditions under which a row is the first piece of its interval; none where rows are not cut. What looks at
        the row before counts there only."""

    def call(self, fn: str, kind: Type, *args: Any, **options: object) -> Any:
        """A function of expressions."""

    def remembering(self, fn: str, kind: Type, *args: Any) -> Any:
        """A function that looks at the key's row before: ``before``, ``increase`` or ``elapsed``."""

    def elapsed(self) -> Any:
        """The time since the last report of the first argument."""

    def fail(self, text: str) -> Exception:
        """The error that says ``text``."""


@dataclass(frozen=True)
class Arranged:
    """The name under which an aggregate is registered, the type that it goes by there, what its step is given, and
    options besides those that were written."""

    fn: str
    kind: Type | None
    argument: Any
    other: Any = None
    where: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    before: Any = None


@dataclass(frozen=True)
class Signature:
    """An aggregate's numbers of arguments, its options, and whether it needs intervals of a known or unknown state.

    ``arrange`` makes what its step is given of its arguments, where that is not just these.
    """

    arity: tuple[int, ...] = (1,)
    options: tuple[Option, ...] = ()
    of_intervals: bool = False
    of_points: tuple[str, object] | None = None
    """The option with which it is about points, and not intervals."""

    in_tables: bool = False
    """Whether rows of a table, which have no time, count in the table's order."""

    remembers: bool = False
    """Whether what counts in a row depends on the key's row before, which may lie before the range."""

    arrange: Callable[[Arguments], Arranged] | None = None


def integer(low: int, high: int) -> Check:
    """An integer from ``low`` to ``high``."""

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"an integer from {low:,} to {high:,}")
        return value

    return check


def share(value: object) -> object:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def _is_number(value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return whole or (isinstance(value, float) and isfinite(value))


def width(value: object) -> object:
    """A positive number, or None."""
    if value is not None and not (_is_number(value) and value > 0):  # type: ignore[operator]
        raise ValueError("a positive number, or null")
    return value


def edges(value: object) -> object:
    """Rising numbers, or None."""
    if value is None:
        return None
    expected = f"1 to {_MANY} rising numbers, or null"
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MANY or not all(map(_is_number, value)):
        raise ValueError(expected)
    numbers: tuple[float, ...] = tuple(value)
    if any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(expected)
    return numbers


def truth(value: object) -> object:
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def micros(value: object) -> object:
    """A length in microseconds, or 0 for none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError("a length in microseconds")
    return value


def one_of(*known: str) -> Check:
    """One of these texts."""

    def check(value: object) -> object:
        if value not in known:
            raise ValueError(" or ".join(map(repr, known)))
        return value

    return check
