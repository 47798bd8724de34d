"""Prepares an aggregate's arguments for its step: bin numbers, counter increments, transitions between values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dataflow.typed.nodes import Typed
from operators.types import STORED, Type

Fail = Callable[[str], Exception]


@dataclass(frozen=True)
class Arguments:
    """An aggregate's name and argument type in the registry, and the arguments of its step."""

    fn: str
    kind: Type | None
    argument: Typed | None
    other: Typed | None = None
    where: tuple[Typed, ...] = ()


def _call(fn: str, kind: Type, *args: Typed, site: int = -1) -> Typed:
    return Typed(fn, kind, args, (), site)


def arranged(
    fn: str, args: Sequence[Typed], options: dict[str, object], begin: Typed | None, sites: Iterator[int], fail: Fail
) -> Arguments:
    """The arguments of aggregate ``fn`` as its step takes them.

    ``begin``: for rows that are pieces of intervals, the interval's start: comparisons with the previous row then
    count in the first piece only. ``sites`` numbers expressions that remember rows; ``fail`` makes errors.
    """
    argument = args[0] if args else None
    kind = None if argument is None else argument.type
    if len(args) == 2:
        return Arguments(fn, kind, argument, args[1])
    if fn in ("known_time", "unknown_time") and argument is not None:
        return Arguments(fn, kind, _call("is_not_null", Type.BOOL, argument))
    if argument is None or kind is None:
        return Arguments(fn, kind, argument)
    whole = () if begin is None else (_call("whole", Type.BOOL, begin),)
    if fn == "histogram":
        return Arguments(fn, kind, _bin(argument, kind, options, fail))
    if fn == "increase":
        return Arguments(fn, kind, _call("increase", kind, argument, site=next(sites)), None, whole)
    if fn == "rate":
        step = _call("increase", kind, argument, site=next(sites))
        reported = (argument,) if begin is None else (argument, begin)
        return Arguments(fn, kind, step, _call("elapsed", Type.DURATION, *reported, site=next(sites)), whole)
    if fn == "transitions":
        return Arguments(fn, kind, argument, _call("before", kind, argument, site=next(sites)), whole)
    if fn in ("mtbf", "mttr"):
        up = argument if fn == "mtbf" else _call("not", Type.BOOL, argument)
        failed = _call("and", Type.BOOL, _call("not", Type.BOOL, up), _call("before", Type.BOOL, up, site=next(sites)))
        for w in whole:
            failed = _call("and", Type.BOOL, failed, w)
        return Arguments("mtbf", kind, up, failed)
    return Arguments(fn, kind, argument)


def _bin(argument: Typed, kind: Type, options: dict[str, object], fail: Fail) -> Typed:
    """The number of the bin that a value falls in."""
    width, edges = options["width"], options["edges"]
    if (width is None) == (edges is None):
        raise fail("histogram takes either width= or edges=")
    numbers = edges if isinstance(edges, tuple) else (width,)
    if kind is Type.FLOAT:
        if lost := [n for n in numbers if isinstance(n, int) and int(float(n)) != n]:
            raise fail(f"histogram: {lost[0]} cannot be represented as float64, the type of the values")
        numbers = tuple(float(str(n)) for n in numbers)
    elif any(isinstance(n, float) for n in numbers):
        raise fail(f"histogram of {kind} takes whole numbers for its {'edges' if width is None else 'width'}")
    option: tuple[str, object] = ("edges", numbers) if width is None else ("width", numbers[0])
    return Typed("bin", Type.INT, (argument,), (option,))


def types_taken(kinds: Sequence[Type]) -> str:
    """The names of the types; decimals are listed once."""
    names = sorted(str(t) for t in kinds if t in STORED)
    return ", ".join([*names, *(["decimal"] if any(t.places is not None for t in kinds) else [])])


def needs_order(inputs: Sequence[str]) -> bool:
    """Whether a step uses the time of its row; rows after ``group_by`` have none."""
    return "time" in inputs or "tie" in inputs
