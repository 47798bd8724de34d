"""The same rows, bit for bit, for every split of the work, every executor and every order of arrival."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import Result, Store
from runtime.query.plan import make_tasks

pytestmark = pytest.mark.usefixtures("plain_files")

N = 20_000
DAY = 86_400_000_000
START = 19_800 * DAY

P = df.stream("s")
METRICS = {
    "uptime": P.state_duration("status", hold="5m")
    .group_by("firmware", day=df.time().truncate("1d"))
    .agg(up=df.share_of_time(df.col("status") == "up"), unknown=df.unknown_time(), n=df.count_distinct("device")),
    "alive": P.heartbeat("2m").group_by("firmware").agg(up=df.duration(df.col("alive")), known=df.known_time()),
    "sessions": P.sessionize("3m", heat=df.sum("temp"), kinds=df.count_distinct("status"))
    .group_by("firmware")
    .agg(n=df.count(), heat=df.sum("heat"), longest=df.max("duration"), kinds=df.max("kinds")),
    "windows": P.window("1h", heat=df.mean("temp")).filter(df.col("heat") > 20).group_by("device").agg(n=df.count()),
    "plain": P.filter(df.col("temp") > 15)
    .group_by("firmware", "status")
    .agg(
        total=df.sum("temp"), mean=df.mean("temp"), first=df.first("temp"), last=df.last("status"),
        low=df.min("status"), any=df.any_true(df.col("temp") > 30), all=df.all_true(df.col("temp") > 30),
    ),
    "more": P.group_by("firmware").agg(
        spread=df.stddev("temp"), tenth=df.quantile("temp", 0.1), bins=df.histogram("temp", edges=[0.0, 20.0, 1e6]),
        top=df.top_k("status", 2), edges=df.transitions("status"), about=df.approx_distinct("temp"),
        grown=df.increase("temp"), rate=df.rate("temp"), candle=df.candlestick("temp"),
        cents=df.sum(df.col("temp").decimal(2, rounding="half_even"), where=df.col("temp").between(-1e9, 1e9)),
    ),
    "chosen": P.group_by("firmware").agg(
        hottest=df.max_by("device", by="temp"), coldest=df.min_by("temp", by="temp"), usual=df.mode("status"),
        some=df.collect("device", first=5), drift=df.slope("temp", df.time(), per="1d"), skew=df.skewness("temp"),
        tails=df.kurtosis("temp", ddof=0), both=df.correlation("temp", df.time()),
        line=df.integral("temp", between="linear"),
    ),
    "across": P.window(
        "6h", size="1d", by="firmware", n=df.count(), hot=df.max_by("device", by="temp"), temp=df.mean("temp")
    ),
    "filled": P.window("1h", fill="linear", heat=df.mean("temp")).group_by("start").agg(heat=df.sum("heat")),
    "weighed": P.group_by("firmware", day=df.time().truncate("1d")).agg(
        mean=df.time_weighted_mean("temp", "1h"), area=df.integral("temp", "1h")
    ),
    "failures": P.state_duration("status", hold="5m").group_by("firmware").agg(
        between=df.mtbf(df.col("status") == "up"), repair=df.mttr(df.col("status") == "up")
    ),
    "beside": P.group_by("device", hour=df.time().truncate("1h"))
    .agg(total=df.sum("temp"), n=df.count())
    .with_columns(
        running=df.sum("total").over("device", order="hour"),
        lately=df.mean("total").over("device", order="hour", rows=5),
        share=df.col("total").share(), place=df.col("n").rank(per="device"),
    )
    .top(3, by="running", per="device"),
    "rows": P.filter(df.col("temp") > 39).with_columns(before=df.col("temp").previous()),
}  # fmt: skip


def points() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    device = np.array([f"d{i:03d}" for i in rng.integers(0, 40, N)])
    # Times are distinct, so that arrival decides nothing.
    time = START + rng.permutation(N) * 13_000_000 + rng.integers(0, 12_000_000, N)
    temp = rng.normal(20, 8, N) * 10.0 ** rng.integers(-8, 8, N)
    status = np.array(["up", "up", "up", "degraded", "down"])[rng.integers(0, 5, N)]
    firmware = np.array([f"1.{int(d[1:]) % 3}" for d in device])
    return {"device": device, "ts": time, "temp": temp, "status": status, "firmware": firmware}


def part(of: dict[str, Any], index: Any) -> dict[str, Any]:
    return {name: values[index] for name, values in of.items()}


def new_store(folder: Path, pieces: list[dict[str, Any]]) -> Store:
    store = Store(folder, create=True)
    store.ingest("s", *pieces, key="device", time="ts", unit="us", duplicates="exact")
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return new_store(tmp_path_factory.mktemp("one"), [points()])


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a few hundred rows, so that there are many."""
    monkeypatch.setattr(make_tasks, "_SMALL", 500)


def bits(result: Result) -> str:
    assert result.proof.to_dict()["complete"] is True
    return str(result.proof.to_dict()["result"])


def answers(store: Store, **options: Any) -> dict[str, str]:
    return {name: bits(store.query(metric, **options)) for name, metric in METRICS.items()}


@pytest.fixture(scope="module")
def expected(store: Store) -> dict[str, str]:
    return answers(store, workers=1)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_workers(store: Store, expected: dict[str, str], workers: int) -> None:
    result = store.query(METRICS["uptime"], workers=workers)
    assert (result.proof.to_dict()["tasks"] == 1) is (workers == 1)
    assert answers(store, workers=workers) == expected


@pytest.fixture
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes(store: Store, expected: dict[str, str], processes: Executor) -> None:
    assert answers(store, executor=processes, workers=2) == expected


@pytest.mark.filterwarnings("ignore")
def test_dask(store: Store, expected: dict[str, str]) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        assert answers(store, executor=executor, workers=2) == expected


@pytest.mark.parametrize("shuffled", [False, True])
def test_fifty_files(tmp_path: Path, expected: dict[str, str], shuffled: bool) -> None:
    whole = points()
    order = np.random.default_rng(3).permutation(N) if shuffled else np.argsort(whole["ts"])
    pieces = [part(whole, index) for index in np.array_split(order, 50)]
    many = new_store(tmp_path, pieces)
    assert len(many.files("s")) >= 50
    assert answers(many, workers=2) == expected


def test_the_same_sources_again(tmp_path: Path, expected: dict[str, str]) -> None:
    whole = points()
    again = new_store(tmp_path, [part(whole, slice(0, N // 2)), part(whole, slice(N // 2, N))])
    files = len(again.files("s"))
    again.ingest("s", part(whole, slice(0, N // 2)), key="device", time="ts", unit="us", duplicates="exact")
    assert len(again.files("s")) == files
    # Another cut is another source; its points are repeats, and count once.
    again.ingest("s", part(whole, slice(N // 4, N // 2)), key="device", time="ts", unit="us", duplicates="exact")
    assert len(again.files("s")) > files
    assert answers(again, workers=2) == expected
