"""Failures of the catalogue file: each gives one clear error, and the catalogue stays intact."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.catalogue import FileEntry, SqliteCatalogue
from runtime.catalogue.key_value import (
    ConditionFailed,
    Get,
    KeyScan,
    OutcomeUnknown,
    Put,
    Query,
    Transact,
    WriteCondition,
)
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source

ROOT = Path(__file__).resolve().parents[3]


def test_another_process_does_not_let_go(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path, patience=0.05) as catalogue:
        add(catalogue, "a", D)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreError, match="locked by another process"):
            add(catalogue, "b", D)
        assert catalogue.snapshot("s").seq == 1  # readers do not wait
        other.execute("rollback")
        other.close()
        add(catalogue, "b", D)
        assert catalogue.audit("s") == []


def test_another_process_creates_it(tmp_path: Path) -> None:
    """SQLite's own patience does not cover the switch to the write-ahead log."""
    path = tmp_path / "catalogue.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        with pytest.raises(StoreError, match="locked by another process"):
            SqliteCatalogue(path, patience=0.05)
        threading.Timer(0.1, lambda: other.execute("rollback")).start()
        with SqliteCatalogue(path, patience=30) as catalogue:
            add(catalogue, "a", D)


def test_disk_full(tmp_path: Path) -> None:
    """A file that may not grow is SQLite's own disk-full: the commit is refused whole, and repeated with success."""
    with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
        add(catalogue, "a", D)
        table = catalogue.table
        assert isinstance(table, SqliteTable)
        assert table._connection is not None
        pages = table._connection.execute("pragma page_count").fetchone()[0]
        table._connection.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full"):
            add(catalogue, "b", *range(D, D + 300))
        assert catalogue.snapshot("s").seq == 1
        assert catalogue.audit("s") == []
        table._connection.execute("pragma max_page_count = 1000000")
        add(catalogue, "b", *range(D, D + 300))
        assert catalogue.snapshot("s").total_files == 301
        assert catalogue.audit("s") == []


def test_disk_full_after_the_commit(tmp_path: Path) -> None:
    """The log has the commit, the day index has no room: committed all the same, and readers see it."""
    with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
        add(catalogue, "a", D)
        table = catalogue.table
        assert isinstance(table, SqliteTable)
        real = table.transact

        def transact(request: Transact) -> None:
            if any(item.partition == "s/WM" for item in request.items):
                raise StoreError("the disk is full")
            real(request)

        table.transact = transact  # type: ignore[method-assign]
        expected = [*add(catalogue, "b", D, D + 1), *add(catalogue, "c", D)]
        assert [f for f in catalogue.snapshot("s").files if f.seq > 1] == sorted(expected, key=lambda f: (f.day, f.seq))
        table.transact = real  # type: ignore[method-assign]
        add(catalogue, "d", D)
        assert catalogue.snapshot("s").total_files == 5
        assert catalogue.audit("s") == []


def test_a_lost_reply(tmp_path: Path) -> None:
    """The outcome of the commit is not known: it is asked again, and was our own."""
    with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
        table = catalogue.table
        assert isinstance(table, SqliteTable)
        real, lost = table.transact, []

        def transact(request: Transact) -> None:
            real(request)
            if not lost:
                lost.append(1)
                raise OutcomeUnknown("no reply")

        table.transact = transact  # type: ignore[method-assign]
        add(catalogue, "a", D)
        assert lost
        assert catalogue.snapshot("s").total_files == 1
        assert catalogue.audit("s") == []


@pytest.mark.parametrize("size", [0, 1])
def test_garbage(tmp_path: Path, size: int) -> None:
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path) as catalogue:
        add(catalogue, "a", *range(D, D + 100))
    data = bytearray(path.read_bytes())
    if size == 0:
        data[:100] = b"x" * 100
    else:
        data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with (
        pytest.raises(StoreError, match=r"catalogue\.sqlite is damaged or not a catalogue"),
        SqliteCatalogue(path) as damaged,
    ):
        damaged.snapshot("s")


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path) as catalogue:
        add(catalogue, "a", *range(D, D + 100))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(StoreError, match="damaged"), SqliteCatalogue(path) as damaged:
        damaged.snapshot("s")


def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    other = sqlite3.connect(path)
    other.execute("create table x (y)")
    other.commit()
    other.close()
    with pytest.raises(StoreError, match="another program"):
        SqliteCatalogue(path)


