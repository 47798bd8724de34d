"""An erased key is gone from answers at once, and from everything that the store holds once it is swept."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.catalogue.items.changes import key_digest
from runtime.errors import QueryError
from runtime.query.carry import carrying
from runtime.upkeep.erasing import EraseReport
from runtime.upkeep.sweep import sweep
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.upkeep.held_bytes import held

DAY = 86_400_000_000
T = 19_800 * DAY
STATES, OTHERS = (df.stream(name).state_duration("status") for name in ("s", "other"))
COUNTS = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v")).sort("k")


def put(store: Store, keys: list[Any], at: int = T, v: float = 1.0, **more: Any) -> Any:
    times = [at + n * DAY // 2 for n in range(len(keys))]
    given = {"k": keys, "ts": times, "v": [v] * len(keys)}
    return store.ingest("s", given, key="k", time="ts", unit="us", progress=False, **more)


def counts(store: Store) -> dict[Any, Any]:
    found = store.query(COUNTS, progress=False)
    return dict(zip(found["k"], found["n"], strict=True))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def swept(store: Store) -> set[str]:
    store.sweep(rules=SweepRules(grace=0))
    return held(store)


def test_a_key_is_gone(store: Store) -> None:
    put(store, ["alice", "bob", "alice", "carol"])
    put(store, ["bob", "alice"], at=T + 5)
    report = store.erase("s", "alice")
    assert (report.rows, report.key) == (3, key_digest("alice"))
    assert counts(store) == {"bob": 2, "carol": 1}
    assert store.verify().ok
    assert "alice" not in "".join(swept(store))
    assert "bob" in swept(store)
    assert store.verify().ok


def test_the_record_has_no_data(store: Store) -> None:
    put(store, ["alice", "bob"])
    report = store.erase("s", "alice")
    assert "alice" not in f"{report}{report.to_dict()}"
    assert report.commit is not None
    assert store.catalogue.erased("s")[key_digest("alice")].at == report.at


def test_integer_keys(store: Store) -> None:
    put(store, [7, 77, 7, -7])
    assert store.erase("s", 7).rows == 2
    assert counts(store) == {77: 1, -7: 1}
    assert store.erase("s", "-7").rows == 1
    with pytest.raises(QueryError, match="int64"):
        store.erase("s", "alice")
    with pytest.raises(QueryError, match="int64"):
        store.erase("s", 2**63)


def test_the_digest_is_of_type_and_value() -> None:
    assert key_digest(7) != key_digest("7")
    assert key_digest("alice") == hashlib.sha256(b"string\nalice").hexdigest()
    assert key_digest(-7) == hashlib.sha256(b"int64\n-7").hexdigest()


def test_a_dry_run_changes_nothing(store: Store) -> None:
    put(store, ["alice", "bob"])
    before, seq = held(store), store.catalogue.snapshot("s").seq
    report = store.erase("s", "alice", dry_run=True)
    assert (report.rows, report.files, report.commit, report.dry_run) == (1, 1, None, True)
    assert store.erase("s", dry_run=True).rows == 2
    assert (held(store), store.catalogue.snapshot("s").seq) == (before, seq)
    assert "would erase" in str(report)


def test_it_can_be_repeated(store: Store) -> None:
    put(store, ["alice", "bob"])
    store.erase("s", "alice")
    again = store.erase("s", "alice")
    assert (again.rows, again.files) == (0, 0)
    assert store.catalogue.snapshot("s").erased == 2
    assert put(store, ["alice", "bob"], at=T + 1).committed == 1
    assert store.verify().ok


# ---- later ingests


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
@pytest.mark.parametrize("integer", [False, True])
def test_a_source_that_is_older_leaves_the_key_out(store: Store, tmp_path: Path, form: str, integer: bool) -> None:
    gone, other = (4711, 4712) if integer else ("alice", "bob")
    put(store, [gone, other])
    store.erase("s", gone)
    rows = [(gone, T + 10, "secret"), (other, T + 10, "open"), (gone, "bad", "secret")]
    if form == "table":
        rows = rows[:2]
        given: Any = {"k": [r[0] for r in rows], "ts": [r[1] for r in rows], "x": [r[2] for r in rows]}
    elif form == "csv":
        given = tmp_path / "f.csv"
        given.write_text("k,ts,x\n" + "".join(f"{k},{t},{x}\n" for k, t, x in rows))
    elif form == "json":
        given = tmp_path / "f.ndjson"
        quote = "" if integer else '"'
        given.write_text(
            "".join(f'{{"k":{quote}{k}{quote},"ts":{t if t != "bad" else "null"},"x":"{x}"}}\n' for k, t, x in rows)
        )
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        given = tmp_path / "f.parquet"
        pq.write_table(
            pa.table({"k": [r[0] for r in rows], "ts": [r[1] if r[1] != "bad" else None for r in rows],
                      "x": [r[2] for r in rows]}), given
        )  # fmt: skip
    report = store.ingest("s", given, unit="us", progress=False)
    (source,) = report.sources
    left_out = 1 if form == "table" else 2
    assert (source.committed, source.rejected, source.reasons) == (1, left_out, {"its key was erased": left_out})
    assert source.examples == ()
    assert counts(store) == {other: 2}
    text = "".join(swept(store))
    assert "secret" not in text
    assert str(gone) not in text
    assert store.verify().ok
    assert list(store.rejects("s")) == []


def test_a_source_of_erased_keys_only_is_ingested_once(store: Store) -> None:
    put(store, ["alice", "bob"])
    store.erase("s", "alice")
    report = put(store, ["alice", "alice"], at=T + 3)
    assert [(s.status, s.committed, s.rejected) for s in report.sources] == [("ingested", 0, 2)]
    assert put(store, ["alice", "alice"], at=T + 3).sources[0].status == "already ingested"
    assert store.verify().ok


def test_later_points_of_the_key_are_taken(store: Store) -> None:
    put(store, ["alice", "bob"])
    at = store.erase("s", "alice").at
    assert at is not None
    given = {"k": ["alice", "alice", "alice"], "ts": [at - 1, at, at + 1], "v": [1.0] * 3}
    store.ingest("s", given, unit="us", progress=False)
    assert counts(store) == {"alice": 1, "bob": 1}
    assert store.erase("s", "alice").rows == 1
    assert counts(store) == {"bob": 1}


def test_the_name_for_missing_keys(store: Store) -> None:
    put(store, ["none", "bob", None], missing_key="none")
    store.erase("s", "none")
    assert counts(store) == {"bob": 1}
    assert put(store, [None, "bob"], at=T + 7).committed == 1


def test_an_erasure_while_a_source_is_read(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(store, ["alice", "bob"])
    source = tmp_path / "f.csv"
    source.write_text(f"k,ts,v\nalice,{T + 9},1\nbob,{T + 9},1\nalice,bad,1\n")
    commit, done = store.catalogue.commit, list[EraseReport]()

    def late(*args: Any, **options: Any) -> Any:
        if not done:
            done.append(Store(store.url).erase("s", "alice"))
        return commit(*args, **options)

    monkeypatch.setattr(store.catalogue, "commit", late)
    (report,) = store.ingest("s", source, unit="us", progress=False).sources
    assert (report.committed, report.rejected, report.reasons) == (1, 2, {"its key was erased": 2})
    assert counts(store) == {"bob": 2}
    assert "alice" not in "".join(swept(store))
    assert store.verify().ok


def test_an_ingest_between_search_and_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, ["alice", "bob"])
    note = store.catalogue.note_erased

    def late(*args: Any) -> Any:
        put(Store(store.url), ["alice", "bob"], at=T + 11)
        return note(*args)

    monkeypatch.setattr(store.catalogue, "note_erased", late)
    assert store.erase("s", "alice").rows == 2
    assert counts(store) == {"bob": 2}


@pytest.mark.parametrize("what", ["compact", "undo"])
def test_upkeep_beside_it(store: Store, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    put(store, ["alice", "bob"], compact=False)
    put(store, ["alice", "bob"], at=T + 13, compact=False)
    erase, seen = store.catalogue.erase, list[int]()

    def late(*args: Any) -> Any:
        if not seen:
            seen.append(1)
            if what == "compact":
                Store(store.url).compact("s", progress=False)
            else:
                Store(store.url).undo("s", store.sources("s")[0].entry.id)
        return erase(*args)

    monkeypatch.setattr(store.catalogue, "erase", late)
    store.erase("s", "alice")
    assert counts(store) == {"bob": 2 if what == "compact" else 1}
    assert "alice" not in "".join(swept(store))
    assert store.verify().ok


def test_a_compaction_that_was_begun_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, ["alice", "bob"], compact=False)
    put(store, ["alice", "bob"], at=T + 13, compact=False)
    replace, seen = store.catalogue.replace, list[int]()

    def late(*args: Any) -> Any:
        if not seen:
            seen.append(1)
            Store(store.url).erase("s", "alice")
        return replace(*args)

    monkeypatch.setattr(store.catalogue, "replace", late)
    store.compact("s", progress=False)
    assert counts(store) == {"bob": 2}
    assert "alice" not in "".join(swept(store))


# ---- a whole stream


def test_a_stream_begins_anew(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "f.csv"
    source.write_text(f"k,ts,v\nalice,{T},1\nbob,{T},1\ncarol,bad,1\n")
    store.ingest("s", source, key="k", time="ts", unit="us", progress=False)
    report = store.erase("s")
    assert (report.key, report.rows, report.files, report.rejects_objects) == (None, 2, 1, 1)
    assert store.catalogue.snapshot("s").total_rows == 0
    assert store.sources("s") == []
    assert swept(store) == set()
    assert store.verify().ok
    (again,) = store.ingest("s", source, key="k", time="ts", unit="us", progress=False).sources
    assert (again.status, again.committed) == ("ingested", 2)
    assert store.verify().ok


def test_erased_keys_stay_erased_in_a_stream_that_begins_anew(store: Store) -> None:
    put(store, ["alice", "bob"])
    store.erase("s", "alice")
    store.erase("s")
    assert put(store, ["alice", "bob"]).committed == 1
    assert counts(store) == {"bob": 1}


# ---- kept states and answers


def test_states_and_answers_of_the_stream_go(store: Store) -> None:
    put(store, ["alice", "bob"])
    store.ingest(
        "other", {"k": ["x", "y"], "ts": [T, T + DAY], "v": [1.0, 1.0]}, key="k", time="ts", unit="us", progress=False
    )
    store.publish(COUNTS, "mine")
    store.publish(df.stream("other").group_by("k").agg(n=df.count()), "others")
    for name in ("mine", "others"):
        store.query(name, progress=False)
        store.objects.put(f"results/{name}/1/a.json", b"alice")
    before = {info.path for info in store.objects.list("cache/")}
    report = store.erase("s", "alice")
    after = {info.path for info in store.objects.list("cache/")}
    assert after < before
    assert after
    assert report.states == len(before - after)
    assert [info.path for info in store.objects.list("results/")] == ["results/others/1/a.json"]
    assert report.answers == 1
    assert store.query("mine", progress=False)["k"] == ["bob"]


def test_names_of_sources_are_told(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "alice.csv"
    source.write_text(f"k,ts,v\nalice,{T},1\nbob,{T},1\n")
    store.ingest("s", source, key="k", time="ts", unit="us", progress=False)
    report = store.erase("s", "alice")
    assert (report.sources, report.names) == (1, (str(source),))
    assert "alice" not in str(report.to_dict())


def test_an_interrupted_erasure_is_finished_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "store", create=True)
            source = Path(folder) / "f.csv"
            source.write_text(f"k,ts,v\nalice,{T},1\nbob,{T},1\nalice,bad,1\nbob,bad,1\n")
            store.ingest("s", source, key="k", time="ts", unit="us", progress=False)
            left = [number]

            def dies(name: str, store: Store = store, left: list[int] = left) -> Any:
                real = getattr(store.objects, name)

                def call(*args: Any, **options: Any) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        raise KeyboardInterrupt
                    return real(*args, **options)

                return call

            with monkeypatch.context() as patch:
                for name in ("put", "delete"):
                    patch.setattr(store.objects, name, dies(name))
                with suppress(KeyboardInterrupt):
                    store.erase("s", "alice")
            bobs = [r.kept.records for r in store.rejects("s")]
            assert any("bob,bad" in record.text for records in bobs for record, _ in records)
            done = left[0] >= 0
            if not done:
                store.erase("s", "alice")
            assert counts(store) == {"bob": 1}
            found = "".join(swept(store))
            assert "alice" not in found
            assert found.count("bob,bad") == 1
            store.close()
            if done:
                break
    assert number > 3


# ---- what the sweep does for it


def test_the_sweep_removes_all_versions_of_an_erased_stream(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, ["alice", "bob"], compact=False)
    put(store, ["bob"], at=T + 13, compact=False)
    store.ingest("other", {"k": ["x"], "ts": [T]}, key="k", time="ts", unit="us", progress=False, compact=False)
    store.ingest("other", {"k": ["y"], "ts": [T]}, progress=False, unit="us", compact=False)
    store.compact("other", progress=False)
    store.erase("s", "alice")
    delete, seen = store.objects.delete, dict[str, bool]()

    def noted(path: str, versions: bool = False) -> None:
        seen[path.split("/")[1]] = versions
        delete(path, versions)

    monkeypatch.setattr(store.objects, "delete", noted)
    store.sweep(rules=SweepRules(grace=0))
    assert seen == {"s": True, "other": False}


def test_states_that_a_query_kept_meanwhile_go_with_the_sweep(store: Store) -> None:
    put(store, ["alice", "bob"])
    store.publish(COUNTS, "mine")
    at = store.erase("s", "alice").at
    assert at is not None
    store.query("mine", progress=False)  # as if it had begun before
    kept = {info.path for info in store.objects.list("cache/")}

    def swept_at(now: int) -> set[str]:
        sweep(store.objects, store.catalogue, clock=lambda: now, states_of=lambda stream: store.kept_of(stream)[0])
        return {info.path for info in store.objects.list("cache/")}

    assert kept
    assert swept_at(at + DAY - 1) == kept
    assert swept_at(at + DAY) == set()


# ---- snapshots of last values


@pytest.fixture
def carried(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a snapshot of each key's last report."""
    monkeypatch.setattr(carrying, "LEAST", 0)
    monkeypatch.setattr(carrying, "TIMES", 1)
    monkeypatch.setattr(carrying, "SMALLER", 1)
    for day in range(12):
        given = {"k": ["alice", "bob"], "ts": [T + day * DAY] * 2, "status": ["ill", "well"]}
        store.ingest("s", given, key="k", time="ts", unit="us", progress=False, compact=False)
    return store


