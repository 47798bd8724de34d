"""What a sweep removes, leaves and refuses, in a folder and in S3."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

import dataflow as df
from deploy.cli import main
from runtime import Store
from runtime.catalogue import AttemptSwept, Committed, new_attempt
from runtime.errors import QueryError, StoreError
from runtime.upkeep import sweep_plan
from runtime.upkeep.sweep import TooManyOrphans
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.upkeep.stores import DAY, HOUR, commit, copied, ingest, listed, live, orphans, replaced, swept

METRIC = df.stream("s").group_by("k").agg(n=df.count(), v=df.sum("v"))


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Three commits of two files each."""
    if request.param == "s3":
        request.getfixturevalue("aws")
    made = Store(tmp_path / "store" if request.param == "folder" else "s3://lake/one", create=True)
    for number in range(3):
        ingest(made, number)
    return made


def reasons(report: Any) -> list[str]:
    return sorted(file.reason for file in report.removed)


def test_nothing_to_do(store: Store) -> None:
    before = listed(store)
    report = swept(store, 400 * DAY)
    assert (report.removed, report.later, report.left) == ((), (), ())
    assert str(report) == "nothing to remove"
    assert listed(store) == before


def test_replaced_files_go_after_their_grace(store: Store) -> None:
    answer = store.query(METRIC, progress=False).proof.result
    gone = store.files("s")[:2]
    replaced(store, gone)
    for hours in (0, 23):
        report = swept(store, hours * HOUR)
        assert report.removed == ()
        assert {file.path for file in report.later} == {file.path for file in gone}
    assert "later: 2 files of s" in str(report)
    assert "replaced less than 24 h ago" in str(report)
    report = swept(store, 25 * HOUR)
    assert {file.path for file in report.removed} == {file.path for file in gone}
    assert report.bytes == sum(file.bytes for file in gone)
    assert str(report).startswith("removed 2 files of s (")
    assert listed(store) == live(store)
    assert store.query(METRIC, progress=False).proof.result == answer
    assert store.verify().ok
    assert swept(store, 25 * HOUR).removed == ()


def test_orphans_go_after_a_week(store: Store) -> None:
    left = set(orphans(store, 3))
    assert {file.path for file in swept(store, 6 * DAY).later} == left
    report = swept(store, 8 * DAY)
    assert {file.path for file in report.removed} == left
    assert listed(store) == live(store)
    assert not store.verify().orphans


def test_a_swept_attempt_cannot_commit(store: Store) -> None:
    attempt = new_attempt()
    files = copied(store, store.files("s")[:2], attempt)
    assert len(swept(store, 8 * DAY).removed) == 2
    with pytest.raises(AttemptSwept, match="ingest the input again"):
        commit(store, files, attempt, "5" * 64)
    assert store.verify().ok


