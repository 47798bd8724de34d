"""histogram, top_k and transitions: counts of bins, of values and of changes between values. Results are JSON.

``histogram``: ``[{"from": 0.0, "to": 10.0, "count": 3}, ...]``; with ``width`` the bins that hold a value, with
``edges`` all bins, the outer ones open (``null``). A bin holds from <= x < to.

``top_k``: ``[{"value": "a", "count": 3}, ...]``, the k most frequent values, by descending count, then ascending
value; exact for up to ``cap`` distinct values per group, beyond that CardinalityExceeded.

``transitions``: ``[{"from": "up", "to": "down", "count": 2}, ...]``, every pair of different values that a key reported
consecutively; it belongs to the group and time of the later one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import canonical, decimal_text, from_bits, from_float
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Finished, Flags, Options, TallySpec, merge_nothing
from operators.errors import CardinalityExceeded
from operators.kernels.bits import float_bits
from operators.kernels.hash_tables import tally, tally_pair
from operators.signatures import (
    Arguments,
    Arranged,
    Option,
    Signature,
    WrittenLength,
    WrittenNumber,
    edges,
    integer,
    width,
)
from operators.types import DECIMALS, MAX_PLACES, STORED, Type, decimal

_FLAGS = Flags(additive=False)


@inline
def _count(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: I64,
) -> None:  # fmt: skip
    tally(np.int64(g), np.int64(value), np.int64(1), keys, counts, slots, used, words)


@inline
def _count_float(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    # -0.0 and 0.0 are one value.
    tally(np.int64(g), float_bits(value + 0.0), np.int64(1), keys, counts, slots, used, words)


@inline
def _count_edge(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: I64, other: I64,
) -> None:  # fmt: skip
    if value != other:
        one = np.int64(1)
        tally_pair(np.int64(g), np.int64(other), np.int64(value), one, keys, counts, slots, used, words)


def _by_group(state: Arrays) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The words and counts of each group."""
    entries = state["entries"]
    edges = np.searchsorted(entries.groups, np.arange(state["groups"] + 1)).tolist()
    for lo, hi in pairwise(edges):
        yield entries.words[lo:hi], entries.counts[lo:hi]


def _texts(answers: list[object]) -> Finished:
    out = np.empty(len(answers), object)
    out[:] = [canonical(a) for a in answers]
    return out, None


def _histogram_finish(of: Type, width: Any, edges: tuple[Any, ...] | None) -> Callable[[Arrays], Finished]:
    # The width as the decimal as written: 3 * 0.1 is 0.3.
    size = Fraction(0 if width is None else repr(width))

    def edge(number: int) -> object:
        if of.places is not None:
            return _text_of(number * size, of)
        if of is not Type.FLOAT:
            return int(number * size)
        try:
            return float(number * size)
        except OverflowError:
            # The last bin may end beyond the largest float.
            return from_float(inf if number > 0 else -inf)

    def bins(found: dict[int, int]) -> object:
        if edges is None:
            return [{"from": edge(b), "to": edge(b + 1), "count": n} for b, n in sorted(found.items())]
        known = edges if of.places is None else [_text_of(Fraction(repr(e)), of) for e in edges]
        ends = [None, *known, None]
        return [{"from": ends[b], "to": ends[b + 1], "count": found.get(b, 0)} for b in range(len(edges) + 1)]

    def finish(state: Arrays) -> Finished:
        return _texts([bins(dict(zip(w[:, 0].tolist(), n.tolist(), strict=True))) for w, n in _by_group(state)])

    return finish


def _text_of(edge: Fraction, of: Type) -> str:
    """The edge of a bin of decimals, with the places that they have, or that it needs."""
    places = max(of.places or 0, _places(edge))
    return decimal_text(int(edge * 10**places), places)


def _places(number: Fraction) -> int:
    """Decimal places that a number needs; more than any decimal has where it needs too many."""
    return next((p for p in range(MAX_PLACES + 1) if 10**p % number.denominator == 0), MAX_PLACES + 1)


def _histogram(of: Type, width: Any = 1, edges: tuple[Any, ...] | None = None) -> Aggregate:
    def configured(options: Options) -> Aggregate:
        return _histogram(of, options["width"], options["edges"])

    return Aggregate(
        "histogram", of, Type.JSON, (), ("value",), _count, merge_nothing, _histogram_finish(of, width, edges),
        flags=_FLAGS, tally=TallySpec(), configured=configured,
    )  # fmt: skip


def _top_finish(of: Type, k: int, cap: int) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        answers: list[object] = []
        strings = state["entries"].strings
        for g, (words, counts) in enumerate(_by_group(state)):
            if len(counts) > cap:
                text = f"a group has {len(counts):,} distinct values, more than cap={cap:,}; raise cap= or filter"
                raise CardinalityExceeded(f"top_k: {text}", g)
            found = [
                (-n, _order(of, w, strings), w) for w, n in zip(words[:, 0].tolist(), counts.tolist(), strict=True)
            ]
            found.sort(key=lambda f: f[:2])
            answers.append([{"value": from_bits(of, w, strings), "count": -n} for n, _, w in found[:k]])
        return _texts(answers)

    return finish


