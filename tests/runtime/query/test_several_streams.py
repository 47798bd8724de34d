"""Metrics over several streams: the same bits for every split, kept states, floors, proof and drill-down."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.types import Type
from runtime import Result, Store
from runtime.errors import QueryError
from runtime.fleet import Fleet, Reply, Rules
from runtime.fleet.worker import answer
from runtime.query.plan import make_tasks
from runtime.query.scan import merge_rows, merged_streams
from runtime.result.proof import Proof
from tests.runtime.query.carry.carry_stores import snapshots_pay

pytestmark = pytest.mark.usefixtures("plain_files")

N = 3_000
DAY = 86_400_000_000
START = 19_800 * DAY
DAYS = 5

T, Q = df.stream("trades"), df.stream("quotes")
METRICS = {
    "price": T.join_asof(Q.select("bid", "mode"), tolerance="1h")
    .group_by("sym", "mode")
    .agg(worth=df.sum(df.col("qty") * df.col("bid")), none=df.count(where=df.col("bid").is_null())),
    "rows": T.filter(df.col("qty") > 0.9).join_asof(Q.filter(df.col("bid") > 0.5)),
    "union": df.union(T.with_columns(of=df.lit("t")), Q.held("mode").with_columns(of=df.col("mode")))
    .group_by("of")
    .agg(rows=df.count(), qty=df.sum("qty"), bid=df.quantile("bid", 0.5)),
    "states": df.union(T, Q).state_duration("mode", hold="3h").group_by("mode").agg(time=df.duration()),
    "both": (T.state_duration(df.col("qty") > 0.5, hold="2h") & Q.heartbeat("20m"))
    .group_by("sym")
    .agg(time=df.duration(df.col("state")), known=df.known_time()),
}


def columns(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    time = np.sort(START + rng.integers(0, DAYS * DAY // 1_000_000, N) * 1_000_000)
    out: dict[str, Any] = {"sym": np.array([f"k{i}" for i in rng.integers(0, 9, N)]), "t": time}
    if seed == 1:
        return {**out, "qty": rng.random(N)}
    return {**out, "bid": rng.random(N), "mode": np.array(["auto", "manual"])[rng.integers(0, 2, N)]}


TRADES, QUOTES = columns(1), columns(2)


def part(of: dict[str, Any], index: Any) -> dict[str, Any]:
    return {name: values[index] for name, values in of.items()}


def of_days(of: dict[str, Any], first: int, end: int) -> dict[str, Any]:
    return part(of, (of["t"] >= START + first * DAY) & (of["t"] < START + end * DAY))


def ingest(store: Store, stream: str, *pieces: dict[str, Any], compact: bool = True) -> None:
    store.ingest(stream, *pieces, key="sym", time="t", unit="us", progress=False, compact=compact)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("one"), create=True)
    ingest(store, "trades", TRADES)
    ingest(store, "quotes", QUOTES)
    return store


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_tasks, "_SMALL", 100)
    monkeypatch.setattr(make_tasks, "_FILE", 10)


def proof_of(result: Result) -> Proof:
    assert isinstance(result.proof, Proof)
    assert result.proof.complete
    return result.proof


def bits(store: Store, **options: Any) -> dict[str, str]:
    return {name: proof_of(store.query(m, progress=False, **options)).result for name, m in METRICS.items()}


@pytest.fixture(scope="module")
def expected(store: Store) -> dict[str, str]:
    return bits(store, workers=1)


def test_workers(store: Store, expected: dict[str, str]) -> None:
    assert proof_of(store.query(METRICS["price"], workers=4, progress=False)).tasks == 4
    assert bits(store, workers=4) == expected


def test_executors(store: Store, expected: dict[str, str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert bits(store, executor=pool, workers=2) == expected


def test_a_fleet(store: Store, expected: dict[str, str]) -> None:
    fleet = Fleet(lambda payload: Reply(200, json.dumps(answer(json.loads(payload))).encode()), Rules())
    assert bits(store, executor=fleet, workers=2) == expected


@pytest.mark.parametrize("compact", [False, True])
def test_any_files(tmp_path: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, compact: bool) -> None:
    """Times of one key are distinct in these metrics' answers, so the order of arrival decides nothing but ties."""
    many = Store(tmp_path, create=True)
    for stream, of in (("trades", TRADES), ("quotes", QUOTES)):
        ingest(many, stream, *(part(of, i) for i in np.array_split(np.arange(N), 13)), compact=compact)
    assert bits(many, workers=2) == expected
    # Rows are merged some days at a time.
    for module in (merge_rows, merged_streams):
        monkeypatch.setattr(module, "FEWEST", 500)
    monkeypatch.setattr(merge_rows, "MOST", 500)
    assert bits(many, workers=2) == expected


