"""Cached states of published queries: damaged, swapped, and forged with right checksums.

Damaged and swapped ones must not change a result. A forged one is accepted if it is well-formed (see
``runtime.published.state_cache``), but may lead only to a result or an error: no signal, no index out of bounds (large
runs check bounds), no unhandled exception, no hang.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.query.task import state_bytes
from tests.campaigns import Report, damage
from tests.campaigns.apart import Hangs, at_most, run_apart

SECONDS = 60

P = df.stream("s")
UP = df.col("state") == "up"

METRICS = {
    "groups": P.group_by("state").agg(m=df.mean("v"), n=df.count(), d=df.count_distinct("k"), s=df.stddev("v")),
    "groups over 4": P.filter(df.col("v") > 4).group_by("state").agg(m=df.mean("v"), n=df.count()),
    "groups over 5": P.filter(df.col("v") > 5).group_by("state").agg(m=df.mean("v"), n=df.count()),
    "tallies": P.agg(t=df.top_k("state", 2), h=df.histogram("v", width=0.5), q=df.median("v")),
    "dated tallies": P.agg(m=df.mode("state"), c=df.collect("state", first=3), k=df.kurtosis("v")),
    "across": P.window("1d", size="2d", by="state", n=df.count(), m=df.mean("v")),
    "rows": P.filter(df.col("v") > 9),
    "states": P.state_duration("state", hold="5h").group_by("state").agg(t=df.known_time()),
    "sessions": P.sessionize("3h", m=df.mean("v"), n=df.count()).agg(n=df.count(), m=df.max("m")),
    "windows": P.window("1d", size="3d").group_by("k").agg(n=df.count(), m=df.max("count")),
}
"""Several kinds of kept state; two that differ in a constant alone."""


KINDS = ("damaged", "misplaced", "forged", "forged")


def run(budget: int, seed: int) -> Report:
    """Try ``budget`` damages, misplacements and forgeries."""
    return run_apart(__name__, budget, seed)


def attack(report: Report, budget: int, seed: int) -> None:
    """See ``run``; in this process."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="antfold-states-") as name:
        folder = Path(name) / "store"
        with Store(folder, create=True) as store:
            right = _make(store)
            kept = sorted(p for p in (folder / "cache").rglob("*") if p.is_file())
            whole = {p: p.read_bytes() for p in kept}
            queries = {p: q for q, p in ((q, p) for q in right for p in kept if _is_of(store, q, p, folder))}
            for _ in range(budget):
                path = rng.choice(kept)
                query = queries[path]
                kind = rng.choice(KINDS)
                what = {"damaged": _damage, "misplaced": _misplace, "forged": _forge}[kind](path, whole, rng, folder)
                report.count(kind)
                # The only one of its query, so that it is the one that is read.
                for other in whole:
                    if other != path and queries[other] == query:
                        other.unlink()
                _ask(report, store, query, right[query], kind, f"{query}: {kind} ({what})")
                shutil.rmtree(folder / "cache")
                for p, content in whole.items():
                    p.parent.mkdir(parents=True, exist_ok=True)
                    p.write_bytes(content)


def _ask(report: Report, store: Store, query: str, right: Any, kind: str, what: str) -> None:
    try:
        with at_most(SECONDS):
            found = store.query(query, progress=False)
    except DataflowError as error:
        if kind != "forged":
            report.failures.append(f"{what}: {type(error).__name__}: {error}")
    except (Hangs, Exception) as error:
        report.failures.append(f"{what}: {type(error).__name__}: {error}")
    else:
        if found.to_dict()["rows"] == right:
            return
        if kind == "forged":
            report.count("forged and believed", 0)
            report.tried["forged and believed"] += 1
        else:
            report.failures.append(f"{what}: {right} is right, {found.to_dict()['rows']} came")


