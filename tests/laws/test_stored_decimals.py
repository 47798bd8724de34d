"""Streams with decimals: every expression and aggregate of a stored decimal is what the oracle says, in any split."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError
from operators.types import DECIMALS
from runtime import Store
from runtime.testing.oracle import IntegerOverflowError, answer
from runtime.testing.oracle.strategies import BASE, GAP, HOUR, KEY, TIME
from tests.laws.agreement import typed
from tests.laws.engine import parts
from tests.laws.shared_cases import shared_cases

TYPES = {"price": "decimal(2)", "rate": "decimal(4)", "n": "int64", "temp": "float64", "status": "string"}
FORM = {
    KEY: pa.string(), TIME: pa.timestamp("us", "UTC"), "price": pa.decimal128(18, 2), "rate": pa.decimal128(10, 4),
    "n": pa.int64(), "temp": pa.float64(), "status": pa.string(),
}  # fmt: skip
P, R, N, T, S = (df.col(name) for name in ("price", "rate", "n", "temp", "status"))

EXPRESSIONS: dict[str, dict[str, df.Expr]] = {
    "sums": {"add": P + R, "less": P - 1, "more": 5 - R, "with_n": P + N, "negative": -P, "size": R.abs()},
    "products": {"by_n": P * N, "by_rate": P * R, "by_float": P * 0.5, "by_temp": R * T},
    "quotients": {"div": P / 3, "by_rate": P / R, "whole": P // 3, "whole_of": P // R, "rest": P % 3, "rest_of": R % P},
    "comparisons": {
        "gt": P > 1, "float": P >= 0.1, "eq": P == 12.3, "fine": P == R, "n": P < N, "temp": R <= T,
        "between": P.between(-1, 12.3), "one_of": P.is_in([1, 0.1, -12.3, 0.001]),
    },
    "rounding": {
        "even": R.decimal(2, rounding="half_even"), "up": R.decimal(1, rounding="half_up"), "finer": P.decimal(6),
        "whole": R.decimal(0, rounding="half_even"),
    },
    "nulls": {"zero": P.fill_null(0), "half": P.fill_null(0.5), "other": P.fill_null(R), "null": P.is_null()},
    "choices": {
        "when": df.when(P > 0).then(P).otherwise(R), "int": df.when(S == "up").then(P).otherwise(N),
        "float": df.when(S == "up").then(P).otherwise(0.5),
    },
    "looking_back": {
        "before": P.previous(), "held": R.last("10m"), "running": P.cumulative_sum(), "moved": P.changed(),
    },
}  # fmt: skip
GROUPS: dict[str, Callable[[], Any]] = {
    "sums": lambda: stream().group_by("status").agg(
        total=df.sum("price"), mean=df.mean("price"), low=df.min("price"), high=df.max("rate"), n=df.count("price"),
        cost=df.sum(P * R), dear=df.sum("price", where=P > 1.5),
    ),
    "spread": lambda: stream().group_by("device").agg(
        sample=df.variance("price"), deviation=df.stddev("rate"), middle=df.median("price"),
        tenth=df.quantile("price", 0.1), linear=df.quantile("rate", 0.3, interpolation="linear"),
    ),
    "distinct": lambda: stream().group_by("status").agg(
        prices=df.count_distinct("price"), about=df.approx_distinct("rate"), top=df.top_k("price", 3),
    ),
    "histograms": lambda: stream().group_by("status").agg(
        halves=df.histogram("price", width=0.5), thousandths=df.histogram("price", width=0.005),
        fives=df.histogram("rate", width=5), edges=df.histogram("price", edges=[-1, 0.001, 0.1, 12.3]),
    ),
    "ends": lambda: stream().group_by("device").agg(
        first=df.first("price"), last=df.last("rate"), candle=df.candlestick("price"),
        edges=df.transitions("price"), grown=df.increase(P.abs()), speed=df.rate("price"),
    ),
    "grouped_by_decimals": lambda: stream().group_by("price", up=R.decimal(1, rounding="half_up")).agg(
        n=df.count(), t=df.sum("rate"),
    ),
    "filtered": lambda: stream().filter((P > 0.1) & (R != 0)).select("device", "price", twice=P * 2),
    "sorted": lambda: stream().filter(P.is_not_null()).group_by("price").agg(n=df.count()).sort(
        "price", descending=True
    ).limit(3),
    "states": lambda: stream().state_duration("price", hold="10m").group_by("price").agg(
        time=df.duration(), mean=df.time_weighted_mean("price"), area=df.integral("price"),
    ),
    "sessions": lambda: stream().sessionize("10m", total=df.sum("price"), most=df.max("rate")).group_by("device").agg(
        n=df.count(), total=df.sum("total"), most=df.max("most"),
    ),
    "windows": lambda: stream().window("1h", total=df.sum("price"), last=df.last("rate")).filter(df.col("total") > 0.5),
    "held": lambda: stream().with_columns(known=P.last("1h")).group_by("device").agg(
        t=df.sum("known"), m=df.mean("known"),
    ),
    "groups_of_groups": lambda: stream().group_by("device").agg(t=df.sum("price")).agg(
        total=df.sum("t"), mean=df.mean("t"), spread=df.stddev("t"), n=df.count(where=df.col("t") > 1),
    ),
}  # fmt: skip


def stream() -> Any:
    return df.stream("s")


GRAPHS: dict[str, Any] = {f"rows_{name}": stream().select("device", **exprs) for name, exprs in EXPRESSIONS.items()}
GRAPHS |= {name: make() for name, make in GROUPS.items()}

CENTS = st.sampled_from([-1230, -10, 0, 1, 10, 10, 50, 150, 1230, 10**9])
PRICES = st.one_of(st.none(), CENTS, st.integers(-500, 500)).map(lambda n: None if n is None else Decimal(n).scaleb(-2))
RATES = st.one_of(st.none(), st.integers(-99_999, 99_999), st.sampled_from([0, 1, 5000, 25_000, 10**8])).map(
    lambda n: None if n is None else Decimal(n).scaleb(-4)
)
STEPS = st.sampled_from([0, 1, GAP // 2, GAP - 1, GAP, GAP + 1, HOUR])


@st.composite
def points(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for key in draw(st.lists(st.sampled_from(["a", "b", "ö"]), unique=True, min_size=1, max_size=3)):
        at = BASE
        for _ in range(draw(st.integers(1, 6))):
            at += draw(STEPS)
            found.append(
                {
                    KEY: key, TIME: at, "price": draw(PRICES), "rate": draw(RATES),
                    "n": draw(st.sampled_from([None, -3, 0, 1, 7])),
                    "temp": draw(st.sampled_from([None, -0.5, 0.0, 0.1, 12.3, 1e9])),
                    "status": draw(st.sampled_from([None, "up", "down"])),
                }
            )  # fmt: skip
    return draw(st.permutations(found))


def table(found: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([p[name] for p in found], kind) for name, kind in FORM.items()})


class Stores:
    """A store for every set of points; points that come again have the store of before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[str, Store] = {}

    def of(self, found: list[dict[str, Any]], cuts: int) -> Store:
        """A store with the points, in so many sources."""
        name = repr((found, cuts))
        if name not in self._stores:
            store = self._stores[name] = Store(str(self._folder / f"s{len(self._stores)}"), create=True)
            for part in parts(found, cuts):
                store.ingest("s", table(list(part)), key=KEY, time=TIME, progress=False)
        return self._stores[name]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("name", GRAPHS)