def test_an_attempt_that_commits_first_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so after the sweep has read the log and listed the files."""
    attempt = new_attempt()
    files = copied(store, store.files("s")[:2], attempt)
    real = store.catalogue.claim_for_sweep

    def late(stream: str, claimed: str) -> bool:
        assert isinstance(commit(store, files, attempt, "6" * 64), Committed)
        return real(stream, claimed)

    monkeypatch.setattr(store.catalogue, "claim_for_sweep", late)
    report = swept(store, 8 * DAY)
    assert report.removed == ()
    assert "was committed meanwhile" in report.left[0]
    assert {file.path for file in files} <= live(store) == listed(store)


def test_files_of_a_stream_without_a_commit(store: Store) -> None:
    (path,) = orphans(store)
    last = store.files("s")[-1]
    other = f"data/other/2024-03-01/{new_attempt()}-0.points"
    # The file says that there were commits before it.
    store.objects.put(other, store.objects.read(last.path, 0, last.bytes))
    report = swept(store, 8 * DAY)
    assert [file.path for file in report.removed] == [path]
    assert "older copy" in report.left[0]
    store.objects.put("data/third/2024-01-01/abc-0.points", b"no point file: a torn one")
    report = swept(store, 8 * DAY)
    assert [(file.path, file.stream) for file in report.removed] == [("data/third/2024-01-01/abc-0.points", "third")]


def test_many_orphans_stop_it(store: Store) -> None:
    left = orphans(store, 17)
    replaced(store, store.files("s")[:1])
    before = listed(store)
    report = swept(store, 8 * DAY, dry_run=True)
    assert report.too_many is not None
    assert "it would stop: 17 of the 24 files" in str(report)
    with pytest.raises(TooManyOrphans, match=r"17 of the 24 files.*nothing was removed.*--allow-many"):
        swept(store, 8 * DAY)
    assert listed(store) == before
    assert len(swept(store, 8 * DAY, allow_many=True).removed) == 18
    assert listed(store) == live(store)
    assert not set(left) & listed(store)


def test_a_few_orphans_do_not(store: Store) -> None:
    orphans(store, 16)
    assert len(swept(store, 8 * DAY).removed) == 16
    orphans(store, 3)
    with pytest.raises(TooManyOrphans):
        swept(store, 8 * DAY, rules=SweepRules(few=2))
    assert len(swept(store, 8 * DAY, rules=SweepRules(few=2, share=3)).removed) == 3  # 3 of 9


def test_a_dry_run_says_what_would_go(store: Store) -> None:
    orphans(store, 2)
    replaced(store, store.files("s")[:1])
    before = listed(store)
    report = swept(store, 8 * DAY, dry_run=True)
    assert listed(store) == before
    assert reasons(report) == ["orphan", "orphan", "replaced"]
    assert str(report).startswith("would remove 1 file of s (")
    done = swept(store, 8 * DAY)
    assert set(done.removed) == set(report.removed)
    assert done.to_dict() == report.to_dict() | {"dry_run": False}
    assert store.catalogue.claim_for_sweep("s", "unused")  # a dry run claims nothing that this could not


def test_names_that_ingest_does_not_give(store: Store) -> None:
    odd = [
        "data/notes.txt",
        "data/s/notes.points",
        "data/s/2024-03-01/x.txt",
        "data/s/2024-03-01/UPPER-0.points",
        "data/s/2024-03-01/abc-0.points.bak",
        "data/s/march/abc-0.points",
        "data/-s/2024-03-01/abc-0.points",
    ]
    for path in odd:
        store.objects.put(path, b"x")
    report = swept(store, 400 * DAY)
    assert report.removed == ()
    assert report.left == (f"{min(odd)} and 6 more: ingest gives no such names",)
    assert set(odd) <= listed(store)


def test_a_file_that_is_not_in_its_commit(store: Store) -> None:
    """The attempt was committed, so nothing says whose it is."""
    file = store.files("s")[0]
    path = file.path.replace("-0.points", "-7.points").replace("-1.points", "-7.points")
    store.objects.put(path, b"x")
    moved = file.path.replace("data/s/", "data/t/")
    store.objects.put(moved, b"x")
    report = swept(store, 400 * DAY)
    assert report.removed == ()
    assert len(report.left) == 2
    assert all("was committed, but not with this file" in sentence for sentence in report.left)


def test_rejects_that_only_an_orphan_wrote(store: Store) -> None:
    (path,) = orphans(store)
    attempt = path.rpartition("/")[2].partition("-")[0]
    mine, shared = f"rejects/s/{'a' * 64}-{attempt}.ndjson", f"rejects/s/{'a' * 64}.ndjson"
    for rejects in (mine, shared):
        store.objects.put(rejects, b"{}\n")
    with_rejects(store)
    report = swept(store, 8 * DAY)
    assert {file.path for file in report.removed} == {path, mine}
    assert report.left == (f"{shared}: no source names them, and they name no attempt",)
    (kept,) = (source.entry.rejects_path for source in store.sources("s") if source.entry.rejected)
    assert {kept, shared} == listed(store, "rejects/")


def with_rejects(store: Store) -> str:
    """Ingest a source with a rejected record; returns its id."""
    lines = b'{"k":"a","t":1709251200}\n{"k":"a","t":"x"}\n'
    store.ingest("s", io.BytesIO(lines), key="k", time="t", unit="s", progress=False)
    return next(source.entry.id for source in store.sources("s") if source.entry.rejected)


def test_rejects_of_an_ingest_that_did_not_finish(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store.catalogue, "commit", lambda *_, **__: pytest.fail("it is killed"))
        with pytest.raises(pytest.fail.Exception):
            with_rejects(store)
    assert len(listed(store, "rejects/")) == 1
    with_rejects(store)
    assert len(listed(store, "rejects/")) == 2
    assert swept(store, 8 * DAY).left == ()
    (kept,) = (source.entry.rejects_path for source in store.sources("s") if source.entry.rejected)
    assert listed(store, "rejects/") == {kept}


def test_rejects_of_a_source_that_was_ingested_again(store: Store) -> None:
    store.undo("s", with_rejects(store))
    with_rejects(store)
    assert len(listed(store, "rejects/")) == 2
    swept(store, 2 * HOUR)
    assert len(listed(store, "rejects/")) == 2
    assert swept(store, 2 * DAY).left == ()
    (kept,) = (source.entry.rejects_path for source in store.sources("s") if source.entry.rejected)
    assert listed(store, "rejects/") == {kept}
    assert len(list(store.rejects("s"))) == 1


def test_a_damaged_catalogue_stops_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day index is compared with the log; and a file that both have stays."""
    gone = store.files("s")[0]
    replaced(store, [gone])
    snapshot = store.catalogue.snapshot("s")
    monkeypatch.setattr(
        store.catalogue,
        "snapshot",
        lambda *_: type("S", (), {"files": [gone, *snapshot.files]}),
    )
    with pytest.raises(StoreError, match=r"the day index has it.*dataflow verify"):
        swept(store, 25 * HOUR)
    assert gone.path in listed(store)


