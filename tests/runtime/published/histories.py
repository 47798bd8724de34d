"""Random histories of a store: late, repeated and widened points, with queries in between.

Every result by name must equal the metric's own, bit for bit, whatever earlier runs cached.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.catalogue import FileEntry
from runtime.pointfile import PointFile

DAY = 86_400_000_000
HOUR = DAY // 24
START = 19_800 * DAY

P = df.stream("s")
UP = df.col("status") == "up"
METRICS: dict[str, df.Stream] = {
    "uptime": P.state_duration("status", hold="5m").group_by("firmware").agg(
        up=df.share_of_time(UP), unknown=df.unknown_time(), n=df.count_distinct("device")
    ),
    "london": P.state_duration("status").group_by("status", day=df.time().truncate("1d", "Europe/London")).agg(
        held=df.duration(), devices=df.count_distinct("device")
    ),
    "alive": P.heartbeat("3h").group_by("firmware").agg(up=df.duration(df.col("alive")), known=df.known_time()),
    "sessions": P.sessionize("2h", heat=df.sum("temp"), kinds=df.count_distinct("status"))
    .group_by("firmware").agg(n=df.count(), heat=df.sum("heat"), longest=df.max("duration"), kinds=df.max("kinds")),
    "windows": P.window("1d", zone="Europe/London", heat=df.mean("temp"), last=df.last("status"))
    .group_by("device").agg(n=df.count(), hottest=df.max("heat"), last=df.last("last")),
    "changes": P.with_columns(before=df.col("status").previous(), temp=df.col("temp").fill_null(0.0))
    .filter(df.col("before") != df.col("status")).group_by("before", "status").agg(n=df.count(), t=df.sum("temp")),
    "rows": P.filter(df.col("temp") > 30).with_columns(before=df.col("temp").previous()),
    "hot": P.filter(df.col("temp") > df.param("above", 20.0)).group_by("firmware").agg(
        n=df.count(), total=df.sum("temp"), tenth=df.quantile("temp", 0.1), who=df.count_distinct("device")
    ),
    "ends": P.group_by("status", day=df.time().truncate("1d")).agg(
        first=df.first("temp"), last=df.last("temp"), top=df.top_k("firmware", 2)
    ),
    "usual": P.group_by("firmware").agg(usual=df.mode("status"), drift=df.slope("temp", df.time()), n=df.count()),
    "across": P.window("6h", size="1d", by="firmware", hot=df.max("temp"), usual=df.mode("status")),
    "per_device": P.group_by("device").agg(n=df.count(), mean=df.mean("temp"), grown=df.increase("temp")),
    "points": P.filter(df.col("temp") > 35),
    "balances": P.window("1d", zone="Europe/London", empty=True, heat=df.sum("temp")).with_columns(
        total=df.col("heat").cumulative_sum(), was=df.col("count").previous()
    ).select("total", "was", "partial"),
    "visits": P.sessionize("2h").with_columns(new=df.col("count").changed(), last=df.col("count").last("1d")),
    "trailing": P.window("6h", size="1d").group_by("start").agg(n=df.count(), cut=df.any_true("partial")),
    "hidden": P.filter(UP).group_by(fw=df.col("firmware").last()).agg(n=df.count()),
    "few": P.filter(df.col("temp") > 10).group_by("firmware").agg(t=df.max("temp")),
    "funnel": P.funnel([UP, df.col("status") == "down"], within="1d").group_by("steps").agg(n=df.count()),
}  # fmt: skip

BY_DAY, BY_PREFIX = ["hot", "ends", "points"], ["uptime", "sessions", "windows", "changes", "per_device", "funnel"]
"""Metrics whose states are kept by day, and those whose states are kept by prefixes of their files."""
PARAMS: dict[str, list[dict[str, Any]]] = {"hot": [{}, {"above": 25.0}, {"above": 10}]}
POLICIES = [("keep", None), ("exact", None), ("latest", None), ("keep", "event"), ("latest", "event")]


def day(number: int, begin: int = 0, end: int = 24, salt: int = 0) -> dict[str, list[Any]]:
    """Points of some hours of a day, of six devices."""
    times = [START + number * DAY + hour * HOUR + 7 * salt for hour in range(begin, end)]
    n = len(times)
    return {
        "device": [f"d{(i * 5 + number) % 6}" for i in range(n)],
        "ts": times,
        "temp": [float((i * 7 + number * 3 + salt) % 40) for i in range(n)],
        "status": [["up", "down", "up"][(i + number) % 3] for i in range(n)],
        "firmware": [["1.0", "2.0"][i % 2] for i in range(n)],
        "event": list(range(n)),
    }


def ingest(store: Store, *batches: dict[str, list[Any]], duplicates: str = "keep") -> None:
    """Each batch as a source of its own."""
    for batch in batches:
        store.ingest("s", batch, key="device", time="ts", unit="us", duplicates=duplicates, progress=False)


def points(rng: random.Random, number: int) -> dict[str, list[Any]]:
    """A few points of some hours or days, anywhere in ten days, most of them on the latest."""
    late = rng.random() < 0.3
    day = rng.randrange(10) if late else min(9, number // 2)
    begin = START + day * DAY + rng.randrange(24) * HOUR
    span = rng.choice([HOUR, 6 * HOUR, DAY, 2 * DAY])
    n = rng.randrange(1, 25)
    times = sorted(begin + rng.randrange(span // HOUR * 4) * HOUR // 4 for _ in range(n))
    whole = number < 3
    out: dict[str, list[Any]] = {
        "device": [f"d{rng.randrange(6)}" for _ in range(n)],
        "ts": times,
        # Whole at first: the column becomes wider later.
        "temp": [rng.randrange(40) if whole else rng.choice([rng.randrange(40), rng.random() * 40]) for _ in range(n)],
        "status": [rng.choice(["up", "up", "down", f"s{rng.randrange(4)}"]) for _ in range(n)],
        "firmware": ["1.0", *(rng.choice(["1.0", "2.0", None]) for _ in range(n - 1))],
        "event": [rng.randrange(60) for _ in range(n)],
    }
    if number > 4 and rng.random() < 0.5:
        out[f"extra{rng.randrange(2)}"] = [rng.choice([None, 1, 2]) for _ in range(n)]
    return out


def bounds(rng: random.Random) -> tuple[int | None, int | None]:
    """A range: often all, sometimes one that cuts days."""
    since = rng.choice([None, None, START - DAY, START + 2 * DAY, START + 3 * DAY + 5 * HOUR])
    cut = START + rng.randrange(1, 7) * DAY + 13 * HOUR
    until = rng.choice([None, None, START + 40 * DAY, START + 4 * DAY, cut, cut])
    return since, until


def outcome(ask: Callable[[], Any]) -> tuple[Any, ...]:
    """What must be equal of two runs: the result's digest and what the proof counts; or the error."""
    try:
        proof = ask().proof
    except DataflowError as error:
        return ("error", type(error).__name__)
    assert proof.complete
    return (
        proof.result, proof.files_planned, proof.files_merged, proof.files_hash_merged, proof.rows_scanned,
        proof.duplicates, proof.kernels, proof.since, proof.until, proof.notes,
    )  # fmt: skip


