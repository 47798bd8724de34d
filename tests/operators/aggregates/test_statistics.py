"""Statistics of two columns and of shape, rounded once, against fractions; values picked and listed, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.aggregates import REGISTRY
from operators.contract import Aggregate
from operators.laws.check import Bench, LawBroken, check_laws
from operators.laws.rows import LawRows, given_rows
from operators.states.strings import Words
from operators.types import DECIMALS, Type
from runtime.testing.oracle import oracle_statistics as plain

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NEAR = st.floats(-100, 100).map(lambda x: round(x, 2))
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)
PAIRS = {Type.FLOAT: st.tuples(FINITE, FINITE) | st.tuples(NEAR, NEAR), Type.INT: st.tuples(WHOLE, WHOLE)}


def ours(name: str, kind: Type, **options: Any) -> Aggregate:
    op = REGISTRY[name, kind]
    assert isinstance(op, Aggregate)
    if not options:
        return op
    assert op.configured is not None
    return op.configured(options)


def finished(op: Aggregate, groups: Sequence[Sequence[tuple[Any, ...]]], time: Any = None) -> list[Any]:
    """The results for groups of values, or of pairs; None where there is none."""
    rows = [row if isinstance(row, tuple) else (row, row) for group in groups for row in group]
    case = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    n, kind = len(rows), np.float64 if op.argument is Type.FLOAT else np.int64
    other = np.float64 if op.other is Type.FLOAT or op.other is None else np.int64
    rows = [r if op.other else (r[0], 0) for r in rows]
    value, second = np.array([r[0] for r in rows], kind), np.array([r[-1] for r in rows], other)
    zero = np.zeros(n, np.int64)
    found: LawRows = given_rows(
        case, zero, zero if time is None else np.array(time), value, second, zero, zero, len(groups)
    )
    bench = Bench(op)
    state, words = bench.fold(found, np.random.default_rng(0)), Words()
    whole = bench._groups(len(groups))
    whole.merge(state, words.codes)
    values, valid = whole.cells.finish(np.arange(len(groups)), words)[0]
    ok = np.ones(len(groups), np.bool_) if valid is None else valid
    texts = words.strings
    return [
        None if not k else texts[int(v)] if op.result.is_text else v.item() for v, k in zip(values, ok, strict=True)
    ]


def expected(name: str, kind: Type, pairs: Sequence[tuple[Any, Any]], **options: Any) -> float | None:
    """The exact result, rounded once."""
    if name in plain.MOMENTS:
        return plain.moment(name, [y for y, _ in pairs], options["ddof"]) if pairs else None
    kinds = (str(kind), str(kind))
    exact = plain.paired(name, pairs, kinds, {"ddof": 1, "per": None, **options})
    if exact is None:
        return None
    if name == "correlation":
        return plain.signed_root(exact)
    try:
        return float(exact)
    except OverflowError:
        return None


@pytest.mark.parametrize("kind", [Type.FLOAT, Type.INT])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("slope", {}),
        ("correlation", {}),
        ("covariance", {"ddof": 0}),
        ("skewness", {"ddof": 1}),
        ("kurtosis", {"ddof": 1}),
    ],
)
def test_exact_and_rounded_once(name: str, options: dict[str, Any], kind: Type) -> None:
    """Of few groups in integers, of many in double-word arithmetic where that is certain."""
    drawn: list[list[tuple[Any, Any]]] = []

    @settings(max_examples=max(80, settings().max_examples))
    @given(st.lists(PAIRS[kind], max_size=8))
    def draw(group: list[tuple[Any, Any]]) -> None:
        drawn.append(group)

    draw()
    found = finished(ours(name, kind, **options), drawn)
    few = [one for group in drawn[:20] for one in finished(ours(name, kind, **options), [group])]
    assert found[:20] == few
    assert len(drawn) > 64
    assert found == [expected(name, kind, group, **options) for group in drawn]


@pytest.mark.parametrize("name", ["slope", "correlation", "covariance"])
def test_far_from_zero(name: str) -> None:
    """Times: what is left of sums of 10**32 has a few digits."""
    times = [1_709_251_200_000_000 + 3_600_000_000 * h for h in range(4)]
    pairs = [(c, t) for c, t in zip([100, 97, 95, 92], times, strict=True)]
    assert finished(ours(name, Type.INT), [pairs] * 70) == [expected(name, Type.INT, pairs)] * 70


def test_what_has_no_result() -> None:
    for kind in (Type.INT, Type.FLOAT):
        same = [(1, 2), (3, 2)]
        assert finished(ours("slope", kind), [[], [(1, 2)], same]) == [None, None, None]
        assert finished(ours("correlation", kind), [same, [(2, 1), (2, 3)]]) == [None, None]
        assert finished(ours("covariance", kind), [[(1, 2)], same]) == [None, 0.0]
        assert finished(ours("covariance", kind, ddof=0), [[], [(1, 2)]]) == [None, 0.0]
        assert finished(ours("skewness", kind), [[1, 2], [1, 1, 1], [1, 1, 4]]) == [None, None, math.sqrt(3)]
        assert finished(ours("kurtosis", kind), [[1, 2, 3], [1, 2, 3, 4]]) == [None, -1.2]
        assert finished(ours("kurtosis", kind, ddof=0), [[1, 2]]) == [-2.0]


def test_infinities_and_results_that_are_too_large() -> None:
    groups = [[(math.inf, 1.0), (1.0, 2.0)], [(1.0, 1.0), (2.0, math.nan)], [(1e308, 1e308), (-1e308, -1e308)]]
    for name in ("slope", "correlation"):
        first, second, third = finished(ours(name, Type.FLOAT), groups)
        assert (math.isnan(first), math.isnan(second), third) == (True, True, 1.0)
    assert finished(ours("covariance", Type.FLOAT), groups[2:]) == [None]
    assert math.isnan(finished(ours("skewness", Type.FLOAT), [[1.0, math.inf, 2.0]])[0])
    assert finished(ours("skewness", Type.FLOAT), [[1.0, math.inf]]) == [None]


def test_scales_of_units() -> None:
    """Of decimals and times, which are added as counts of their units."""
    pairs = [(250, 0), (300, 1), (900, 5)]
    exact = plain.paired("slope", pairs, ("int64", "int64"), {})
    assert exact is not None
    assert finished(ours("slope", Type.INT, up=3, down=100), [pairs]) == [float(exact * 3 / 100)]
    assert finished(ours("covariance", Type.INT, ddof=0, down=10), [[(1, 2), (3, 4)]]) == [0.1]


PICKED: dict[str, list[Any]] = {"max_by": [7, 1], "min_by": [3, 1]}


@pytest.mark.parametrize(("name", "found"), PICKED.items())
def test_picked(name: str, found: list[Any]) -> None:
    rows = [(1, 5), (7, 9), (3, 2), (4, 9), (5, 2)]
    assert finished(ours(name, Type.INT), [rows, [(1, 5), (2, 5)]], [30, 20, 20, 40, 50, 0, 0]) == found


def test_mode_by_time_and_then_the_least() -> None:
    rows = [[3, 1, 1, 3], [5, 2], [9], []]
    assert finished(ours("mode", Type.INT), rows, [10, 20, 30, 40, 7, 7, 0]) == [3, 2, 9, None]
    assert finished(ours("mode", Type.FLOAT), [[-0.0, 1.0, 0.0]]) == [0.0]


def test_listed_in_order() -> None:
    first = ours("collect", Type.INT, first=3)
    rows = [[5, 4, 3, 2, 1], [2**60, 1], []]
    assert finished(first, rows, [50, 40, 40, 10, 60, 0, 0]) == ["[2,4,3]", f'["{2**60}",1]', "[]"]


@pytest.mark.parametrize("name", ["time_weighted_mean", "integral"])
def test_laws_along_lines(name: str) -> None:
    for (found, kind), op in REGISTRY.items():
        if found == name and isinstance(op, Aggregate) and kind not in DECIMALS[1:]:
            assert op.configured is not None
            check_laws(op.configured({"between": "linear"}), cases=64)


def _forgets(into: Any, at: Any, part: Any) -> None:
    for field, values in part.items():
        into[field][at] = values


def _unsorted(into: Any, at: Any, part: Any) -> None:
    # Appends what the other has, whatever its times.
    for g, n, m in zip(at.tolist(), into["n"][at].tolist(), part["n"].tolist(), strict=True):
        taken = min(m, into["kept"].shape[1] - n)
        for field in ("at", "tied", "kept"):
            into[field][g, n : n + taken] = part[field][at.tolist().index(g), :taken]
        into["n"][g] = n + taken


MUTANTS: dict[str, Callable[[], Aggregate]] = {
    "max_by forgets": lambda: replace(ours("max_by", Type.INT), merge=_forgets),
    "min_by claims any order": lambda: replace(
        ours("min_by", Type.INT), flags=replace(ours("min_by", Type.INT).flags, ordered=False)
    ),
    "collect appends": lambda: replace(ours("collect", Type.INT), merge=_unsorted),
    "slope adds up pieces": lambda: replace(
        ours("slope", Type.INT), flags=replace(ours("slope", Type.INT).flags, additive=True)
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_laws_catch(name: str) -> None:
    with pytest.raises(LawBroken):
        check_laws(MUTANTS[name]())
