"""Scans: from a metric file through queries, ranges and JSON; wrong declarations."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from dataflow.metrics.json_form import JsonFormError
from deploy.metric_file import load_metric
from operators import scans
from operators.registry import RegistrationError
from runtime import Store

FILE = '''
"""The greatest fall of a price from its peak, and a count."""

import dataflow as df


def fall(peak, most, price):
    peak = max(peak, price)
    most = max(most, FACTOR * (1 - price / peak))
    return peak, most, most


FACTOR = 1.0
drawdown = df.scan("drawdown", fall, init=(0.0, 0.0))
metric = df.stream("s").select(fall=drawdown("x"))
worst = df.stream("s").group_by("k").agg(fall=df.max(drawdown("x")))
'''
DAY = 86_400_000_000


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(scans, "_known", {})


def store_of(folder: Path, xs: dict[str, list[float | None]], parts: int = 1) -> Store:
    """A store with an hourly value per key, ingested in so many parts."""
    store = Store(folder / "store", create=True)
    rows = [(k, i * DAY // 24, x) for k, listed in xs.items() for i, x in enumerate(listed)]
    for n in range(parts):
        k, t, x = zip(*rows[n::parts], strict=True)
        store.ingest("s", {"k": k, "t": t, "x": x}, key="k", time="t", unit="us", progress=False)
    return store


def plain(listed: list[float | None], step: Callable[..., Any], state: tuple[float, ...]) -> list[Any]:
    """What the scan means."""
    out = []
    for x in listed:
        if x is None:
            out.append(None)
            continue
        *now, result = step(*state, x)
        state = tuple(now)
        out.append(result)
    return out


def test_from_a_metric_file(tmp_path: Path) -> None:
    store = store_of(tmp_path, {"a": [10.0, 12.0, 9.0, None, 11.0, 6.0, 8.0], "b": [1.0]})
    (tmp_path / "falls.py").write_text(FILE)
    metric = load_metric(f"{tmp_path}/falls.py:metric")
    assert [row[1] for row in store.query(metric)] == [0.0, 0.0, 0.25, None, 0.25, 0.5, 0.5, 0.0]
    # The state is that of all rows before, whatever the range.
    assert [row[1] for row in store.query(metric, 4 * DAY // 24)] == [0.25, 0.5, 0.5]
    assert list(store.query(load_metric(f"{tmp_path}/falls.py:worst"))) == [("a", 0.5), ("b", 0.0)]
    # By its name in JSON; and by name in Python.
    assert '{"args":[{"col":"x"}],"fn":"scan","name":"drawdown"}' in metric.to_json()
    assert repr(metric) == 'df.stream("s").select(fall=df.scanned("drawdown", "x"))'
    assert list(store.query(df.from_json(metric.to_json()))) == list(store.query(metric))
    # Another version of the file is another kernel, also through a global.
    (tmp_path / "falls.py").write_text(FILE.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    worst = load_metric(f"{tmp_path}/falls.py:worst")
    assert list(store.query(worst)) == [("a", 1.0), ("b", 0.0)]


def test_any_split_gives_the_same_bits(tmp_path: Path) -> None:
    def smooth(level, x):  # type: ignore[no-untyped-def]
        level = level + 0.3 * (x - level)
        return level, level

    r = random.Random(3)
    xs: dict[str, list[float | None]] = {
        k: [None if r.random() < 0.2 else r.gauss(0, 1) for _ in range(60)] for k in "abc"
    }
    expected = {k: plain(listed, smooth, (1.0,)) for k, listed in xs.items()}
    use = df.scan("smooth", smooth, 1.0)
    for parts in (1, 3):
        folder = tmp_path / str(parts)
        folder.mkdir()
        store = store_of(folder, xs, parts)
        for first in (0, 13, 47):
            rows = list(store.query(df.stream("s").select(y=use("x")), first * DAY // 24, 60 * DAY, workers=2))
            assert {k: [row[1] for row in rows if row[0] == k] for k in xs} == {
                k: listed[first:] for k, listed in expected.items()
            }


def test_types_of_arguments_and_results(tmp_path: Path) -> None:
    def gaps(before, longest, at, ok):  # type: ignore[no-untyped-def]
        if before >= 0 and ok != 0:
            longest = max(longest, at - before)
        return at, longest, longest

    longest = df.scan(
        "longest_gap", gaps, init=(-1, 0), arguments=[df.Type.TIME, df.Type.BOOL], result=df.Type.DURATION
    )
    store = store_of(tmp_path, {"a": [1.0, 3.0, None, 2.0]})
    metric = df.stream("s").select(gap=longest(df.time(), df.col("x") > 0))
    assert [row[1] for row in store.query(metric)] == [0, DAY // 24, None, DAY // 12]
    with pytest.raises(df.DataflowError, match="the scan longest_gap takes time, bool, got float64"):
        store.query(df.stream("s").select(gap=longest("x", df.col("x") > 0)))
    # Integers become floats; what is no finite number is null.
    inverse = df.scan("inverse", lambda n, x: (n + 1, 1.0 / x), 0)
    assert [row[1] for row in store.query(df.stream("s").select(y=inverse(df.col("x") * 0)))] == [None] * 4
    assert [row[1] for row in store.query(df.stream("s").select(y=inverse(2)))] == [0.5] * 4


def test_wrong_declarations_and_uses() -> None:
    def step(a, x):  # type: ignore[no-untyped-def]
        return a, x

    for name, init, options, message in [
        ("no name", 0.0, {}, "its name must be an identifier"),
        ("s", (), {}, "init is its state before a key's first row, 1 to 64 numbers"),
        ("s", (True,), {}, "init has True; its numbers are floats, or integers of 64 bits"),
        ("s", (0.0, 0.0), {}, "it takes 1 to 64 values of each row"),
        ("s", 0.0, {"arguments": [df.Type.FLOAT] * 2}, "its step takes 2 numbers, and is given 3: 1 of its state"),
        ("s", 0.0, {"result": df.Type.STRING}, "its arguments and result may be bool, int64, float64, time, duration"),
    ]:
        with pytest.raises(RegistrationError, match=message):
            df.scan(name, step, init, **options)  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match=r"without defaults or \*args"):
        df.scan("s", lambda a, *x: (a, x), 0.0)
    with pytest.raises(df.DataflowError, match=r"there is no scan 'sss'; it must be registered first: df.scan\("):
        df.scanned("sss", "x")
    use = df.scan("s", step, 0.0)
    with pytest.raises(df.DataflowError, match="the scan s takes 1 values, got 2"):
        use("x", "y")
    text = df.stream("s").select(y=use("x")).to_json()
    with pytest.raises(JsonFormError, match="there is no scan 'q'"):
        df.from_json(text.replace('"name":"s"}', '"name":"q"}'))
    scans.register_scan(scans.find_scan("s"))  # type: ignore[arg-type]
    step.__module__ = "elsewhere"
    with pytest.raises(RegistrationError, match="the scan 's' is already registered by"):
        df.scan("s", step, 0.0)


def test_after_a_grouping_it_is_refused_and_published_queries_have_none(tmp_path: Path) -> None:
    store = store_of(tmp_path, {"a": [1.0]})
    use = df.scan("s", lambda a, x: (a + x, a + x), 0.0)
    with pytest.raises(df.DataflowError, match="scan needs the rows of a key in time order; use it before group_by"):
        store.query(df.stream("s").group_by("k").agg(x=df.max("x")).with_columns(y=use("x")))
    with pytest.raises(df.DataflowError, match="uses a scan, which is code of your own"):
        store.publish(df.stream("s").agg(y=df.max(use("x"))), "q")


def _loaded_elsewhere(path: str, url: str) -> list[tuple[object, ...]]:
    return list(Store(url).query(load_metric(f"{path}:worst")))


def test_a_process_that_loaded_the_file_runs_it(tmp_path: Path) -> None:
    store_of(tmp_path, {"a": [10.0, 5.0]})
    (tmp_path / "falls.py").write_text(FILE)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = pool.submit(_loaded_elsewhere, f"{tmp_path}/falls.py", f"{tmp_path}/store").result()
    assert found == [("a", 0.5)]