def test_another_stores_catalogue(aws: None) -> None:
    ingest(Store("s3://lake/one", create=True), 1)
    ingest(Store("s3://lake/two?table=other", create=True), 2)
    wrong = Store("s3://lake/one?table=other")
    before = listed(wrong)
    with pytest.raises(StoreError, match=r"nothing of this store.*dataflow recover"):
        swept(wrong, 400 * DAY, allow_many=True)
    assert listed(wrong) == before


def test_an_older_copy_of_the_catalogue(tmp_path: Path) -> None:
    """The files of later commits look like orphans: even a few of them stay."""
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        ingest(store, 1)
    for name in ("catalogue.sqlite", "catalogue.sqlite-head"):
        shutil.copyfile(folder / name, tmp_path / name)
    with Store(folder) as store:
        ingest(store, 2)
        ingest(store, 3)
        before = listed(store)
    for name in ("catalogue.sqlite", "catalogue.sqlite-head"):
        shutil.copyfile(tmp_path / name, folder / name)
    with Store(folder) as store:
        report = swept(store, 400 * DAY)
        assert report.removed == ()
        assert report.left[0].startswith("what is in no commit of s: ")
        assert "began after commits that the catalogue does not have" in report.left[0]
        assert "dataflow recover" in report.left[0]
        assert listed(store) == before


def test_young_files_tell_of_an_older_copy(tmp_path: Path) -> None:
    """The first of the lost commits began where the copy ends; only those after it name it."""
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        ingest(store, 1)
        shutil.copytree(folder, tmp_path / "older", ignore=lambda *_: ["data"])
        ingest(store, 2)
        lost = live(store) - {file.path for file in store.files("s") if file.seq == 1}
        for path in lost:
            os.utime(folder / path, (1, 1))
        ingest(store, 3)
        before = listed(store)
    shutil.copytree(tmp_path / "older", folder, dirs_exist_ok=True)
    with Store(folder) as store:
        report = swept(store, 0)
        assert (report.removed, len(report.later), len(report.left)) == ((), 2, 1)
        assert listed(store) == before
    with Store(folder) as store:
        store.recover()
        assert lost <= live(store) == before