def test_a_file_of_many_days_in_parts(store: Store, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_rows, "FEWEST", 500)
    monkeypatch.setattr(merge_rows, "MOST", 500)
    assert bits(store, workers=2) == expected


@pytest.mark.parametrize("name", METRICS)
def test_ranges_add_up(store: Store, name: str) -> None:
    """A range that begins in the middle sees what each stream carries in."""
    middle = START + 2 * DAY + DAY // 3
    rows = METRICS["rows"]
    if name == "rows":
        whole = store.query(rows, progress=False)
        halves = [store.query(rows, until=middle, progress=False), store.query(rows, since=middle, progress=False)]
        found = sorted(row for half in halves for row in half)
        assert found == sorted(whole)
    elif name == "both":
        spans: list[dict[str, Any]] = [{}, {"until": middle}, {"since": middle}]
        whole, *parts = [store.query(METRICS[name], progress=False, **span)["time"] for span in spans]
        assert whole == [sum(times) for times in zip(*parts, strict=True)]


def test_kept_states(tmp_path: Path) -> None:
    """A run by name reads what is new, in whichever stream, and gives the bits of a full run."""
    store = Store(tmp_path, create=True)
    for day in range(3):
        ingest(store, "trades", of_days(TRADES, day, day + 1), compact=False)
        ingest(store, "quotes", of_days(QUOTES, day, day + 1), compact=False)
    for name, metric in METRICS.items():
        store.publish(metric, name)

    def ask(name: str) -> int:
        found, whole = store.query(name, progress=False), store.query(METRICS[name], progress=False)
        assert proof_of(found).result == proof_of(whole).result
        return proof_of(found).files_cached

    def cached() -> dict[str, int]:
        return {name: ask(name) for name in METRICS}

    assert set(cached().values()) == {0}
    assert min(cached().values()) >= 5  # a checkpoint is not taken after a group that the end of the range cuts
    ingest(store, "quotes", of_days(QUOTES, 3, 4), compact=False)
    assert min(cached().values()) >= 5
    # A late quote: what came after it is read again.
    ingest(store, "quotes", {"sym": ["k1"], "t": [START + DAY + 1], "bid": [0.7], "mode": ["auto"]}, compact=False)
    late = cached()
    assert all(late[name] < 6 for name in ("price", "rows", "states", "both"))
    store.erase("quotes", "k1")
    assert set(cached().values()) == {0}


def test_the_proof_tells_streams_apart(store: Store) -> None:
    proof = proof_of(store.query(METRICS["price"], progress=False))
    assert proof.stream == "trades, quotes"
    assert [(s.stream, s.rows_catalogued, s.rows_scanned) for s in proof.streams] == [
        ("trades", N, N), ("quotes", N, N),
    ]  # fmt: skip
    ends = [int(of["t"].max()) for of in (TRADES, QUOTES)]
    assert [s.last_time for s in proof.streams] == ends
    assert proof.to_dict()["watermark"] == min(ends)
    assert proof_of(store.query(T.agg(n=df.count()), progress=False)).streams == ()