def test_a_newer_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    SqliteCatalogue(path).close()
    other = sqlite3.connect(path)
    other.execute("pragma user_version = 9")
    other.close()
    with pytest.raises(StoreError, match=r"format 9.*update this program"):
        SqliteCatalogue(path)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").mkdir()
    with pytest.raises(StoreError, match=r"catalogue\.sqlite"):
        SqliteCatalogue(tmp_path / "catalogue.sqlite")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteCatalogue(tmp_path / "file" / "catalogue.sqlite")


READ_ONLY = """
import os, sys
from pathlib import Path
from runtime.catalogue import SqliteCatalogue
from runtime.errors import StoreError
from runtime.objects import FolderObjects
from runtime.testing.contracts.catalogue_contract import D, add
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
catalogue = SqliteCatalogue(folder / "catalogue.sqlite")
print(catalogue.snapshot("s").seq, len(catalogue.audit("s")))
for attempt in (
    lambda: add(catalogue, "b", D),
    lambda: SqliteCatalogue(folder / "open.sqlite"),
    lambda: SqliteCatalogue(folder / "new.sqlite"),
    lambda: SqliteCatalogue(folder / "other.sqlite"),
    lambda: FolderObjects(folder).put("data/s/x", b"1"),
    lambda: FolderObjects(folder).put("y", b"1"),
    lambda: FolderObjects(folder).delete("data/z"),
):
    try:
        attempt()
        print("no error")
    except StoreError as error:
        print(error)
print(FolderObjects(folder).read("data/z", 0, 1))
"""


def test_a_read_only_folder() -> None:
    """It can be read, unless its catalogue is in use. As another user, since root may write anywhere."""
    with tempfile.TemporaryDirectory() as name, SqliteCatalogue(Path(name) / "open.sqlite") as in_use:
        folder = Path(name)
        with SqliteCatalogue(folder / "catalogue.sqlite") as catalogue:
            add(catalogue, "a", D)
        add(in_use, "a", D)
        # Which users may not even look at, so that they cannot tell what it is worth.
        (folder / "open.sqlite-shm").chmod(0o000)
        with closing(sqlite3.connect(folder / "other.sqlite")) as other:
            other.execute("create table x (y)")
        (folder / "data").mkdir()
        (folder / "data" / "z").write_text("1")
        (folder / "data").chmod(0o555)
        folder.chmod(0o555)
        try:
            done = subprocess.run(
                [sys.executable, "-c", READ_ONLY, name],
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=False,
            )
        finally:
            folder.chmod(0o755)
            (folder / "data").chmod(0o755)
        lines = done.stdout.splitlines()
        assert done.returncode == 0, done.stderr
        assert lines[0] == "1 0"
        for line, words in zip(
            lines[1:],
            [
                "catalogue.sqlite cannot be opened for writing",
                "open.sqlite has a log beside it",
                "new.sqlite cannot be opened for writing",
                "other.sqlite is a database of another program",
                *["permission denied or read-only"] * 3,
                "b'1'",
            ],
            strict=True,
        ):
            assert words in line


def test_a_write_while_a_read_only_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = SqliteTable(tmp_path / "t.sqlite")
    table.transact(Transact([Put("p", "a", b"0")]))
    table.close()
    monkeypatch.setattr(table, "_as_it_lies", True)
    assert table.query(Query("p")) == [("a", 0, b"0")]
    with pytest.raises(StoreError, match="written to while it was read"), table._open():
        os.utime(table.path, ns=(1, 1))
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        table.transact(Transact([Put("p", "s", b"1")]))


