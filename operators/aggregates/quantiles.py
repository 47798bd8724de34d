"""quantile and median: exact if a group has few distinct values, within 0.5 % if it has many.

``quantile(x, q)`` is SQL's ``percentile_disc``: of n values in ascending order number ``max(1, ceil(q * n))``; so the
median is the lower of two middle values. ``q`` is the decimal as written. With ``linear`` it is SQL's
``percentile_cont``: x[i] + f * (x[i + 1] - x[i]) of the ascending values x[0], x[1], ..., where i and f are the integer
and fractional parts of q * (n - 1), computed exactly and rounded once: to the microsecond, ties to even, for durations,
to a float for others.

A state counts each distinct value, up to 1,024 of them. Beyond that a group's values become the middles of their bins
(``operators.kernels.bins``), and the result is such a middle, but never below the group's least value nor above its
greatest. The number of distinct values does not depend on how the rows were split, so neither does the state. With
``exact`` there is no limit. With ``linear`` the result lies between two middles, or the least or greatest value: each
is within the error, and so is any value between two of the same sign.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import unit_of
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, Options, TallySpec
from operators.kernels.bins import (
    NAN_ORDER,
    middle_of_float,
    middle_of_integer,
    middles_of_floats,
    middles_of_integers,
)
from operators.kernels.bits import float_order
from operators.kernels.hash_tables import tally
from operators.signatures import Option, Signature, one_of, share, truth
from operators.sums.interpolation import Shares, between_floats, between_integers, between_lengths
from operators.types import DECIMALS, Type

ERROR = 0.005
"""The guaranteed relative error for large groups; that of the bins is 1/256."""

MOST = 1024
"""Distinct values that a group may have and still be exact."""

_TOP = 2**63 - 1
_ENDLESS = 2**62


@inline
def _widen(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], word: I64) -> None:
    if word < low[g]:
        low[g] = word
    if word > high[g]:
        high[g] = word


@inline
def _count(
    g: I64,
    left: NDArray[np.int64],
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    word: I64,
) -> None:  # fmt: skip
    before = used[0]
    tally(np.int64(g), word, np.int64(1), keys, counts, slots, used, words)
    if left[g] > 0:
        left[g] -= used[0] - before


@inline
def _int_step(
    g: I64,
    left: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64],
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: I64,
) -> None:  # fmt: skip
    word = np.int64(value)
    _widen(g, low, high, word)
    if left[g] <= 0:
        word = np.int64(middle_of_integer(word))
    _count(g, left, keys, counts, slots, used, words, word)


@inline
def _float_step(
    g: I64,
    left: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64],
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    # Floats are integers of the same order, which can be converted back.
    word = np.int64(float_order(value)) if value == value else np.int64(NAN_ORDER)
    _widen(g, low, high, word)
    if left[g] <= 0:
        word = np.int64(middle_of_float(word))
    _count(g, left, keys, counts, slots, used, words, word)


def _merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    # The tally maintains ``left``.
    into["low"][at] = np.minimum(into["low"][at], part["low"])
    into["high"][at] = np.maximum(into["high"][at], part["high"])


def _places(q: Fraction, n: NDArray[np.int64], linear: bool) -> tuple[NDArray[np.int64], Shares]:
    """The index of the quantile among n values and, with ``linear``, the share of the way to the next one."""
    sizes, which = np.unique(n, return_inverse=True)
    if linear:
        exact = [divmod(q * max(size - 1, 0), 1) for size in sizes.tolist()]
    else:
        exact = [(max(1, -(-q.numerator * size // q.denominator)) - 1, Fraction(0)) for size in sizes.tolist()]
    places = np.array([place for place, _ in exact], np.int64)[which]
    return places, Shares([share for _, share in exact], which)


def _floats(words: NDArray[np.int64]) -> NDArray[np.float64]:
    """The floats with these positions in float order."""
    return (words ^ ((words >> 63) & _TOP)).view(np.float64)


def _finish(of: Type, q: float, linear: bool) -> Callable[[Arrays], Finished]:
    share = Fraction(repr(q))
    coarse = middles_of_floats if of is Type.FLOAT else middles_of_integers

    def finish(state: Arrays) -> Finished:
        entries, groups = state["entries"], state["groups"]
        words = entries.words[:, 0]
        many = state["left"] <= 0
        if many.any():
            # Middles have the same order as their values.
            words = np.where(many[entries.groups], coarse(words), words)
        edges = np.searchsorted(entries.groups, np.arange(groups + 1))
        upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(entries.counts)])
        before = upto[edges[:-1]]
        n = upto[edges[1:]] - before
        seen = n > 0

        def word_at(place: NDArray[np.int64]) -> NDArray[np.int64]:
            at = np.searchsorted(upto[1:], before + place, side="right")[seen]
            out = np.zeros(groups, np.int64)
            out[seen] = np.clip(words[at], state["low"][seen], state["high"][seen])
            out = np.where(place == 0, state["low"], np.where(place == n - 1, state["high"], out))
            return np.where(seen, out, 0)

        place, past = _places(share, n, linear)
        low = word_at(place)
        if not linear:
            return _floats(low) if of is Type.FLOAT else low, seen
        high = word_at(np.minimum(place + 1, np.maximum(n - 1, 0)))
        if of is Type.FLOAT:
            return between_floats(_floats(low), _floats(high), past), seen
        if of is Type.DURATION:
            return between_lengths(low, high, past), seen
        return between_integers(low, high, unit_of(of), past), seen

    return finish


def with_most(name: str, of: Type, q: float, most: int, exact: bool = False, linear: bool = False) -> Aggregate:
    """The aggregate that is exact up to ``most`` distinct values per group."""

    def configured(options: Options) -> Aggregate:
        q, exact = float(options.get("q", 0.5)), options.get("exact") is True
        return _quantile(name, of, q, exact, options.get("interpolation") == "linear")

    real = of is Type.FLOAT
    fields = (
        # How many more values fit, plus one; 0: there are too many, -1: they are middles.
        Field("left", identity=most + 1),
        Field("low", identity=_TOP),
        Field("high", identity=-_TOP - 1),
    )
    return Aggregate(
        name, of, of if not linear or of is Type.DURATION else Type.FLOAT, fields, ("value",),
        _float_step if real else _int_step, _merge, _finish(of, q, linear),
        flags=Flags(additive=False, error=0.0 if exact else ERROR),
        tally=TallySpec(coarse=middles_of_floats if real else middles_of_integers), configured=configured,
    )  # fmt: skip


def _quantile(name: str, of: Type, q: float = 0.5, exact: bool = False, linear: bool = False) -> Aggregate:
    return with_most(name, of, q, _ENDLESS if exact else MOST, exact, linear)


_TYPES = (Type.INT, Type.FLOAT, Type.DURATION, *DECIMALS)

AGGREGATES = tuple(_quantile(name, t) for name in ("quantile", "median") for t in _TYPES)

_OPTIONS = (Option("exact", truth, False), Option("interpolation", one_of("lower", "linear"), "lower"))

SIGNATURES = {"quantile": Signature(options=(*_OPTIONS, Option("q", share))), "median": Signature(options=_OPTIONS)}