def test_only_the_other_rows_are_read_before_the_range(store: Store) -> None:
    text = store.explain(METRICS["price"], since=START + DAY)
    assert "stream trades at commit 1, key sym\nstream quotes at commit 1, key sym\n" in text
    assert "history before the range: none of trades, 3600 s of quotes" in text
    assert "columns of quotes: sym, t, bid, mode\ncolumns of trades: sym, t, qty\n" in text


def test_drill_down(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, "trades", {"sym": ["a", "b"], "t": [START + 9, START + 9], "qty": [1.0, 2.0]})
    ingest(store, "quotes", {"sym": ["a", "b"], "t": [START, START], "bid": [10.0, 20.0], "mode": ["x", "y"]})
    result = store.query(T.join_asof(Q).group_by("mode").agg(worth=df.sum(df.col("qty") * df.col("bid"))))
    found = result.explain({"mode": "y"})
    assert (found.total, found.keys) == (1, 1)
    assert found.rows["bid"] == [20.0]
    assert {path.split("/")[1] for path in found.files} == {"trades", "quotes"}
    union = store.query(df.union(T, Q).group_by("sym").agg(n=df.count()))
    assert union.explain({"sym": "a"}).total == 2
    both = store.query((T.heartbeat("1h") & Q.heartbeat("1h")).group_by("state").agg(time=df.duration()))
    assert both.explain(0).keys == 2


def test_floors_are_of_each_stream(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, "trades", TRADES)
    ingest(store, "quotes", QUOTES)
    before = {name: store.query(METRICS[name], since=START + 3 * DAY, progress=False) for name in ("price", "rows")}
    store.retain("quotes", before="2024-03-20")  # START is 2024-03-18
    near = store.query(METRICS["price"], since=START + 3 * DAY, progress=False)
    assert proof_of(near).result == proof_of(before["price"]).result
    with pytest.raises(QueryError, match="the points of quotes before 2024-03-20 are retired"):
        store.query(METRICS["price"], since=START + DAY, progress=False)
    with pytest.raises(QueryError, match="the points of quotes before 2024-03-20 are retired, and this metric looks"):
        store.query(METRICS["rows"], since=START + 3 * DAY, progress=False)
    taken = store.query(METRICS["rows"], since=START + 3 * DAY, below_floor=True, progress=False)
    assert any("points of quotes before 2024-03-20 are retired" in note for note in taken.notes)


LAST = START + (DAYS - 1) * DAY
JOINED = {
    "as it is": T.join_asof(Q.select("bid", "mode")),
    "reports": T.join_asof(Q.held("bid", "mode").with_columns(at=df.time())),
    "known": T.join_asof(Q.filter(df.col("bid").is_not_null()).select("bid")),
    "some": T.join_asof(Q.filter(df.col("bid") > 0.5)),
    "before": T.join_asof(Q.select(was=df.col("bid").previous())),
    "looks back": T.join_asof(Q.select("bid")).with_columns(old=df.col("bid").previous()),
}


@pytest.mark.parametrize(
    ("name", "suffices", "if_null"),
    [
        ("as it is", True, False), ("reports", True, True), ("known", True, True), ("some", False, False),
        ("before", False, False), ("looks back", False, False),
    ],
)  # fmt: skip
def test_a_snapshot_of_the_last_quotes(tmp_path: Path, name: str, suffices: bool, if_null: bool) -> None:
    """A snapshot merges rows of one time, so where a row's nulls matter there must be none."""
    store = Store(tmp_path, create=True)
    ingest(store, "trades", *(of_days(TRADES, day, day + 1) for day in range(DAYS)), compact=False)
    ingest(store, "quotes", *(of_days(QUOTES, day, day + 1) for day in range(DAYS)), compact=False)
    for allowed in (suffices, if_null):
        whole = store.query(JOINED[name], since=LAST, progress=False)
        with snapshots_pay():
            found = store.query(JOINED[name], since=LAST, progress=False)
        assert proof_of(found).result == proof_of(whole).result
        said = proof_of(found).carried
        assert (said is not None) is allowed
        assert said is None or "of quotes, " in said
        # Two quotes at one time, of which the later says nothing, for the second round.
        time = START + 2 * DAY
        none = {"sym": ["k1", "k1"], "t": [time, time], "bid": [0.9, None], "mode": ["auto", None]}
        ingest(store, "quotes", none, compact=False)