def test_the_answer_is_the_oracles(stores: Stores, name: str) -> None:
    @shared_cases(name, sets=4)
    @settings(max_examples=max(10, settings().max_examples // 40))
    @given(found=points(), cuts=st.integers(1, 3))
    def check(found: list[dict[str, Any]], cuts: int) -> None:
        is_the_oracles(stores, name, found, cuts)

    check()


def is_the_oracles(stores: Stores, name: str, found: list[dict[str, Any]], cuts: int) -> None:
    until = BASE + 100 * HOUR
    # With a point that has every column: one that was always null has no type yet.
    whole = {
        KEY: "z",
        TIME: BASE,
        "price": Decimal("0.05"),
        "rate": Decimal("1.5000"),
        "n": 2,
        "temp": 0.25,
        "status": "z",
    }
    found = [whole, *found]
    store = stores.of(found, cuts)
    graph = json.loads(GRAPHS[name].to_json())
    try:
        expected = answer(graph, found, key=KEY, time=TIME, types=TYPES, since=BASE, until=until)
    except IntegerOverflowError:
        with pytest.raises(DataflowError, match=r"64[ -]bit"):
            store.query(GRAPHS[name], since=BASE, until=until)
        return
    result = store.query(GRAPHS[name], since=BASE, until=until)
    lists = {n: column.to_list() for n, column in result.columns.items()}
    got = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    assert exact(got) == exact(expected)


def exact(rows: list[dict[str, Any]]) -> list[Any]:
    """Rows with types, and with the places of decimals."""
    return [{n: (t, str(v) if t == "Decimal" else v) for n, (t, v) in row.items()} for row in typed(rows)]


@pytest.mark.parametrize("kind", DECIMALS)
def test_the_ends_of_64_bits(tmp_path: Path, kind: Any) -> None:
    places = kind.places
    edges = [Decimal(n).scaleb(-places) for n in (2**63 - 1, -(2**63), 0, -1)]
    store = Store(str(tmp_path / "s"), create=True)
    values = pa.array(edges, pa.decimal128(30, places))
    store.ingest(
        "s", pa.table({"k": list("abcd"), "t": [BASE] * 4, "x": values}), key="k", time="t", unit="us", progress=False
    )
    x = df.col("x")
    assert store.query(df.stream("s").select("k", "x"))["x"] == edges
    (low,), (high,) = (store.query(df.stream("s").agg(v=f("x")))["v"] for f in (df.min, df.max))
    assert (low, high) == (edges[1], edges[0])
    assert store.query(df.stream("s").agg(v=df.sum("x")))["v"] == [Decimal(-2).scaleb(-places)]
    assert store.query(df.stream("s").filter(x > 0).select("k"))["k"] == ["a"]
    groups = store.query(df.stream("s").group_by("x").agg(n=df.count()))
    assert groups["x"] == sorted(edges)
    assert [groups.explain(i).rows["k"] for i in range(4)] == [["b"], ["d"], ["c"], ["a"]]
    assert groups.explain({"x": edges[0]}).rows["k"] == ["a"]
    with pytest.raises(DataflowError, match="64"):
        store.query(df.stream("s").agg(v=df.sum(x + x)))
