"""Every aggregate of the registry keeps the laws that it claims; every planted mutant is caught."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.aggregates import REGISTRY
from operators.contract import Flags
from operators.laws import LAWS, LawBroken, check_batch, check_laws
from operators.types import DECIMALS, Type
from tests.laws.mutants import MUTANTS, Mutant

BATCH = 128
EXAMPLES = max(8, settings().max_examples // 8)
"""Batches that Hypothesis draws for each aggregate: 1,024 cases at least."""

# Decimals are the same integers with another unit at the end: two of them stand for all.
CHECKED = [key for key in REGISTRY if key[1] not in DECIMALS or key[1] in (Type.DECIMAL_0, Type.DECIMAL_3)]


@pytest.mark.parametrize("key", CHECKED, ids=lambda k: f"{k[0]}-{k[1]}")
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**63))
def test_laws(key: tuple[str, Type | None], seed: int) -> None:
    check_batch(REGISTRY[key], np.random.default_rng(seed), BATCH)


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
