"""Aggregates of intervals: duration, known_time, unknown_time, share_of_time, mtbf, time_weighted_mean and integral.

``known`` is 1 if the interval's state is known, 0 if not, 2 before a key's first point ever. Sums of microseconds use
two words: a million devices over ten years do not fit in one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import settle_low_high, unit_of
from operators.aggregates.trapezoids import BETWEEN, LINES, along_lines, lines_or_steps
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, Options, merge_by_adding
from operators.kernels.sums.windowed_sums import add_int, add_product, add_scaled
from operators.signatures import Arguments, Arranged, Option, Signature, micros, one_of
from operators.sums import rounding
from operators.types import DECIMALS, Type

_SUM = (Field("low"), Field("high"))
_SHARE = (Field("low"), Field("high"), Field("known_low"), Field("known_high"))
_FLAGS = Flags()


@inline
def _duration(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64) -> None:
    add_int(g, low, high, duration)


@inline
def _known(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64, known: I64) -> None:
    if known == 1:
        add_int(g, low, high, duration)


@inline
def _unknown(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64, known: I64) -> None:
    if known != 1:
        add_int(g, low, high, duration)


@inline
def _known_of(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], cond: bool, duration: I64, known: I64) -> None:
    if known == 1 and cond:
        add_int(g, low, high, duration)


@inline
def _unknown_of(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], cond: bool, duration: I64, known: I64) -> None:
    if known != 1 or not cond:
        add_int(g, low, high, duration)


@inline
def _share(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    known_low: NDArray[np.int64], known_high: NDArray[np.int64],
    value: I64, duration: I64, known: I64,
) -> None:  # fmt: skip
    if known == 1:
        add_int(g, known_low, known_high, duration)
        if value != 0:
            add_int(g, low, high, duration)


def _settle_share(state: Arrays) -> None:
    rounding.settle_pair(state["low"], state["high"])
    rounding.settle_pair(state["known_low"], state["known_high"])


def _finish(state: Arrays) -> Finished:
    return rounding.pair_to_int(state["low"], state["high"], "a total of durations"), None


def _finish_share(state: Arrays) -> Finished:
    known = rounding.PairSums(state["known_low"], state["known_high"])
    return rounding.quotients(rounding.PairSums(state["low"], state["high"]), known), (known.low | known.high) != 0


# A failure is a row where the condition is false and was true in the key's previous row (``flag``). mtbf is the time in
# which the condition was true, per failure; mttr is the same for the negated condition.


@inline
def _failures(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64],
    cond: bool, flag: bool, duration: I64, known: I64,
) -> None:  # fmt: skip
    if known == 1 and cond:
        add_int(g, low, high, duration)
    if flag:
        n[g] += 1


def _finish_failures(state: Arrays) -> Finished:
    n = state["n"]
    out = [
        # To the nearest microsecond, ties to even.
        rounding.nearest(total, max(count, 1))
        for total, count in zip(rounding.PairSums(state["low"], state["high"]).integers(), n.tolist(), strict=True)
    ]
    return np.array(out, np.int64), n > 0


@inline
def _float_area(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: F64, duration: I64, known: I64,
) -> None:  # fmt: skip
    if known == 1:
        add_int(g, low, high, duration)
        add_scaled(g, rows, log, used, value, duration)


@inline
def _int_area(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: I64, duration: I64, known: I64,
) -> None:  # fmt: skip
    if known == 1:
        add_int(g, low, high, duration)
        size = np.uint64(value) if value >= 0 else np.uint64(0) - np.uint64(value)
        add_product(g, rows, log, used, np.int64(size), duration, np.int64(0), np.int64(value) >> 63)


def _finish_area(of: Type, mean: bool) -> Callable[[Arrays], Finished]:
    unit = unit_of(of)

    def finish(state: Arrays) -> Finished:
        known, area = rounding.PairSums(state["low"], state["high"]), state["area"]
        one = np.ones_like(known.low)
        below = known if mean else rounding.PairSums(one, 0 * one)
        out = rounding.quotients(area, below, down=unit if mean else unit * 1_000_000, lowest=area.lowest)
        # An integral may exceed the largest float; a mean does not.
        out, ok = rounding.in_floats(out, area.special())
        return out, ok & ((known.low | known.high) != 0)

    return finish


def _finish_mean_duration(state: Arrays) -> Finished:
    known = rounding.PairSums(state["low"], state["high"])
    pairs = zip(state["area"].integers(), known.integers(), strict=True)
    return np.array([rounding.nearest(a, max(b, 1)) for a, b in pairs], np.int64), (known.low | known.high) != 0


def _area(name: str, of: Type) -> Aggregate:
    whole, lasting = of is not Type.FLOAT, of is Type.DURATION
    finish = _finish_mean_duration if lasting else _finish_area(of, name == "time_weighted_mean")

    def configured(options: Options) -> Aggregate:
        return along_lines(name, of, options, by_steps)

    by_steps = Aggregate(
        name, of, of if lasting else Type.FLOAT, _SUM, ("value", "duration", "known"),
        _int_area if whole else _float_area, merge_by_adding, finish, settle_low_high, _FLAGS,
        sums=(ExactSum("area", 0 if whole else -1074, 8),), configured=configured,
    )  # fmt: skip
    return by_steps


AGGREGATES = (
    *(
        Aggregate(name, None, Type.DURATION, _SUM, inputs, step, merge_by_adding, _finish, settle_low_high, _FLAGS,
                  before_first=name == "unknown_time")
        for name, inputs, step in (
            ("duration", ("duration",), _duration),
            ("known_time", ("duration", "known"), _known),
            ("unknown_time", ("duration", "known"), _unknown),
        )
    ),
    # With a condition, ``cond`` says whether it is known.
    *(
        Aggregate(name, Type.BOOL, Type.DURATION, _SUM, ("cond", "duration", "known"), step, merge_by_adding, _finish,
                  settle_low_high, _FLAGS, before_first=name == "unknown_time")
        for name, step in (("known_time", _known_of), ("unknown_time", _unknown_of))
    ),
    Aggregate(
        "share_of_time", Type.BOOL, Type.FLOAT, _SHARE, ("value", "duration", "known"), _share, merge_by_adding,
        _finish_share, _settle_share, _FLAGS,
    ),
    Aggregate(
        "mtbf", Type.BOOL, Type.DURATION, (*_SUM, Field("n")), ("cond", "flag", "duration", "known"), _failures,
        merge_by_adding, _finish_failures, settle_low_high, _FLAGS, other=Type.BOOL,
    ),
    *(_area(name, t) for name in ("time_weighted_mean", "integral") for t in (Type.INT, Type.FLOAT, *DECIMALS)),
    _area("time_weighted_mean", Type.DURATION),
)  # fmt: skip


def _whether_known(name: str) -> Callable[[Arguments], Arranged]:
    return lambda a: Arranged(name, a.kind, a.call("is_not_null", Type.BOOL, a.first))


def _failures_of(works: bool) -> Callable[[Arguments], Arranged]:
    def arrange(a: Arguments) -> Arranged:
        up = a.first if works else a.call("not", Type.BOOL, a.first)
        down = a.call("not", Type.BOOL, up)
        failed = a.call("and", Type.BOOL, down, a.remembering("before", Type.BOOL, up))
        for condition in a.first_piece:
            failed = a.call("and", Type.BOOL, failed, condition)
        return Arranged("mtbf", a.kind, up, failed)

    return arrange


_LINES = (Option(BETWEEN, one_of("steps", LINES), "steps"), Option("hold", micros, 0, length="only"))

SIGNATURES = {
    "duration": Signature((0, 1)),
    "known_time": Signature((0, 1), of_intervals=True, arrange=_whether_known("known_time")),
    "unknown_time": Signature((0, 1), of_intervals=True, arrange=_whether_known("unknown_time")),
    "mtbf": Signature(of_intervals=True, remembers=True, arrange=_failures_of(works=True)),
    "mttr": Signature(of_intervals=True, remembers=True, arrange=_failures_of(works=False)),
    "share_of_time": Signature(of_intervals=True),
    **{
        name: Signature((1,), _LINES, of_intervals=True, of_points=(BETWEEN, LINES), arrange=lines_or_steps(name))
        for name in ("time_weighted_mean", "integral")
    },
}