def test_an_attempt_that_began_after_the_log_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names a commit that the log did not have then, and is no sign of an older copy."""
    store = Store(tmp_path / "store", create=True)
    ingest(store, 1)
    (path,) = orphans(store)
    real = sweep_plan.StreamFiles

    def slow(*given: Any) -> Any:
        log = real(*given)
        monkeypatch.setattr(sweep_plan, "StreamFiles", real)
        ingest(store, 2)
        ingest(store, 3)
        copied(store, store.files("s")[-1:], new_attempt())
        return log

    monkeypatch.setattr(sweep_plan, "StreamFiles", slow)
    os.utime(tmp_path / "store" / path, (1, 1))
    report = swept(store, 0)
    assert [file.path for file in report.removed] == [path]
    assert report.left == ()


def test_temporary_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    ingest(store, 1)
    old, new = (tmp_path / "store/data/s" / f".part-{digit * 32}" for digit in "01")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    report = swept(store, 0, dry_run=True)
    assert [(f.reason, f.bytes, f.stream) for f in report.removed] == [("temporary", 4, None)]
    assert str(report) == "would remove 1 temporary file (4 B) that interrupted writes left"
    assert old.exists()
    assert swept(store, 0).removed == report.removed
    assert (old.exists(), new.exists()) == (False, True)


def test_versions_of_the_bucket_stay(aws: None) -> None:
    """A sweep is no erasure: what it removed can be brought back from the bucket's versions."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    store = Store("s3://lake/one", create=True)
    ingest(store, 1)
    (path,) = orphans(store)
    swept(store, 8 * DAY)
    versions = s3.list_object_versions(Bucket="lake", Prefix=f"one/{path}")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (1, 1)


def test_versions_of_what_the_catalogue_names_stay_after_an_erasure(aws: None) -> None:
    """Versions of erased data go; those of a live file that somebody deleted are its last copies."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    store = Store("s3://lake/one", create=True)
    ingest(store, 1)
    ingest(store, 2)
    (gone,) = orphans(store)
    swept(store, 8 * DAY)
    store.erase("s", "no such key")
    live = store.files("s")[0].path
    store.objects.delete(live)
    report = swept(store, 9 * DAY)
    assert [f.path for f in report.removed if f.reason == "version"] == [gone]
    assert "Versions" not in s3.list_object_versions(Bucket="lake", Prefix=f"one/{gone}")
    (version,) = s3.list_object_versions(Bucket="lake", Prefix=f"one/{live}")["Versions"]
    (marker,) = s3.list_object_versions(Bucket="lake", Prefix=f"one/{live}")["DeleteMarkers"]
    s3.delete_object(Bucket="lake", Key=f"one/{live}", VersionId=marker["VersionId"])
    assert store.objects.size(live) == version["Size"]


def test_two_sweeps_and_a_query_beside_each_other(tmp_path: Path) -> None:
    import threading

    store = Store(tmp_path / "store", create=True)
    for number in range(6):
        ingest(store, number)
    answer = store.query(METRIC, progress=False).proof.result
    for _ in range(4):
        replaced(store, store.files("s")[:3])
    orphans(store, 12)
    removed: list[str] = []
    wrong: list[object] = []

    def sweeps() -> None:
        with Store(store.url) as mine:
            removed.extend(file.path for file in swept(mine, 8 * DAY).removed)

    def queries() -> None:
        with Store(store.url) as mine:
            for _ in range(10):
                if mine.query(METRIC, progress=False).proof.result != answer:
                    wrong.append(1)

    threads = [threading.Thread(target=work) for work in (sweeps, sweeps, sweeps, queries)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(set(removed)) == 24
    assert listed(store) == live(store)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        Store(tmp_path / "none").sweep()
    with pytest.raises(QueryError, match="no stream 'x'"):
        Store(tmp_path / "s", create=True).sources("x")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store", create=True)
    ingest(store, 1)
    assert main(["sweep", store.url, "--dry-run"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    left = orphans(store, 20)
    for path in left:
        os.utime(tmp_path / "store" / path, (1, 1))
    assert main(["sweep", store.url]) == 1
    assert "20 of the 22 files" in capsys.readouterr().err
    assert main(["sweep", store.url, "--dry-run", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["dry_run"], printed["files"], len(printed["removed"]), bool(printed["too_many"])) == (
        True,
        20,
        20,
        True,
    )
    assert {file["path"] for file in printed["removed"]} == set(left)
    assert main(["sweep", store.url, "--allow-many"]) == 0
    assert "removed 20 files of s" in capsys.readouterr().out
    assert main(["sweep", store.url, "--allow-mny"]) == 2
    assert "did you mean --allow-many?" in capsys.readouterr().err
    assert listed(store) == live(store)