def last_day(store: Store) -> Any:
    return store.query(STATES, since=T + 11 * DAY, until=T + 12 * DAY, progress=False)


def snapshots(store: Store) -> set[str]:
    return {info.path for info in store.objects.list("carry/") if info.size}


@pytest.mark.parametrize("key", ["alice", None])
def test_snapshots_go_at_once(carried: Store, key: str | None) -> None:
    assert last_day(carried).proof.carried is not None
    there = snapshots(carried)
    assert there
    assert carried.erase("s", key, dry_run=True).states == len(there)
    assert snapshots(carried) == there
    assert carried.erase("s", key).states == len(there)
    assert snapshots(carried) == set()
    if key is not None:
        found = last_day(carried)
        assert found.proof.carried is not None
        assert set(found["k"]) == {"bob"}
    assert not {"alice", "ill"} & swept(carried)
    assert carried.verify().ok


def test_snapshots_that_a_query_made_meanwhile_go_with_the_sweep(carried: Store) -> None:
    at = carried.erase("s", "alice").at
    assert at is not None
    last_day(carried)  # as if it had begun before
    there = snapshots(carried)
    assert there

    def swept_at(now: int) -> set[str]:
        sweep(carried.objects, carried.catalogue, clock=lambda: now, states_of=lambda s: carried.kept_of(s)[0])
        return snapshots(carried)

    assert swept_at(at + DAY - 1) == there
    assert swept_at(at + DAY) == set()


def test_snapshots_are_no_orphans(carried: Store) -> None:
    for day in range(9):
        other = {"k": ["x"], "ts": [T + day * DAY], "status": ["on"]}
        carried.ingest("other", other, key="k", time="ts", unit="us", progress=False, compact=False)
    carried.query(OTHERS, since=T + 8 * DAY, until=T + 9 * DAY, progress=False)
    last_day(carried)
    there = snapshots(carried)
    assert {path.split("/")[1] for path in there} == {"s", "other"}
    report = carried.sweep(rules=SweepRules(grace=0, orphan_age=0))
    assert (report.removed, report.left, report.later) == ((), (), ())
    verified = carried.verify()
    assert (verified.ok, verified.orphans) == (True, ())
    assert snapshots(carried) == there
    carried.erase("s", "alice")
    assert {path.split("/")[1] for path in snapshots(carried)} == {"other"}
