"""Every aggregate of the registry obeys its laws; every mutant is caught."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataflow as df
from operators.aggregates import REGISTRY, AnyAggregate
from operators.contract import Aggregate, Flags
from operators.laws.check import LAWS, Bench, LawBroken, check_batch, check_laws
from operators.laws.rows import DURATIONS, STRINGS, LawRows, given_rows
from operators.types import DECIMALS, Type
from tests.laws.mutants import MUTANTS, Mutant

BATCH = 64
EXAMPLES = max(5, settings().max_examples // 8)
"""Batches that Hypothesis draws for each aggregate: 320 cases at least."""

TOGETHER = 20
"""Cases of one fold; the arrays and the calls of a fold take the time, and not its rows."""

# Decimals are the same integers with another unit at the end: two of them stand for all.
_ALIKE = {"max_by", "min_by", "mode", "collect"}
"""Aggregates with one step for all whole numbers; these differ in their results alone."""

CHECKED = [
    (name, kind)
    for name, kind in REGISTRY
    if kind not in DECIMALS or (kind in (Type.DECIMAL_0, Type.DECIMAL_3) and name not in _ALIKE)
    if name not in _ALIKE or kind in (Type.INT, Type.FLOAT, Type.STRING)
]


@pytest.mark.parametrize("key", CHECKED, ids=lambda k: f"{k[0]}-{k[1]}")
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**63))
def test_laws(key: tuple[str, Type | None], seed: int) -> None:
    check_batch(REGISTRY[key], np.random.default_rng(seed), BATCH)


@st.composite
def folded(draw: st.DrawFn, kind: Type | None, other: Type | None) -> tuple[LawRows, NDArray[np.int64]]:
    """Rows of one case, and the part that each is in."""
    # Key, time, duration and what is known of a row are one number: so many draws would take most of the time.
    drawn = draw(st.lists(st.tuples(_value(kind), _value(other), st.integers(0, 3 * 6 * 7 * 3 - 1)), max_size=8))
    drawn.sort(key=lambda row: row[2] % 18)
    value = np.array([row[0] for row in drawn], np.float64 if kind is Type.FLOAT else np.int64)
    second = np.array([row[1] for row in drawn], np.float64 if other is Type.FLOAT else np.int64)
    place = np.array([row[2] for row in drawn], np.int64)
    if other is Type.DURATION:
        second = np.abs(second // 2)
    key, time, duration, known = place % 18 // 6, place % 6, place // 18 % 7, place // 126
    rows = given_rows(np.zeros(len(drawn), np.int64), key, time * 10, value, second, DURATIONS[duration], known, 1)
    # No task splits a time of a key. A number with a digit for each would not do: large ones are drawn seldom.
    return rows, np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 4, 18)[place % 18]


def joined(cases: list[LawRows]) -> LawRows:
    """The cases as groups of one fold."""
    inputs = {name: np.concatenate([rows.inputs[name] for rows in cases]) for name in cases[0].inputs}
    number = np.repeat(np.arange(len(cases)), [len(rows) for rows in cases])
    return LawRows(len(cases), number, np.concatenate([rows.key for rows in cases]), inputs, STRINGS)


def _value(kind: Type | None) -> st.SearchStrategy[Any]:
    if kind is Type.FLOAT:
        return st.floats() | st.floats(-100, 100)
    if kind is Type.BOOL:
        return st.integers(0, 1)
    if kind is Type.STRING:
        return st.integers(0, len(STRINGS) - 1)
    return st.just(0) if kind is None else st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)


def _arguments(op: AnyAggregate) -> tuple[Type | None, Type | None]:
    return op.argument, op.other if isinstance(op, Aggregate) else None


KINDS = list(dict.fromkeys(_arguments(REGISTRY[key]) for key in CHECKED))


@pytest.mark.parametrize("kinds", KINDS, ids=lambda k: f"{k[0]}-{k[1]}")
def test_any_split_and_tree_is_the_whole(kinds: tuple[Type | None, Type | None]) -> None:
    """Of each aggregate 120 examples, nightly more: states equal to the byte, and answers.

    Aggregates of the same arguments share the examples: to draw them takes as long as to fold and merge them. TOGETHER
    of them share the shape of a tree, each with parts of its own at its leaves.
    """
    drawn: list[tuple[LawRows, NDArray[np.int64]]] = []

    @settings(max_examples=max(120, settings().max_examples))
    @given(case=folded(*kinds))
    def draw(case: tuple[LawRows, NDArray[np.int64]]) -> None:
        drawn.append(case)

    draw()
    benches = [Bench(REGISTRY[key]) for key in CHECKED if _arguments(REGISTRY[key]) == kinds]
    for at in range(0, len(drawn), TOGETHER):
        cases = drawn[at : at + TOGETHER]
        rows, part = joined([rows for rows, _ in cases]), np.concatenate([part for _, part in cases])
        parts = [rows.take(np.flatnonzero(part == i)) for i in range(4)]
        for number, bench in enumerate(benches):
            rng = np.random.default_rng([at, number])
            whole, merged = bench.fold(rows, rng), bench.tree(len(cases), [bench.fold(p, rng) for p in parts], rng)
            found, expected = (
                zip(bench.by_case(state), bench.answers(state, range(len(cases))), strict=True)
                for state in (merged, whole)
            )
            for case, (a, b) in enumerate(zip(found, expected, strict=True)):
                if a != b:
                    raise LawBroken(bench.op, "split", rows.alone(case))


def test_decimals_share_their_steps() -> None:
    for (name, kind), op in REGISTRY.items():
        if kind in DECIMALS:
            like: Any = REGISTRY[name, Type.DECIMAL_3]
            for part in ("step", "merge", "settle", "fields", "sums", "tally", "flags", "inputs"):
                assert getattr(op, part, None) == getattr(like, part, None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutants(mutant: Mutant) -> None:
    with pytest.raises(df.DataflowError) as caught:
        check_laws(mutant.op)
    if isinstance(caught.value, LawBroken):
        assert caught.value.law == mutant.law
    else:
        assert (mutant.flag, mutant.law) == ("dtype", "transport")


def test_every_claim_has_a_mutant() -> None:
    claims = {f.name for f in fields(Flags)} - {"error"}
    assert claims <= {m.flag for m in MUTANTS}
    # A state that differs after its merge with nothing differs after any merge: "split" comes first and says so.
    assert set(LAWS) - {"identity"} <= {m.law for m in MUTANTS}


def test_a_broken_law_shows_few_rows() -> None:
    mutant = next(m for m in MUTANTS if m.name == "sum says that duplicates are no matter")
    with pytest.raises(LawBroken, match=r"sum over values of type int64 breaks the law of duplicates") as caught:
        check_laws(mutant.op)
    # One value that is not 0, folded twice, is enough.
    assert str(caught.value).count("(") - str(caught.value).count("(value)") <= 2


def test_report() -> None:
    (report,) = df.check_laws(REGISTRY["sum", Type.FLOAT], cases=64)
    assert (report.name, report.argument, report.cases) == ("sum", Type.FLOAT, 64)
    assert report.laws == ("split", "order", "identity", "finish", "transport")
    assert {r.argument for r in df.check_laws("any_true", cases=64)} == {Type.BOOL}
    with pytest.raises(df.DataflowError, match="there is no aggregate 'sun'"):
        df.check_laws("sun")
