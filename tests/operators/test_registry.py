"""Custom aggregates: from a metric file through queries, laws, explain and JSON."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from dataflow.metrics.json_form import JsonFormError
from deploy.metric_file import load_metric
from operators import registry
from operators.contract import Aggregate, Field, Flags, TallySpec, merge_by_adding
from operators.registry import RegistrationError
from operators.types import STORED, Type, stored
from runtime import Store

FILE = '''
"""The share of values between two bounds."""

import numpy as np

import dataflow as df

LOW, HIGH = 18.0, 24.0


def fold(g, inside, n, value):
    if LOW <= value <= HIGH:
        inside[g] += 1
    n[g] += 1


def finish(state):
    n = state["n"]
    return state["inside"] / np.maximum(n, 1), n > 0


comfort = df.register(
    df.Aggregate(
        "comfort", df.Type.FLOAT, df.Type.FLOAT, (df.Field("inside"), df.Field("n")), ("value",), fold,
        df.merge_by_adding, finish, flags=df.Flags(additive=False),
    )
)
metric = (
    df.stream("telemetry")
    .group_by("device")
    .agg(share=comfort("temp"), late=comfort("temp", where=df.col("n") > 2), rows=df.count())
)
'''
COLUMNS = {
    "device": ["a", "a", "a", "a", "b", "b"],
    "ts": [1, 2, 3, 4, 5, 6],
    "temp": [17.0, 18.0, 21.0, 30.0, None, 24.5],
    "n": [1, 2, 3, 4, 5, 6],
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_own", {})
    monkeypatch.setattr(registry, "_marks", {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    store.ingest("telemetry", COLUMNS, key="device", time="ts", unit="s")
    return store


def metric_file(folder: Path, text: str = FILE) -> str:
    path = folder / "comfort.py"
    path.write_text(text)
    return f"{path}:metric"


def rows(store: Store, metric: df.Stream) -> list[tuple[object, ...]]:
    return list(store.query(metric))


def test_from_a_metric_file(store: Store, tmp_path: Path) -> None:
    metric = load_metric(metric_file(tmp_path))
    assert rows(store, metric) == [("a", 0.5, 0.5, 4), ("b", 0.0, 0.0, 2)]
    assert "share = comfort: exact" in metric.explain(store)
    (report,) = df.check_laws("comfort", cases=200)
    assert report.laws == ("split", "order", "identity", "finish", "transport")
    # By its name in JSON; and by name in Python.
    assert json.loads(metric.to_json())["steps"][2 - 1]["aggs"][0]["agg"]["fn"] == "comfort"
    assert rows(store, df.from_json(metric.to_json())) == rows(store, metric)
    again = df.stream("telemetry").agg(share=df.aggregate("comfort", "temp"))
    assert rows(store, again) == [(0.4,)]


def test_another_version_of_a_file_is_another_kernel(store: Store, tmp_path: Path) -> None:
    first = rows(store, load_metric(metric_file(tmp_path)))
    second = rows(store, load_metric(metric_file(tmp_path, FILE.replace("HIGH = 18.0, 24.0", "HIGH = 18.0, 20.0"))))
    assert (first[0][1], second[0][1]) == (0.5, 0.25)


def test_what_a_step_uses_of_another_file_is_in_its_kernel(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that was edited: the step's own file is the same, and what it computes is not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    text = FILE.replace(
        "import dataflow as df\n",
        "import dataflow as df\nimport bounds_of_mine as mine\nfrom bounds_of_mine import high\n",
        1,
    )
    text = text.replace("if LOW <= value <= HIGH", "if mine.low(LOW) <= value <= high(HIGH)")
    shares = []
    for low, high in ((0, 0), (0, 4), (4, 4)):
        helpers = f"import numba\n\nAT = {low}\n\n\n@numba.njit\ndef low(x):\n    return x - AT\n\n\n"
        (tmp_path / "bounds_of_mine.py").write_text(helpers + f"@numba.njit\ndef high(x):\n    return x - {high}\n")
        monkeypatch.delitem(sys.modules, "bounds_of_mine", raising=False)
        importlib.invalidate_caches()
        shares.append(rows(store, load_metric(metric_file(tmp_path, text)))[0][1])
    assert shares == [0.5, 0.25, 0.5]


def adding(step: int) -> Aggregate:
    """The same code with another value that it closes over."""

    def fold(g: Any, n: Any, value: Any) -> None:
        n[g] += step

    return replace(OWN, step=fold)


def test_what_a_step_closes_over_is_in_its_kernel(store: Store) -> None:
    found = []
    for step in (1, 5, 1):
        df.register(adding(step))
        found.append(rows(store, df.stream("telemetry").agg(n=df.aggregate("own", "temp"))))
    assert found == [[(5,)], [(25,)], [(5,)]]
    assert (
        registry.mark_of_code(adding(5).step)
        == registry.mark_of_code(adding(5).step)
        != registry.mark_of_code(adding(1).step)
    )


def test_what_nothing_can_be_told_of_is_never_the_same() -> None:
    """Better compiled again than something else."""
    unknown = object()

    def fold(g: Any, n: Any, value: Any) -> None:
        n[g] += unknown

    assert registry.mark_of_code(fold) != registry.mark_of_code(fold)
    assert registry.mark_of_code(_fold) == registry.mark_of_code(_fold)


def test_where_it_is_not_registered(store: Store, tmp_path: Path) -> None:
    metric = load_metric(metric_file(tmp_path))
    text = metric.to_json()
    registry._own.clear()
    with pytest.raises(JsonFormError, match=r"unknown aggregate 'comfort'; a custom aggregate must be registered"):
        df.from_json(text)
    with pytest.raises(df.DataflowError, match=r"comfort'.* must be registered first: df.register"):
        store.query(metric)
    with pytest.raises(df.DataflowError, match="there is no custom aggregate 'comfort'"):
        df.aggregate("comfort", "temp")
    with pytest.raises(df.DataflowError, match="there is no custom aggregate 'sum'"):
        df.aggregate("sum", "temp")


def _fold(g: Any, n: Any, value: Any) -> None:
    n[g] += 1


OWN = Aggregate(
    "own", Type.FLOAT, Type.INT, (Field("n"),), ("value",), _fold, merge_by_adding, lambda s: (s["n"], None),
    flags=Flags(additive=False),
)  # fmt: skip


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (replace(OWN, name="sum"), "is that of a built-in aggregate"),
        (replace(OWN, name="mttr"), "is that of a built-in aggregate"),
        (replace(OWN, name="my own"), "must be an identifier"),
        (replace(OWN, inputs=("colour",)), "there is no input 'colour'"),
        (replace(OWN, fields=(Field("n", "f4"),)), "must be of dtype i8 or f8"),
        (replace(OWN, fields=(Field("n"), Field("n"))), "different identifiers"),
        (replace(OWN, argument=Type.STRING), "strings are codes"),
        (replace(OWN, result=Type.STRING), "strings are codes"),
        ("own", "takes an Aggregate, got 'own'"),
    ],
)
def test_what_cannot_be_registered(op: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        df.register(op)


def test_names_are_taken_once() -> None:
    df.register(OWN)
    df.register(replace(OWN, flags=Flags()))  # the same module may change its mind

    def elsewhere(g: Any, n: Any, value: Any) -> None:
        n[g] += 2

    elsewhere.__module__ = "another"
    with pytest.raises(RegistrationError, match="already registered by tests"):
        df.register(replace(OWN, step=elsewhere))
    with pytest.raises(df.DataflowError, match="own takes 1 values, got 2"):
        df.aggregate("own", "temp", "temp")


def _add(g: Any, total: Any, value: Any) -> None:
    total[g] += value


def test_fields_of_floats(store: Store) -> None:
    add = df.register(
        replace(OWN, result=Type.FLOAT, fields=(Field("total", "f8"),), step=_add, finish=lambda s: (s["total"], None))
    )
    assert rows(store, df.stream("telemetry").agg(s=add("temp"))) == [(110.5,)]


def test_strings_may_be_tallied() -> None:
    df.register(replace(OWN, argument=Type.STRING, inputs=("hash",)))
    df.register(replace(OWN, name="tallied", argument=Type.STRING, tally=TallySpec(is_code=True)))
    assert {r.argument for r in df.check_laws("own", cases=64)} == {Type.STRING}


@pytest.mark.parametrize("name", ["json", "decimal(10)", "complex", None])
def test_types_that_no_column_has(name: object) -> None:
    with pytest.raises(ValueError, match="a stream's column cannot be"):
        stored(name)
    assert all(stored(t.value) is t for t in STORED)