def run_history(folder: Path, seed: int, names: list[str], policy: int | None = None, steps: int = 14) -> int:
    """One history; AssertionError where an answer by name is another. How many files were not read, over all."""
    rng = random.Random(seed)
    duplicates, id = POLICIES[rng.randrange(len(POLICIES)) if policy is None else policy]
    store = Store(folder, create=True)
    saved = 0
    for number in range(steps):
        store.ingest(
            "s", points(rng, number), key="device", time="ts", unit="us", duplicates=duplicates, id=id, progress=False
        )
        if number == 0:
            for name in names:
                store.publish(METRICS[name], name)
        if rng.random() < 0.1:
            store.publish(METRICS[names[0]], names[0], f"{number}")
        for name in rng.sample(names, min(3, len(names))):
            since, until = bounds(rng)
            params = rng.choice(PARAMS.get(name, [{}]))
            workers = rng.choice([1, 1, 2, 3])

            def by_name(name: str = name, w: int = workers, r: Any = (since, until), p: Any = params) -> Any:
                return store.query(name, *r, p, workers=w, progress=False)

            def plain(name: str = name, r: Any = (since, until), p: Any = params) -> Any:
                return store.query(METRICS[name], *r, p, workers=1, progress=False)

            found, expected = outcome(by_name), outcome(plain)
            assert found == expected, (
                f"seed {seed}, step {number}, {name} over {since} to {until}, {params}, {duplicates} {id}"
            )
            if found[0] != "error":
                saved += by_name().proof.files_cached
    store.close()
    return saved


class Opened:
    """The paths of the point files that a store has opened since it was last asked."""

    def __init__(self, store: Store, monkeypatch: Any) -> None:
        self.paths: list[str] = []
        self._store = store
        inner = type(store.opened)._opened

        def spy(opened: Any, entry: FileEntry) -> PointFile:
            self.paths.append(entry.path)
            return inner(opened, entry)

        monkeypatch.setattr(type(store.opened), "_opened", spy)

    def by(self, ask: Callable[[], Any]) -> tuple[Any, list[str]]:
        """What ``ask`` gives, with no file open before it, and the files that it opened."""
        self._store.close()
        self.paths.clear()
        return ask(), sorted(self.paths)
