"""Names, versions and parameters; a query read is the query published."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.compiler import cache, prebuild
from operators.compiler.targets import TARGETS, worker
from runtime import Store
from runtime.errors import FormatError, QueryError, StoreError
from runtime.objects import FolderObjects
from runtime.published import definition, versions
from runtime.published.publishing import renew
from runtime.query.kernel_store import KernelRef, listed

P = df.stream("s")
HOT = P.filter(df.col("temp") > df.param("above", 20.0)).group_by("status").agg(n=df.count())
NEEDS = P.filter(df.col("temp") > df.param("above")).group_by("status").agg(n=df.count())
KERNEL = KernelRef("step", "ab" * 32, "x86_64", f"kernels/x86_64/step-{'ab' * 20}/{'cd' * 32}.so", 9, "cd" * 32)


class Key:
    """A signer with a key of its own."""

    def __init__(self, key: str) -> None:
        self.key = key

    def sign(self, data: bytes) -> str:
        return hmac.new(self.key.encode(), data, hashlib.sha256).hexdigest()

    def verify(self, data: bytes, mac: str) -> bool:
        return hmac.compare_digest(self.sign(data), mac)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    points = {
        "device": ["a", "b", "a", "b"],
        "ts": [1, 2, 3, 4],
        "temp": [10.0, 21.0, 26.0, 40.0],
        "status": ["up", "up", "down", "down"],
    }
    store.ingest("s", points, key="device", time="ts", unit="s", progress=False)
    return store


HOURLY = P.group_by(h=df.time().truncate("1h")).agg(n=df.count())


def test_a_trigger_is_part_of_a_version(store: Store) -> None:
    assert store.publish(HOURLY, "hourly").version == 1
    settled = df.trigger(watermark=True, late=df.trigger("1m"))
    assert store.publish(HOURLY, "hourly", trigger=settled).version == 2
    assert store.publish(HOURLY, "hourly").version == 2  # that of the version before
    assert (store.published("hourly@1").trigger, store.published("hourly").trigger) == (None, settled)
    assert store.publish(HOURLY, "hourly", trigger=df.trigger(commit=True)).version == 3


def test_what_has_no_trigger_is_written_as_before_there_were_any(store: Store) -> None:
    first = store.publish(HOURLY, "hourly")
    assert set(first.to_dict()) == definition._FIELDS | {"digest", "mac"}
    settled = replace(first, trigger=df.trigger(rows=5))
    data = json.loads(settled.to_bytes())
    assert data["trigger"] == {"rows": 5}
    assert definition.read(json.dumps(data).encode(), "hourly", 1, None) == settled
    for wrong in ({"rows": 6}, {"row": 5}, None):
        with pytest.raises(FormatError, match="is not a published query"):
            definition.read(json.dumps({**data, "trigger": wrong}).encode(), "hourly", 1, None)


def test_a_trigger_that_cannot_fire(store: Store) -> None:
    with pytest.raises(df.DataflowError, match="watermark=True needs rows that end"):
        store.publish(HOT, "hot", trigger=df.trigger(watermark=True))
    with pytest.raises(QueryError, match=r"the trigger of hot is a df.trigger\(...\)"):
        store.publish(HOT, "hot", trigger="5s")  # type: ignore[arg-type]
    store.publish(HOURLY, "hot", trigger=df.trigger(watermark=True))
    with pytest.raises(df.DataflowError, match="watermark=True needs rows that end"):
        store.publish(HOT, "hot")


def rows(result: Any) -> list[Any]:
    return [list(r) for r in result]


def test_versions(store: Store) -> None:
    first = store.publish(HOT, "hot", "devices above a temperature")
    assert (first.name, first.version, first.stream, first.mac) == ("hot", 1, "s", None)
    assert store.publish(HOT, "hot", "devices above a temperature") == first
    second = store.publish(HOT, "hot", "devices above a temperature", defaults={"above": "25"})
    assert second.version == 2
    assert second.parameters == (definition.Parameter("above", "float64", 25.0),)
    store.publish(P.group_by("device").agg(n=df.count()), "count")
    assert [(p.name, p.version) for p in store.queries()] == [("count", 1), ("hot", 2)]
    assert store.queries("hot") == [first, second]
    assert store.published("hot") == second
    assert store.published("hot@1") == first
    assert first.metric.to_json() == HOT.to_json()
    # What is published after another version is a version again, though the first asked the same.
    assert store.publish(HOT, "hot", "devices above a temperature").version == 3


def test_a_query_by_its_name(store: Store) -> None:
    store.publish(HOT, "hot")
    store.publish(HOT, "hot", defaults={"above": 30})
    assert rows(store.query("hot", progress=False)) == [["down", 1]]
    assert rows(store.query("hot@1", progress=False)) == [["down", 2], ["up", 1]]
    assert rows(store.query("hot", params={"above": 5}, progress=False)) == [["down", 2], ["up", 2]]
    assert rows(store.query("hot", params={"above": "39.5"}, progress=False)) == [["down", 1]]
    assert "group_by" in store.explain("hot") or "group" in store.explain("hot")
    # Published queries explain where a number of an answer comes from, too.
    assert "b" in str(store.query("hot", progress=False).explain(0).to_text())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.query("cold"), "there is no published query 'cold' in this store; its queries: hot, needs"),
        (lambda s: s.query("hot@7"), "hot has no version 7; its versions are 1 to 1"),
        (lambda s: s.query("hot@0"), "after '@' comes a version number"),
        (lambda s: s.query("../hot"), "cannot be the name of a query"),
        (lambda s: s.query("hot", params={"below": 1}), "no parameter 'below'; its parameters: above"),
        (lambda s: s.query("hot", params={"above": "high"}), "'above' is of type float64, which 'high' is not"),
        (lambda s: s.query("needs"), "needs a value for its parameter 'above'"),
        (lambda s: s.queries("cold"), "there is no published query 'cold'"),
        (lambda s: s.publish("hot", HOT), "cannot be the name of a query"),
        (lambda s: s.publish(HOT, "a/b"), "cannot be the name of a query"),
        (lambda s: s.publish(HOT, "hot.py"), "cannot be the name of a query"),
        (lambda s: s.publish(HOT, "hot@1"), "cannot be the name of a query"),
        (lambda s: s.publish(HOT, "x" * 101), "cannot be the name of a query"),
        (lambda s: s.publish(17, "hot"), "a metric is a stream with steps"),
        (lambda s: s.publish(HOT, "hot", "d" * 2001), "longer than 2,000 characters"),
        (lambda s: s.publish(HOT, "hot", 5), "description of hot is not a text"),
        (lambda s: s.publish(HOT, "hot", "\ud800"), "hot cannot be written as JSON"),
        (lambda s: s.publish(HOT, "hot", defaults={"above": "nan"}), "'above' must be a finite number"),
        (lambda s: s.query("hot", params={"above": float("inf")}), "'above' must be a finite number"),
        (lambda s: s.query("hot", params={"above": 10**400}), "'above' is of type float64"),
        (lambda s: s.publish(HOT, "hot", defaults={"over": 1}), "hot has no parameter 'over'"),
        (lambda s: s.publish(HOT, "hot", defaults={"above": "warm"}), "'above' is of type float64"),
        (lambda s: s.publish(df.stream("t").agg(n=df.count()), "t"), "there is no stream 't'"),
    ],
)
def test_mistakes(store: Store, call: Callable[[Store], Any], message: str) -> None:
    store.publish(HOT, "hot")
    store.publish(NEEDS, "needs")
    with pytest.raises(QueryError, match=message):
        call(store)


def test_a_metric_that_does_not_fit_its_stream_is_not_published(store: Store) -> None:
    with pytest.raises(df.DataflowError, match="there is no column 'colour'"):
        store.publish(P.group_by("colour").agg(n=df.count()), "colours")
    assert store.queries() == []


def test_code_of_ones_own_is_not_published(store: Store) -> None:
    def fold(g, n, value):  # type: ignore[no-untyped-def]
        n[g] += 1

    own = df.register(
        df.Aggregate(
            name="published_own",
            argument=df.Type.FLOAT,
            result=df.Type.INT,
            fields=(df.Field("n"),),
            inputs=("value",),
            step=fold,
            merge=df.merge_by_adding,
            finish=lambda state: (state["n"], np.ones(len(state["n"]), np.bool_)),
        )
    )
    with pytest.raises(QueryError, match="uses the user-defined aggregate 'published_own'"):
        store.publish(P.group_by("status").agg(n=own("temp")), "own")


def test_two_who_publish_at_once_get_different_versions(store: Store) -> None:
    several = [P.filter(df.col("temp") > float(i)).group_by("status").agg(n=df.count()) for i in range(12)]
    start, found = threading.Barrier(len(several)), []

    def publish(metric: df.Stream) -> None:
        objects = FolderObjects(store.url)
        start.wait()
        found.append(versions.publish(objects, definition.define(metric, "race")))

    threads = [threading.Thread(target=publish, args=(m,)) for m in several]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(p.version for p in found) == list(range(1, len(several) + 1))
    assert {p.version: p.digest for p in found} == {p.version: p.digest for p in store.queries("race")}


def test_a_store_that_cannot_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(type(store.objects), "put", full)
    with pytest.raises(StoreError, match="disk full"):
        store.publish(HOT, "hot")


def change(store: Store, edit: Callable[[dict[str, Any]], object]) -> None:
    path = Path(store.url) / "queries/hot/1.json"
    value = json.loads(path.read_text())
    edit(value)
    path.chmod(0o644)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.update(extra=1), "it must have the fields"),
        (lambda v: v.pop("stream"), "it must have the fields"),
        (lambda v: v.update(name="cold"), "form, name or version is wrong"),
        (lambda v: v.update(version=2), "form, name or version is wrong"),
        (lambda v: v.update(antfold=9), "form, name or version is wrong"),
        (lambda v: v.update(description=5), "form, name or version is wrong"),
        (lambda v: v.update(description="other"), "it was altered"),
        (lambda v: v.update(stream="other"), "it was altered"),
        (lambda v: v["graph"]["steps"].pop(), "it was altered"),
        (lambda v: v["graph"].update(more=1), "unknown field 'more'"),
        (lambda v: v["graph"]["steps"].append({"op": "exec"}), "exec"),
        (lambda v: v["parameters"][0].update(default=99.0), "it was altered"),
        (lambda v: v["parameters"][0].update(default="high"), "of type float64"),
        (lambda v: v["parameters"][0].update(default=float("nan")), "must be a finite number"),
        (lambda v: v["parameters"][0].update(default=10**400), "of type float64"),
        (lambda v: v.update(description="\ud800"), "surrogates not allowed"),
        (lambda v: v.update(parameters="none"), "not a list of names, types and defaults"),
        (lambda v: v.update(kernels=[{"path": "x"}]), "malformed kernel reference"),
        (lambda v: v.update(kernels={}), "its kernels are not a list"),
    ],
)
def test_what_was_changed_is_refused(store: Store, edit: Callable[[Any], object], message: str) -> None:
    store.publish(HOT, "hot")
    change(store, edit)
    store.close()
    with pytest.raises(FormatError, match=message):
        store.query("hot", progress=False)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 100_000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"queries/hot/1.json is not a published query"):
        definition.read(data, "hot", 1, None)


@pytest.mark.parametrize("name", ["007", "99999999999", "2x", "0"])
def test_what_has_no_name_of_a_version_is_none(store: Store, name: str) -> None:
    first = store.publish(HOT, "hot")
    (Path(store.url) / f"queries/hot/{name}.json").write_text("{}")
    assert store.queries() == store.queries("hot") == [first]
    assert store.published("hot") == first
    assert store.publish(HOT, "hot", "another").version == 2


def test_too_large_an_object_is_not_even_read(store: Store) -> None:
    store.publish(HOT, "hot")
    path = Path(store.url) / "queries/hot/1.json"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(definition.LARGEST + 1)
    with pytest.raises(StoreError, match="more than any published query"):
        store.published("hot")


def test_signatures(store: Store) -> None:
    unsigned = store.publish(HOT, "hot")
    store.signer = Key("ours")
    with pytest.raises(FormatError, match="no valid signature; publish it again after `export ANTFOLD_MAC_KEY=ours`"):
        store.query("hot", progress=False)
    signed = store.publish(HOT, "hot")
    assert (unsigned.version, signed.version) == (1, 2)
    assert store.publish(HOT, "hot") == signed
    assert len(store.query("hot", progress=False)) == 2
    store.signer = Key("theirs")
    with pytest.raises(FormatError, match="no valid signature"):
        store.query("hot", progress=False)
    # A signature is of one name and version: it cannot be lent.
    store.signer = Key("ours")
    folder = Path(store.url) / "queries/hot"
    value = json.loads((folder / "2.json").read_text())
    (folder / "3.json").write_text(json.dumps(value | {"version": 3}))
    with pytest.raises(FormatError, match="no valid signature"):
        store.published("hot@3")
    # What cannot be run is listed all the same, and does not hide the rest.
    assert [p.version for p in store.queries("hot")] == [1, 2, 3]
    assert [p.name for p in store.queries()] == ["hot"]


def test_kernels_travel_along(store: Store) -> None:
    first = definition.define(HOT, "hot", kernels=(KERNEL,))
    published = versions.publish(store.objects, first)
    assert versions.publish(store.objects, first) == published
    assert store.published("hot").kernels == (KERNEL,)
    # Without them it asks the same; with others it does not run where it did.
    assert store.publish(HOT, "hot") == published
    other = replace(first, kernels=(replace(KERNEL, bytes=10),))
    assert versions.publish(store.objects, other).version == 2


HERE = "x86_64" if worker().name == "x86_64" else "arm64"


@pytest.fixture
def function(store: Store, tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Runs the query in a process that compiles nothing and has the library's kernels only."""
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from runtime import Store\n"
        f"print([list(r) for r in Store({store.url!r}).query('hot', progress=False)])"
    )
    library = tmp_path / "library"
    prebuild(library, TARGETS[HERE])
    environment = os.environ | {
        "ANTFOLD_KERNELS": "ready",
        "ANTFOLD_KERNEL_PATH": str(library),
        "ANTFOLD_CACHE_DIR": str(tmp_path / "worker"),
    }
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_process_that_compiles_nothing_runs_what_was_published(
    store: Store, function: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    store.publish(HOT, "hot", targets=[HERE])
    assert {k.target for k in store.published("hot").kernels} == {HERE}
    ran = function()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[['down', 2], ['up', 1]]"


def test_a_later_release_runs_what_was_published(
    store: Store, function: Callable[[], subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels are others: it says that they are missing, and runs once they are made."""
    with monkeypatch.context() as patch:
        own = cache.digest_of
        patch.setattr(cache, "digest_of", lambda source: hashlib.sha256(own(source).encode()).hexdigest())
        store.publish(HOT, "hot", targets=[HERE])
        store.publish(HOT.filter(df.col("n") > 0), "other", targets=[HERE])
    store.publish(HOT, "without")
    before = store.published("hot")
    ran = function()
    assert ran.returncode == 1
    assert f"the query hot@1 has no kernels for antfold {definition.antfold_version()} on {HERE}" in ran.stderr
    assert "run `dataflow deploy` with this release" in ran.stderr
    kernels = len(list(listed(store.objects)))
    assert renew(store, HERE, None) == {}
    assert len(list(listed(store.objects))) > kernels
    assert store.published("hot") == before  # a published query does not change
    ran = function()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[['down', 2], ['up', 1]]"


def test_renewing_says_which_query_has_no_kernels(store: Store) -> None:
    gone = definition.define(df.stream("gone").agg(n=df.count()), "gone", kernels=(KERNEL,))
    versions.publish(store.objects, gone)
    failed = renew(store, "x86_64", None)
    assert set(failed) == {"gone@1"}
    assert "gone" in failed["gone@1"]


def test_kernels_need_the_types_of_parameters(store: Store) -> None:
    with pytest.raises(QueryError, match="give each a default"):
        store.publish(NEEDS, "needs", targets=["x86_64"])