class TestTable:
    """Conditions and queries of the table itself."""

    @pytest.fixture
    def table(self, tmp_path: Path) -> Iterator[SqliteTable]:
        table = SqliteTable(tmp_path / "t.sqlite")
        yield table
        table.close()

    def test_conditions(self, table: SqliteTable) -> None:
        def put(when: WriteCondition, bound: int = 0, number: int = 0) -> None:
            table.transact(Transact([Put("p", "s", b"%d" % number, when, bound, number)]))

        with pytest.raises(ConditionFailed):
            put(WriteCondition.EQUAL, 0)
        put(WriteCondition.BELOW, 0, 5)
        for when, bound in ((WriteCondition.ABSENT, 0), (WriteCondition.BELOW, 5), (WriteCondition.EQUAL, 4)):
            with pytest.raises(ConditionFailed):
                put(when, bound, 9)
        put(WriteCondition.BELOW, 6, 6)
        put(WriteCondition.EQUAL, 6, 7)
        put(WriteCondition.ALWAYS, 0, 8)
        assert table.get(Get("p", "s")) == (8, b"8")

    def test_all_or_nothing(self, table: SqliteTable) -> None:
        table.transact(Transact([Put("p", "b", b"0", WriteCondition.ABSENT)]))
        with pytest.raises(ConditionFailed) as caught:
            table.transact(Transact([Put("p", x, b"1", WriteCondition.ABSENT) for x in "abc"]))
        assert caught.value.failed == (1,)
        assert table.query(Query("p")) == [("b", 0, b"0")]
        with pytest.raises(StoreError, match="over the limit"):
            table.transact(Transact([Put("p", str(i), b"") for i in range(101)]))

    def test_ranges(self, table: SqliteTable) -> None:
        rows = [(x, 0, x.encode() + bytes(range(256))) for x in ("a", "b", "b1", "c")]
        table.transact(Transact([Put("p", sort, body) for sort, _, body in rows]))
        assert table.query(Query("p", "b", "c")) == rows[1:3]
        assert table.query(Query("p", last=True)) == rows[3:]
        assert table.query(Query("p", "a", "b", last=True)) == rows[:1]
        assert table.query(Query("q", last=True)) == []
        for low, high in (("", "z"), ("b", "c"), ("x", "z")):
            for head in (0, 3, 10_000):
                scan = KeyScan(Query("p", low, high), head)
                assert table.scan(scan) == scan.split(table.query(scan.query))

    def test_after_close(self, table: SqliteTable) -> None:
        table.transact(Transact([Put("p", "s", b"1")]))
        table.close()
        assert table.get(Get("p", "s")) == (0, b"1")
        table.close()

    def test_a_failed_request_leaves_no_transaction(self, table: SqliteTable) -> None:
        """Many threads, each read-modify-write under a condition: no increment is lost."""

        def work() -> None:
            for _ in range(20):
                while True:
                    found = table.get(Get("p", "n"))
                    n = 0 if found is None else int(found[1])
                    when = WriteCondition.ABSENT if found is None else WriteCondition.EQUAL
                    try:
                        table.transact(Transact([Put("p", "n", b"%d" % (n + 1), when, n, n + 1)]))
                        break
                    except ConditionFailed:
                        continue

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert table.get(Get("p", "n")) == (80, b"80")
        table.close()


def test_a_file_entry_is_kept_as_given(tmp_path: Path) -> None:
    """Extremes of every field survive the log, and the day index."""
    with SqliteCatalogue(tmp_path / "c.sqlite") as catalogue:
        file = files("s", "a", D)[0]
        extreme = FileEntry(
            file.path, D, 2**62, 2**62, file.t_min, file.t_max, "f" * 64, 2**40, 2**40, {"ä\n\"'": 2**50, "": 0}, 0, 0
        )
        catalogue.commit("s", SCHEMA, source("a"), [extreme], "a")
        (found,) = catalogue.snapshot("s").files
        assert (found.rows, found.bytes, found.nulls) == (2**62, 2**62, {"ä\n\"'": 2**50, "": 0})
        assert (found.keys, found.dropped, found.sha256) == (2**40, 2**40, "f" * 64)


FORK = """
import os, sys
from pathlib import Path
from runtime.catalogue import SqliteCatalogue
from runtime.testing.contracts.catalogue_contract import D, add
with SqliteCatalogue(Path(sys.argv[1])) as catalogue:
    add(catalogue, "before", D)
    children = []
    for i in range(3):
        child = os.fork()
        if child == 0:
            for k in range(5):
                add(catalogue, f"{i} {k}", D)
            os._exit(0)
        children.append(child)
    for k in range(5):
        add(catalogue, f"parent {k}", D)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert catalogue.snapshot("s").sources == 21
    assert catalogue.audit("s") == []
    print("done")
"""


def test_a_fork(tmp_path: Path) -> None:
    """A forked worker opens the file for itself: a connection of SQLite must not be shared with the parent."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "c.sqlite")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
