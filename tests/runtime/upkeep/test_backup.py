"""Copies of the catalogue while it is written, and restoring them."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import boto3
import pytest

import dataflow as df
from deploy.cli import main
from runtime import Store
from runtime.errors import StoreError
from tests.runtime.upkeep.stores import DAY, ingest, replaced, swept

METRIC = df.stream("s").group_by("k").agg(n=df.count(), v=df.sum("v"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three commits of two files each."""
    made = Store(tmp_path / "store", create=True)
    for number in range(3):
        ingest(made, number)
    return made


def answer(store: Store) -> str:
    return store.query(METRIC, progress=False).proof.result


def put_back(store: Store, copy: Path) -> None:
    """A store of these points with only the copy as its catalogue."""
    store.close()
    for ending in ("", "-wal", "-shm", "-head"):
        (Path(store.url) / f"catalogue.sqlite{ending}").unlink(missing_ok=True)
    for ending in ("", "-head"):
        shutil.copyfile(copy.with_name(copy.name + ending), Path(store.url) / f"catalogue.sqlite{ending}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_the_catalogue(store: Store, tmp_path: Path) -> None:
    before = answer(store)
    report = store.backup(tmp_path / "copies/monday")
    assert report.path == tmp_path / "copies/monday/catalogue.sqlite"
    assert names(report.path.parent) == ["catalogue.sqlite", "catalogue.sqlite-head"]
    assert (report.commits, report.points) == ({"s": 3}, 6)
    assert report.bytes == report.path.stat().st_size
    assert report.point_bytes == sum(file.bytes for file in store.files("s"))
    assert "not in it: 6 point files" in str(report)
    put_back(store, report.path)
    assert answer(store) == before
    assert store.verify().ok
    ingest(store, 3)  # and it goes on
    assert store.verify().ok


def test_a_file(store: Store, tmp_path: Path) -> None:
    report = store.backup(tmp_path / "monday.sqlite")
    assert report.path == tmp_path / "monday.sqlite"
    assert (tmp_path / "monday.sqlite-head").is_file()
    assert Store(tmp_path / "store").backup(tmp_path).path == tmp_path / "catalogue.sqlite"


def test_a_place_that_is_no_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"notes\.txt is no folder: name a folder, or a file that ends in \.sqlite"):
        store.backup(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("there", ["catalogue.sqlite", "catalogue.sqlite-head"])
def test_nothing_is_replaced_unless_told(store: Store, tmp_path: Path, there: str) -> None:
    to = tmp_path / "copy"
    to.mkdir()
    (to / there).write_bytes(b"precious")
    with pytest.raises(StoreError, match=rf"{there} is there already: .*--force"):
        store.backup(to)
    assert (names(to), (to / there).read_bytes()) == ([there], b"precious")
    store.backup(to, force=True)
    ingest(store, 9)
    assert store.backup(to, force=True).commits == {"s": 4}
    put_back(store, to / "catalogue.sqlite")
    assert store.verify().ok


@pytest.mark.parametrize("to", ["store", "store/copy", "store/x.sqlite", "store/data/s/deep/copy"])
def test_a_place_in_the_store(store: Store, tmp_path: Path, to: str) -> None:
    before = names(tmp_path / "store")
    with pytest.raises(StoreError, match="outside of it"):
        store.backup(tmp_path / to, force=True)
    assert names(tmp_path / "store") == before
    assert store.verify().ok


def test_a_backup_in_use(store: Store, tmp_path: Path) -> None:
    """Replacing a database that has a log would make SQLite apply the log to the new one."""
    to = store.backup(tmp_path / "copy").path
    to.with_name("catalogue.sqlite-wal").write_bytes(b"x")
    with pytest.raises(StoreError, match="it is in use"):
        store.backup(to, force=True)


def test_a_copy_while_it_is_written(store: Store, tmp_path: Path) -> None:
    """Each copy is one moment: its head is that of its log, and its files are there."""
    stop = threading.Event()

    def writes() -> None:
        number = 100
        with Store(store.url) as mine:
            while not stop.is_set():
                ingest(mine, number, days=1)
                if number % 5 == 0:
                    replaced(mine, mine.files("s")[:3])
                number += 1

    thread = threading.Thread(target=writes)
    thread.start()
    try:
        reports = [store.backup(tmp_path / f"copy-{n}") for n in range(10)]
    finally:
        stop.set()
        thread.join()
    seen = [report.commits["s"] for report in reports]
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    for report, commits in zip(reports, seen, strict=True):
        put_back(store, report.path)
        assert store.catalogue.snapshot("s").seq == commits
        assert not store.catalogue.audit("s")
        assert json.loads(report.path.with_name("catalogue.sqlite-head").read_bytes())["streams"]["s"][0] == commits


def test_what_a_killed_backup_left(store: Store, tmp_path: Path) -> None:
    """It goes a day later; what may be of a backup that runs, and what is another's, stays."""
    folder = tmp_path / "copies"
    store.backup(folder)
    old = [f"catalogue.sqlite.part-{'a' * 32}{ending}" for ending in ("", "-head", f"-head.part-{'b' * 32}", "-wal")]
    kept = [f"catalogue.sqlite.part-{'c' * 32}", f"other.sqlite.part-{'a' * 32}", "catalogue.sqlite.part-mine"]
    for name in (*old, *kept):
        (folder / name).write_bytes(b"x")
    for name in (*old, *kept[1:]):
        os.utime(folder / name, (0, 0))
    store.backup(folder, force=True)
    assert names(folder) == sorted([*kept, "catalogue.sqlite", "catalogue.sqlite-head"])


def test_recover_from_a_backup(store: Store, tmp_path: Path) -> None:
    """Commits after the copy come back from their files."""
    copy = store.backup(tmp_path / "copy").path
    ingest(store, 3)
    ingest(store, 4)
    before = answer(store)
    store.close()
    for name in names(tmp_path / "store"):
        if name.startswith("catalogue"):
            (tmp_path / "store" / name).unlink()
    report = store.recover(copy)
    assert report.streams == {"s": 5}
    assert answer(store) == before


def test_a_damaged_catalogue_is_not_backed_up(store: Store, tmp_path: Path) -> None:
    store.close()
    import sqlite3

    with sqlite3.connect(tmp_path / "store/catalogue.sqlite") as connection:
        connection.execute("update items set body = zeroblob(40) where partition = 's/LOG' and sort like '%2'")
    connection.close()
    with pytest.raises(StoreError, match="the copy of the catalogue is damaged, and was discarded"):
        store.backup(tmp_path / "copy")
    assert names(tmp_path / "copy") == []


def test_an_older_catalogue_is_not_backed_up(store: Store, tmp_path: Path) -> None:
    """Its head beside it knows of a later commit; a copy with a head of its own would hide that."""
    copy = store.backup(tmp_path / "old").path
    ingest(store, 3)
    store.close()
    shutil.copyfile(copy, tmp_path / "store/catalogue.sqlite")
    with pytest.raises(StoreError, match=r"discarded.*commit 4 was acknowledged"):
        store.backup(tmp_path / "new")
    store.close()
    (tmp_path / "store/catalogue.sqlite-head").unlink()
    with pytest.raises(StoreError, match=r"catalogue\.sqlite-head is missing"):
        store.backup(tmp_path / "new")
    assert names(tmp_path / "new") == []


def test_an_empty_store_and_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    assert store.streams() == []
    assert str(store.backup(tmp_path / "copy")).splitlines()[1] == "  no streams"
    with pytest.raises(StoreError, match="there is no store here"):
        Store(tmp_path / "none").backup(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_disk_that_is_full(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runtime.upkeep.backup._sync", full)
    with pytest.raises(StoreError, match="cannot be written: No space left"):
        store.backup(tmp_path / "copy")
    assert names(tmp_path / "copy") == []


def test_a_store_in_s3(aws: None, tmp_path: Path) -> None:
    store = Store("s3://lake/one?table=fleet", create=True)
    ingest(store, 1)
    with pytest.raises(StoreError, match=r"table 'fleet'.*point-in-time recovery.*Restoring the catalogue"):
        store.backup(tmp_path / "copy")


def test_the_runbook_for_a_table(aws: None) -> None:
    """Its catalogue alone; moto restores a table's newest state. tests/stack/test_operations.py follows all of it."""
    store = Store("s3://lake/one", create=True)
    ingest(store, 1)
    ingest(store, 2)
    before = answer(store)
    table = boto3.client("dynamodb")
    table.update_continuous_backups(
        TableName="antfold", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    table.restore_table_to_point_in_time(
        SourceTableName="antfold", TargetTableName="antfold-restored", UseLatestRestorableTime=True
    )
    ingest(store, 3)  # after the moment
    restored = Store("s3://lake/one?table=antfold-restored")
    assert answer(restored) == before
    report = restored.verify()
    assert report.ok
    assert len(report.orphans) == 2
    made = table.create_backup(TableName="antfold-restored", BackupName="back")["BackupDetails"]["BackupArn"]
    table.delete_table(TableName="antfold")
    table.restore_table_from_backup(TargetTableName="antfold", BackupArn=made)
    again = Store("s3://lake/one")
    assert answer(again) == before
    # Its source is offered again, and counts once.
    ingest(again, 3)
    assert again.verify().ok
    assert again.query(df.stream("s").agg(n=df.count()), progress=False)["n"] == [6]
    # A sweep clears what the first time left.
    assert len(swept(again, 8 * DAY).removed) == 2


def test_the_command(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", store.url, str(tmp_path / "copy"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["commits"] == {"s": 3}
    assert printed["point_files_not_included"] == 6
    assert main(["backup", store.url, str(tmp_path / "copy")]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["backup", store.url, str(tmp_path / "copy"), "--force"]) == 0
    assert "the catalogue (" in capsys.readouterr().out
    assert main(["recover", store.url, "--from", str(tmp_path / "copy")]) == 0
