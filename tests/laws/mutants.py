"""Broken aggregates: each violates one law, which must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numba
import numpy as np

from operators.aggregates import REGISTRY, AnyAggregate
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, SetAggregate, TallySpec, merge_by_adding
from operators.kernels.hash_tables import tally
from operators.kernels.sums.float_sums import FILLED, add_float
from operators.types import Type


@dataclass(frozen=True)
class Mutant:
    """``flag`` is the claim that is false, or the part of the contract that is broken."""

    name: str
    flag: str
    law: str
    op: AnyAggregate


def ours(name: str, kind: Type | None) -> Aggregate:
    return cast(Aggregate, REGISTRY[name, kind])


def claiming(op: AnyAggregate, **flags: Any) -> AnyAggregate:
    return replace(op, flags=replace(op.flags, **flags))


@numba.njit
def _plain_sum(g: Any, total: Any, n: Any, value: Any) -> None:
    total[g] += value
    n[g] += 1


@numba.njit
def _kept_latest(g: Any, at: Any, tied: Any, kept: Any, n: Any, value: Any, time: Any, tie: Any) -> None:
    at[g] = time
    tied[g] = tie
    kept[g] = value
    n[g] = 1


@numba.njit
def _uncarried(g: Any, n: Any, rows: Any, log: Any, used: Any, value: Any) -> None:
    # Forgets what two floats cannot tell, but for the first.
    before = used[FILLED]
    add_float(g, rows, log, used, value)
    if n[g] > 0:
        used[FILLED] = before
    n[g] += 1


@numba.njit
def _half_a_bin(g: Any, keys: Any, counts: Any, slots: Any, used: Any, words: Any, value: Any) -> None:
    # Bins by what the group has seen so far.
    tally(np.int64(g), np.int64(value) + used[0], np.int64(1), keys, counts, slots, used, words)


def _finish_total(state: Arrays) -> Finished:
    return state["total"], state["n"] > 0


def _merge_overwriting(into: Arrays, at: Any, part: Arrays) -> None:
    for name, values in part.items():
        into[name][at] = values


def _merge_one_way(into: Arrays, at: Any, part: Arrays) -> None:
    into["best"][at] = np.where(part["n"] > 0, part["best"], into["best"][at])
    into["n"][at] |= part["n"]


def _merge_without_time(into: Arrays, at: Any, part: Arrays) -> None:
    wins = part["n"] > 0
    for name in ("at", "tied", "kept", "n"):
        into[name][at[wins]] = part[name][wins]


def _merge_without_ties(into: Arrays, at: Any, part: Arrays) -> None:
    wins = (part["n"] > 0) & ((into["n"][at] == 0) | (part["at"] > into["at"][at]))
    for name in ("at", "tied", "kept", "n"):
        into[name][at[wins]] = part[name][wins]


def _merge_low_only(into: Arrays, at: Any, part: Arrays) -> None:
    for name in ("low", "n"):
        into[name][at] += part[name]


def _carry_too_much(state: Arrays) -> None:
    state["high"] += state["low"] >> 31
    state["low"] &= 0xFFFFFFFF


def _merge_count_and_or(into: Arrays, at: Any, part: Arrays) -> None:
    into["n"][at] |= part["n"]


def _impure(finish: Callable[[Arrays], Finished], name: str) -> Callable[[Arrays], Finished]:
    calls = [0]

    def broken(state: Arrays) -> Finished:
        values, valid = finish(state)
        calls[0] += 1
        return values + calls[0], valid

    broken.__name__ = name
    return broken


def _relative(finish: Callable[[Arrays], Finished]) -> Callable[[Arrays], Finished]:
    def broken(state: Arrays) -> Finished:
        values, valid = finish(state)
        return values - values.min(initial=0), valid

    return broken


def _of_all_groups(groups: Any, values: Any, count: int, strings: list[str]) -> Finished:
    return np.full(count, len(groups), np.int64), None


_PLAIN = (Field("total", "f8"), Field("n"))
_SUM = Aggregate(
    "plain_sum", Type.FLOAT, Type.FLOAT, _PLAIN, ("value",), _plain_sum, merge_by_adding, _finish_total,
    flags=Flags(additive=False),
)  # fmt: skip
_LAST, _MIN, _SUM_INT = ours("last", Type.INT), ours("min", Type.INT), ours("sum", Type.INT)
_COUNT, _DISTINCT = ours("count", Type.INT), cast(SetAggregate, REGISTRY["count_distinct", Type.INT])
_SINGLE = replace(_SUM, fields=(Field("total", "f4"), Field("n")), flags=Flags(True, additive=False, exact=False))
_HISTOGRAM, _FLOAT_SUM = ours("histogram", Type.INT), ours("sum", Type.FLOAT)
_TOP, _QUANTILE = ours("top_k", Type.STRING), ours("quantile", Type.FLOAT)

MUTANTS = [
    Mutant("floats summed as floats", "exact", "split", _SUM),
    Mutant("a sum without what its two floats cannot tell", "exact", "split", replace(_FLOAT_SUM, step=_uncarried)),
    Mutant("bins that depend on what came before", "exact", "split", replace(_HISTOGRAM, step=_half_a_bin)),
    Mutant("last says that rows may come in any order", "ordered", "order", claiming(_LAST, ordered=False)),
    Mutant("the last to be folded", "ordered", "split", replace(_LAST, step=_kept_latest, merge=_merge_without_time)),
    Mutant("last without regard to time in merges", "exact", "split", replace(_LAST, merge=_merge_without_time)),
    Mutant("last without regard to keys at one time", "exact", "split", replace(_LAST, merge=_merge_without_ties)),
    Mutant("count says that cut rows are no matter", "additive", "seams", claiming(_COUNT, additive=True)),
    Mutant("sum says that cut rows are no matter", "additive", "seams", claiming(_SUM_INT, additive=True)),
    Mutant("last says that cut rows are no matter", "additive", "seams", claiming(_LAST, additive=True)),
    Mutant("sum says that duplicates are no matter", "duplicate_safe", "duplicates",
           claiming(_SUM_INT, duplicate_safe=True)),
    Mutant("top_k says so, too", "duplicate_safe", "duplicates", claiming(_TOP, duplicate_safe=True)),
    Mutant("sum says that overlap is no matter", "overlap_safe", "overlap", claiming(_SUM_INT, overlap_safe=True)),
    Mutant("quantile says so, too", "overlap_safe", "overlap", claiming(_QUANTILE, overlap_safe=True)),
    Mutant("a maximum of counts, merged by adding", "overlap_safe", "split",
           replace(ours("approx_distinct", Type.INT), tally=TallySpec())),
    Mutant("a merge that overwrites", "merge", "split", replace(_SUM_INT, merge=_merge_overwriting)),
    Mutant("a merge that takes the other side's", "merge", "split", replace(_MIN, merge=_merge_one_way)),
    Mutant("a merge that forgets a field", "merge", "split", replace(_SUM_INT, merge=_merge_low_only)),
    Mutant("a merge of counts by or", "merge", "split", replace(_COUNT, merge=_merge_count_and_or)),
    Mutant("a minimum that starts at 0", "identity", "split",
           replace(_MIN, fields=(Field("best"), Field("n")), merge=_merge_one_way)),
    Mutant("a settle that carries too much", "settle", "split", replace(_SUM_INT, settle=_carry_too_much)),
    Mutant("a finish that says something else each time", "finish", "finish",
           replace(_COUNT, finish=_impure(_COUNT.finish, "counting"))),
    Mutant("a finish that looks at other groups", "finish", "finish",
           replace(_SUM_INT, finish=_relative(_SUM_INT.finish))),
    Mutant("a set that counts all groups", "finish", "finish", replace(_DISTINCT, finish=_of_all_groups)),
    Mutant("codes of strings that are not translated", "is_code", "split",
           replace(ours("last", Type.STRING), fields=(Field("at"), Field("tied"), Field("kept"), Field("n")))),
    Mutant("tallied strings that are not translated", "is_code", "split",
           replace(_TOP, tally=TallySpec())),
    Mutant("a state of numbers that do not travel", "dtype", "transport", _SINGLE),
]  # fmt: skip
"""Every claim and every part of the contract, broken at least once."""