def test_last_quotes_from_before_the_floor(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, "trades", TRADES)
    ingest(store, "quotes", QUOTES)
    since = START + 3 * DAY
    before = store.query(JOINED["reports"], since=since, progress=False)
    store.retain("quotes", before="2024-03-20")
    after = store.query(JOINED["reports"], since=since, progress=False)
    assert proof_of(after).result == proof_of(before).result
    assert after.notes == [
        "points of quotes before 2024-03-20 are retired; each key's last values from before it are known"
    ]
    with pytest.raises(QueryError, match="each key's last values, which are kept, are not enough"):
        store.query(JOINED["as it is"], since=since, progress=False)


@pytest.mark.parametrize("together", [1 << 20, 100])
def test_each_stream_keeps_its_own_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """An id counts once per key and UTC day in its own stream, also where rows are merged some days at a time."""
    monkeypatch.setattr(merge_rows, "FEWEST", together)
    monkeypatch.setattr(merge_rows, "MOST", together)
    store = Store(tmp_path, create=True)
    ingest(store, "trades", TRADES)
    events = {**part(QUOTES, np.arange(N)), "event": np.arange(N) % 700}
    order = np.random.default_rng(5).permutation(N)
    for index in np.array_split(order, 3):
        store.ingest("quotes", part(events, index), key="sym", time="t", unit="us", id="event", progress=False)
    days = (events["t"] - START) // DAY
    distinct = len(set(zip(events["sym"].tolist(), days.tolist(), events["event"].tolist(), strict=True)))
    union = df.union(T, Q)
    for metric in (
        union.with_columns(seen=df.col("bid").last()).agg(n=df.count(), last=df.last("seen")),
        union.agg(n=df.count()),
    ):
        result = store.query(metric, workers=2, progress=False)
        assert result["n"] == [N + distinct]
        assert proof_of(result).duplicates == N - distinct


def test_streams_that_are_not_there(store: Store) -> None:
    with pytest.raises(QueryError, match=r"step 2 \(join_asof\): there is no stream 'quotez' in this store; did you"):
        store.query(T.join_asof(df.stream("quotez")), progress=False)
    with pytest.raises(QueryError, match=r"step 1 \(union\): there is no stream 'tradez'"):
        store.query(df.union(T, df.stream("tradez")), progress=False)


def test_an_overflow_names_the_row(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, "a", {"sym": ["x", "y"], "t": [START, START + 1_000_000], "n": [1, 2**62]})
    ingest(store, "b", {"sym": ["y"], "t": [START], "m": [4]})
    metric = df.stream("a").join_asof(df.stream("b")).with_columns(big=df.col("n") * df.col("m"))
    with pytest.raises(df.DataflowError, match=r"n \* m for key 'y' at 2024-03-18T00:00:01"):
        store.query(metric, progress=False)


def test_a_column_without_values_has_a_type_in_each_stream(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, "a", {"sym": ["x"], "t": [START], "n": [1]})
    store.ingest("b", {"sym": ["x"], "t": [START], "m": [None]}, key="sym", time="t", unit="us", progress=False)
    found = store.query(df.union(df.stream("a"), df.stream("b")).agg(n=df.sum("n"), m=df.max("m")), progress=False)
    assert (found["n"], found["m"], found.columns["m"].type) == ([1], [None], Type.FLOAT)