def _make(store: Store) -> dict[str, Any]:
    n = 3_000
    rng = random.Random(0)
    points = {
        "k": [f"k{i % 5}" for i in range(n)],
        "t": [i * 350 for i in range(n)],
        "v": [round(rng.uniform(0, 10), 2) for _ in range(n)],
        "state": [rng.choice(["up", "down", "off"]) for _ in range(n)],
    }
    day = 86_400
    for at in range(0, n, n // 6):
        part = {name: values[at : at + n // 6] for name, values in points.items()}
        store.ingest("s", part, key="k", time="t", unit="s", progress=False)
    assert points["t"][-1] > 10 * day
    right = {}
    for name, metric in METRICS.items():
        query = name.replace(" ", "-")
        store.publish(metric, query)
        right[query] = store.query(query, progress=False, cache=False).to_dict()["rows"]
        for _ in range(2):
            assert store.query(query, progress=False).to_dict()["rows"] == right[query]
    return right


def _is_of(store: Store, query: str, path: Path, folder: Path) -> bool:
    return path.relative_to(folder).parts[1] == store.published(query).digest[:40]


def _damage(path: Path, whole: dict[Path, bytes], rng: random.Random, folder: Path) -> str:
    kind = rng.choice(damage.CONTENT)
    kind(path, rng)
    return kind.__name__


def _misplace(path: Path, whole: dict[Path, bytes], rng: random.Random, folder: Path) -> str:
    """Another kept state in its place: of the same files for another query if there is one, else any."""
    same = [p for p in whole if p.name == path.name and p != path]
    other = rng.choice(same if same and rng.random() < 0.7 else [p for p in whole if p != path])
    path.write_bytes(whole[other])
    return f"{other.parent.name}/{other.name}"


def _forge(path: Path, whole: dict[Path, bytes], rng: random.Random, folder: Path) -> str:
    """The same state with other content, and checksums that are right."""
    data = zstandard.ZstdDecompressor().decompress(whole[path])
    head, _, state = data.partition(b"\n")
    said, forged = _forged(state, rng)
    path.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(head + b"\n" + forged))
    return said


def _forged(state: bytes, rng: random.Random) -> tuple[str, bytes]:
    magic = state[:8]
    head, arrays = state_bytes.unsealed(magic, state, "it")
    nested = [name for name in arrays if magic == b"ANTKEPT1"]
    if nested:
        name = rng.choice(nested)
        said, inner = _forged(arrays[name].tobytes(), rng)
        arrays[name] = np.frombuffer(inner, np.uint8)
    elif rng.random() < 0.15 or not arrays:
        said = _change_head(head, rng)
    else:
        said = change_array(arrays, rng)
    return said, state_bytes.sealed(magic, head, arrays)


def _change_head(head: dict[str, Any], rng: random.Random) -> str:
    name = rng.choice(sorted(head))
    value = rng.choice([None, -1, 0, 2**70, "x", [], {}, [["x"]], {"rows": {}}, True])
    if rng.random() < 0.5 and isinstance(head[name], list) and head[name]:
        head[name] = rng.choice([head[name][:-1], head[name] * 2, [*head[name], "more"], head[name][::-1]])
        return f"{name} in the head is {head[name]!r:.80}"
    head[name] = value
    return f"{name} in the head is {value!r}"


EXTREMES = (-1, 0, 1, 7, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1, -(2**40))


def change_array(arrays: dict[str, NDArray[Any]], rng: random.Random) -> str:
    """Change one of the arrays: some values, its length, its type, its shape, or whether it is there."""
    name = rng.choice(sorted(arrays))
    a = arrays[name].copy()
    kind = rng.choice(["values", "values", "values", "values", "length", "type", "shape", "gone", "other"])
    if kind == "values" and a.size:
        flat = a.reshape(-1)
        for _ in range(rng.choice([1, 1, 3, 50])):
            at = rng.randrange(len(flat))
            if a.dtype.kind == "f":
                flat[at] = rng.choice([np.nan, np.inf, -np.inf, 1e308, -0.0, 5e-324, 1.5])
            else:
                limits = np.iinfo(a.dtype)
                near = int(flat[at]) + rng.choice([-1, 1])
                value = rng.choice([*EXTREMES, near, near, near])
                flat[at] = min(max(value, limits.min), limits.max)
    elif kind == "length":
        a = np.concatenate([a, a]) if rng.random() < 0.5 else a[: rng.randrange(len(a) + 1)]
    elif kind == "type":
        a = a.astype(rng.choice([np.int64, np.float64, np.uint8, np.int32]))
    elif kind == "shape":
        a = rng.choice([a.reshape(-1), a.reshape(1, -1), a.reshape(-1, 1)])
    elif kind == "other":
        a = arrays[rng.choice(sorted(arrays))].copy()
    arrays[name] = a
    if kind == "gone":
        del arrays[name]
    return f"{kind} of {name}"