def _order(of: Type, word: int, strings: list[str]) -> Any:
    if of is Type.STRING:
        return strings[word]
    return word ^ ((word >> 63) & (2**63 - 1)) if of is Type.FLOAT else word


def _top(of: Type, k: int = 10, cap: int = 10_000) -> Aggregate:
    def configured(options: Options) -> Aggregate:
        return _top(of, int(options["k"]), int(options["cap"]))

    step: Callable[..., None] = _count_float if of is Type.FLOAT else _count
    return Aggregate(
        "top_k", of, Type.JSON, (), ("value",), step, merge_nothing, _top_finish(of, k, cap),
        flags=_FLAGS, tally=TallySpec(is_code=True), configured=configured,
    )  # fmt: skip


def _edges_finish(of: Type) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        strings = state["entries"].strings
        answers: list[object] = []
        for words, counts in _by_group(state):
            found = [(tuple(_order(of, w, strings) for w in pair), pair, n)
                     for pair, n in zip(words.tolist(), counts.tolist(), strict=True)]  # fmt: skip
            answers.append(
                [
                    {"from": from_bits(of, a, strings), "to": from_bits(of, b, strings), "count": n}
                    for _, (a, b), n in sorted(found)
                ]
            )
        return _texts(answers)

    return finish


def _transitions(of: Type) -> Aggregate:
    return Aggregate(
        "transitions", of, Type.JSON, (), ("value", "other"), _count_edge, merge_nothing, _edges_finish(of),
        flags=Flags(), tally=TallySpec(words=2, is_code=True), other=of,
    )  # fmt: skip


AGGREGATES = (
    *(_histogram(t) for t in (Type.INT, Type.FLOAT, Type.DURATION, *DECIMALS)),
    *(_top(t) for t in STORED),
    *(_transitions(t) for t in (Type.BOOL, Type.INT, Type.STRING, *DECIMALS)),
)


def _bin(a: Arguments) -> Arranged:
    """The number of the bin that a value falls in."""
    width, edges = a.options["width"], a.options["edges"]
    if (width is None) == (edges is None):
        raise a.fail("histogram takes either width= or edges=")
    numbers = edges if isinstance(edges, tuple) else (width,)
    name = "edges" if width is None else "width"
    if a.kind is Type.DURATION and any(isinstance(n, WrittenNumber | float) for n in numbers):
        raise a.fail(f"histogram of durations takes lengths of time, like '5m', for its {name}")
    if a.kind is not Type.DURATION and any(isinstance(n, WrittenLength) for n in numbers):
        raise a.fail(f"histogram of {a.kind} takes numbers for its {name}, and no lengths of time")
    first = a.first
    if a.kind.places is not None:
        # Values and edges become counts of the finest unit among them.
        exact = [Fraction(repr(n)) for n in numbers]
        places = max(a.kind.places, *map(_places, exact))
        if places > MAX_PLACES:
            raise a.fail(f"histogram of {a.kind}: edges have at most {MAX_PLACES} decimal places")
        numbers = tuple(int(n * 10**places) for n in exact)
        if not all(-(2**63) <= n < 2**63 for n in numbers):
            raise a.fail(f"histogram of {a.kind}: an edge does not fit in 64 bits with {places} decimal places")
        if places > a.kind.places:
            finer = a.call("lit", Type.INT, value=10 ** (places - a.kind.places))
            first = a.call("mul", decimal(places), first, finer)
    elif a.kind is Type.FLOAT:
        if lost := [n for n in numbers if isinstance(n, int) and int(float(n)) != n]:
            raise a.fail(f"histogram: {lost[0]} cannot be represented as float64, the type of the values")
        numbers = tuple(float(str(n)) for n in numbers)
    elif any(isinstance(n, float) for n in numbers):
        raise a.fail(f"histogram of {a.kind} takes whole numbers for its {name}")
    option: dict[str, object] = {"edges": numbers} if width is None else {"width": numbers[0]}
    return Arranged("histogram", a.kind, a.call("bin", Type.INT, first, **option))


def _step_between(a: Arguments) -> Arranged:
    return Arranged("transitions", a.kind, a.first, a.remembering("before", a.kind, a.first), a.first_piece)


SIGNATURES = {
    "histogram": Signature(
        options=(Option("edges", edges, length="or a number"), Option("width", width, length="or a number")),
        arrange=_bin,
    ),
    "top_k": Signature(options=(Option("cap", integer(1, 1 << 26)), Option("k", integer(1, 1 << 20)))),
    "transitions": Signature(remembers=True, arrange=_step_between),
}
