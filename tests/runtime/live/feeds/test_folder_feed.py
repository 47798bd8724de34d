"""A watched folder: files that grow, are renamed, cut off, copied or unfinished; each record exactly once."""

from __future__ import annotations

import errno
import gzip
import os
import random
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Store
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import FileInput
from runtime.live.feeds import alike_files
from runtime.live.feeds.file_place import FoundFile
from runtime.live.feeds.folder_files import FolderFiles
from tests.runtime.live.feeds.watched import STREAM, Watch, lines, numbers_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_file_that_grows(store: Store, landing: Path) -> None:
    watch, log = Watch(store, landing), landing / "a.log"
    assert watch.look() == []
    log.write_text(lines(1, 2))
    assert watch.look() == [("ingested", 2)]
    assert watch.look() == []
    append(log, lines(3) + lines(4)[:9])  # in the midst of a line
    assert watch.look() == [("ingested", 1)]
    append(log, lines(4)[9:])
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4]
    assert Watch(store, landing).look() == []  # another process goes on there
    append(log, lines(5))
    assert Watch(store, landing).look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("at", range(12))
def test_a_file_that_is_rotated_while_it_is_read(
    store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    log, usual, left = landing / "a.log", FolderFiles.read, [at]
    log.write_text(lines(1, 2))
    Watch(store, landing).look()
    append(log, lines(3))

    def read(place: FolderFiles, found: FoundFile, begin: int, size: int) -> bytes:
        if not left[0]:
            log.rename(landing / "a.old")
            log.write_text(lines(*range(4, 14)))
        left[0] -= 1
        return usual(place, found, begin, size)

    monkeypatch.setattr(FolderFiles, "read", read)
    watch = Watch(store, landing)
    watch.look(2)
    append(landing / ("a.old" if left[0] < 0 else "a.log"), lines(14))
    watch.look()
    Watch(store, landing).look(2)
    assert numbers_in(store) == [*range(1, 4), *(range(4, 14) if left[0] < 0 else ()), 14]


def test_a_whole_file_whose_name_another_takes(store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is read in its place is not taken for it: it is read under its new name."""
    name, usual = landing / "a.json.gz", FolderFiles.whole
    name.write_bytes(gzip.compress(lines(1).encode()))

    def whole(place: FolderFiles, found: FoundFile) -> FileInput:
        if not (landing / "b.json.gz").exists():
            name.rename(landing / "b.json.gz")
            name.write_bytes(gzip.compress(lines(2).encode()))
        return usual(place, found)

    monkeypatch.setattr(FolderFiles, "whole", whole)
    watch = Watch(store, landing)
    for _ in range(4):
        watch.look()
        watch.now += 20
    assert numbers_in(store) == [1, 2]


def test_a_last_line_without_an_end(store: Store, landing: Path) -> None:
    watch = Watch(store, landing)
    (landing / "a.ndjson").write_text(lines(1, 2).rstrip("\n"))
    assert watch.look(5) == [("ingested", 1)]
    assert watch.look(10) == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


def test_a_first_line_that_pauses_before_its_end(store: Store, landing: Path) -> None:
    log = landing / "a.ndjson"
    log.write_text(lines(1).rstrip("\n"))
    watch = Watch(store, landing)
    assert watch.look(12) == [("ingested", 1)]
    append(log, "\n" + lines(2))
    assert Watch(store, landing).look(12) == [("ingested", 1)]
    assert watch.look(12) == []
    assert Watch(store, landing).look(12) == []
    shutil.copy(log, landing / "copy.ndjson")
    watch = Watch(store, landing)
    assert watch.look(12) == []
    append(log, lines(3))
    assert watch.look(12) == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3]


def test_half_of_a_json_record_is_waited_for(store: Store, landing: Path) -> None:
    log = landing / "a.ndjson"
    log.write_text(lines(1) + lines(2)[:12])
    watch = Watch(store, landing)
    assert watch.look(30) == [("ingested", 1)]
    append(log, lines(2)[12:])
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


def test_a_file_that_cannot_be_opened_does_not_stop_the_others(
    store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("a.ndjson", 1), ("b.ndjson", 2), ("c.ndjson", 3)):
        (landing / name).write_text(lines(number))
    real, closed = FolderFiles.read, {"b.ndjson"}

    def read(place: FolderFiles, found: FoundFile, at: int, size: int) -> bytes:
        if Path(found.path).name in closed:
            raise PermissionError(errno.EACCES, "Permission denied", found.path)
        return real(place, found, at, size)

    monkeypatch.setattr(FolderFiles, "read", read)
    watch = Watch(store, landing)
    assert watch.look() == [("ingested", 1), ("unreadable", 0), ("ingested", 1)]
    assert watch.reports[1].error == f"{landing / 'b.ndjson'} cannot be read: Permission denied"
    assert watch.look(12) == []  # it is said once
    closed.clear()
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3]


def test_a_log_that_is_rotated(store: Store, landing: Path) -> None:
    log, old = landing / "app.log", landing / "app.log.1"
    log.write_text(lines(1, 2))
    Watch(store, landing).look()
    append(log, lines(3))
    log.rename(old)  # while nobody looks
    log.write_text(lines(10))
    watch = Watch(store, landing)
    assert sorted(watch.look()) == [("ingested", 1), ("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 10]
    append(log, lines(11))
    old.rename(landing / "app.log.2")
    log.rename(old)
    log.write_text(lines(20))
    assert sorted(watch.look()) == [("ingested", 1), ("ingested", 1)]  # while it is looked at
    for _ in range(3):
        assert Watch(store, landing).look() == []
    assert numbers_in(store) == [1, 2, 3, 10, 11, 20]


def test_a_log_that_is_copied_and_cut_off(store: Store, landing: Path) -> None:
    log = landing / "app.log"
    log.write_text(lines(1, 2, 3))
    watch = Watch(store, landing)
    watch.look()
    shutil.copy(log, landing / "app.log.1")
    os.truncate(log, 0)
    append(log, lines(4))
    assert watch.look(2) == [("ingested", 1)]
    assert Watch(store, landing).look() == []
    assert numbers_in(store) == [1, 2, 3, 4]


def test_a_file_that_is_written_anew_with_more_in_it(store: Store, landing: Path) -> None:
    log = landing / "app.log"
    log.write_text(lines(1, 2))
    watch = Watch(store, landing)
    watch.look()
    with log.open("r+") as file:
        file.write(lines(7, 8, 9))
    assert watch.look() == [("ingested", 3)]
    assert numbers_in(store) == [1, 2, 7, 8, 9]


def test_csv_pieces_have_the_header(store: Store, landing: Path) -> None:
    table = landing / "a.csv"
    table.write_text('k,t,n,s\na,1,1,"x\ny"\n')
    watch = Watch(store, landing)
    assert watch.look() == [("ingested", 1)]
    append(table, 'a,2,2,"p\n')
    assert watch.look() == []
    append(table, 'q"\na,3,3,z\n')
    assert watch.look() == [("ingested", 2)]
    append(table, "a,4,4,z\n")
    assert Watch(store, landing).look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4]
    assert store.head(STREAM)["s"] == ["x\ny", "p\nq", "z", "z"]


def test_pieces_of_csv_are_read_like_its_beginning(store: Store, landing: Path) -> None:
    # A blank follows every separator of the first rows, so that blanks are no part of values; and the tabs of a later
    # row are none.
    table = landing / "a.csv"
    table.write_text("k, t, n, s\na, 1, 1, x\na, 2, 2, y\n")
    watch = Watch(store, landing)
    watch.look()
    append(table, "a,3,3, x\n")
    watch.look()
    append(table, 'a, 4, 4,"p;q\tr"\n')
    Watch(store, landing).look()
    assert numbers_in(store) == [1, 2, 3, 4]
    assert store.head(STREAM)["s"] == ["x", "y", "x", "p;q\tr"]


@pytest.mark.parametrize("lead", ["sep=,\n", "# made by a logger\n", "\n"])
def test_csv_that_does_not_begin_with_its_header_is_taken_as_a_whole(store: Store, landing: Path, lead: str) -> None:
    watch = Watch(store, landing)
    (landing / "a.csv").write_text(f"{lead}k,t,n\na,1,1\na,2,2\n")
    assert watch.look(9) == []
    assert watch.look(3) == [("ingested", 2)]
    assert numbers_in(store) == [1, 2]


def test_what_cannot_be_cut_is_taken_as_a_whole(store: Store, landing: Path) -> None:
    watch = Watch(store, landing)
    (landing / "a.json").write_text('[{"k": "a", "t": 1, "n": 1},\n {"k": "a", "t": 2, "n": 2}]')
    (landing / "b.ndjson.gz").write_bytes(gzip.compress(lines(3).encode()))
    assert watch.look(9) == []
    assert sorted(watch.look(3)) == [("ingested", 1), ("ingested", 2)]
    assert Watch(store, landing).look(12) == []
    assert numbers_in(store) == [1, 2, 3]


def test_a_long_line_that_is_being_written_is_new(store: Store, landing: Path) -> None:
    log = landing / "a.log"
    long = '{"k": "a", "t": 2, "n": 2, "text": "' + "x" * 100_000
    log.write_text(lines(1) + long)
    watch = Watch(store, landing, start="end")
    assert watch.look() == [("ingested", 0)]
    append(log, '"}\n')
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [2]


def test_a_whole_file_that_grows_does_not_count_twice(store: Store, landing: Path) -> None:
    packed, snapshot = landing / "a.ndjson.gz", landing / "latest.json"
    packed.write_bytes(gzip.compress(lines(1).encode()))
    snapshot.write_text('[{"k": "a", "t": 2, "n": 2}]')
    watch = Watch(store, landing)
    assert sorted(watch.look(12)) == [("ingested", 1), ("ingested", 1)]
    with packed.open("ab") as file:
        file.write(gzip.compress(lines(3).encode()))
    snapshot.write_text('[{"k": "a", "t": 4, "n": 4}]')  # another one of the same name
    watch = Watch(store, landing)
    assert sorted(watch.look(12)) == [("failed", 0), ("ingested", 1)]
    assert numbers_in(store) == [1, 2, 4]
    (aside,) = store.quarantined(STREAM)
    assert "has grown since" in str(aside.entry.quarantined)
    store.ingest(STREAM, str(packed), replace=True, progress=False)
    assert numbers_in(store) == [1, 2, 3, 4]
    assert Watch(store, landing).look(12) == []


def test_names_of_unfinished_files_are_waited_for(store: Store, landing: Path) -> None:
    watch = Watch(store, landing)
    for name in (".a.ndjson", "b.ndjson.part", "c.tmp"):
        (landing / name).write_text(lines(1))
    assert watch.look(12) == []
    (landing / "b.ndjson.part").rename(landing / "b.ndjson")
    assert watch.look() == [("ingested", 1)]


def test_what_was_ingested_or_is_a_copy_counts_once(store: Store, landing: Path) -> None:
    (landing / "a.ndjson").write_text(lines(1, 2))
    store.ingest(STREAM, str(landing / "a.ndjson"), key="k", time="t", unit="s", progress=False)
    watch = Watch(store, landing)
    assert watch.look() == [("ingested", 0)]
    shutil.copy(landing / "a.ndjson", landing / "b.ndjson")
    watch.look()
    append(landing / "a.ndjson", lines(3))
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3]


def test_from_the_end(store: Store, landing: Path) -> None:
    log = landing / "a.log"
    log.write_text(lines(1, 2) + lines(3)[:5])
    (landing / "b.json").write_text("[]")
    watch = Watch(store, landing, start="end")
    assert watch.look(2) == [("ingested", 0)]
    append(log, lines(3)[5:])
    (landing / "c.log").write_text(lines(4))
    assert Watch(store, landing, start="end").look(1) == [("ingested", 1), ("ingested", 0)]
    append(log, lines(5))
    assert watch.look(2)[-1] == ("ingested", 1)
    assert numbers_in(store) == [3, 5]


def test_what_cannot_be_read_is_set_aside(store: Store, landing: Path) -> None:
    watch = Watch(store, landing)
    (landing / "a.ndjson").write_text(lines(1))
    watch.look()
    (landing / "b.parquet").write_bytes(b"PAR1 and no more")
    (landing / "c.ndjson").write_text('{"k": "a"}\n{"k": "a"}\n')  # all are rejected, and it goes on
    assert sorted(watch.look(12)) == [("failed", 0), ("ingested", 0)]
    append(landing / "c.ndjson", lines(2))
    assert watch.look() == [("ingested", 1)]
    assert len(store.quarantined(STREAM)) == 1
    assert [rejected.entry.rejected for rejected in store.rejects(STREAM)] == [2]
    assert Watch(store, landing).look(12) == []


def test_a_first_file_that_cannot_be_read_is_an_error(store: Store, landing: Path) -> None:
    (landing / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(IngestError, match=r"--key|column"):
        Watch(store, landing).look(12)
    assert store.catalogue.streams() == []


def test_two_at_once(store: Store, landing: Path) -> None:
    log = landing / "a.log"
    log.write_text(lines(1))
    one, two = Watch(store, landing), Watch(store, landing)
    one.look()
    two.look()
    for n in range(2, 12):
        append(log, lines(n))
        random.Random(n).choice([one, two]).look()
    one.look(2)
    two.look(2)
    assert numbers_in(store) == list(range(1, 12))


def test_many_files_that_begin_alike(store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike_files, "MOST_ALIKE", 3)
    watch = Watch(store, landing)
    for n in range(6):  # files that are gone are forgotten
        log = landing / f"{n}.log"
        log.write_text(lines(0, 10 + n))
        watch.look()
        if n < 4:
            log.unlink()
    assert Watch(store, landing).look() == []
    assert numbers_in(store) == sorted([0] * 6 + list(range(10, 16)))
    (landing / "6.log").write_text(lines(0, 16))
    watch.look()
    (landing / "7.log").write_text(lines(0, 17))
    with pytest.raises(IngestError, match="more than 3 files begin with the same record"):
        watch.look()


def test_a_header_of_many_bytes(store: Store, landing: Path) -> None:
    names = [f"column_{n}" for n in range(9_000)]
    table = landing / "wide.csv"
    table.write_text(",".join(["k", "t", "n", *names]) + "\n" + "a,1,1" + ",7" * len(names) + "\n")
    watch = Watch(store, landing, columns="n")
    assert watch.look() == [("ingested", 1)]
    append(table, "a,2,2" + ",7" * len(names) + "\n")
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["write", "half", "begin", "rotate", "truncate", "copy", "look", "restart", "whole",
                               "pause"]),
              st.integers(0, 2)),
    max_size=25,
)  # fmt: skip


@settings(max_examples=40)
@given(EVENTS)
def test_each_record_exactly_once(tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]) -> None:
    folder = tmp_path_factory.mktemp("watched")
    landing, next_number = folder / "landing", iter(range(1, 10_000))
    landing.mkdir()
    written: list[int] = []
    with Store(folder / "store", create=True) as store:
        watch = Watch(store, landing)
        for kind, which in events:
            log = landing / f"{which}.log"
            if kind == "write":
                numbers = [next(next_number), next(next_number)]
                append(log, lines(*numbers))
                written += numbers
            elif kind == "half":
                number = next(next_number)
                for part in (lines(number)[:9], lines(number)[9:]):
                    append(log, part)
                    watch.look()
                written.append(number)
            elif kind == "pause":
                number = next(next_number)
                append(log, lines(number).rstrip("\n"))
                watch.look(13)
                append(log, "\n")
                written.append(number)
            elif kind == "begin" and not log.exists():
                log.write_text("")
            elif kind == "rotate" and log.exists():
                for n in (2, 1):
                    if (old := landing / f"{which}.log.{n}").exists():
                        old.rename(landing / f"{which}.log.{n + 1}")
                if not (landing / f"{which}.log.3").exists():
                    log.rename(landing / f"{which}.log.1")
                else:
                    watch.look()  # what goes was read
                    (landing / f"{which}.log.3").unlink()
                    log.rename(landing / f"{which}.log.1")
            elif kind == "truncate" and log.exists():
                watch.look()
                os.truncate(log, 0)
                watch.look()
            elif kind == "copy" and log.exists():
                watch.look()
                shutil.copy(log, landing / f"{which}.copy")
                watch.look()
                (landing / f"{which}.copy").unlink()
            elif kind == "whole":
                number = next(next_number)
                (landing / f"{number}.json").write_text(f'[{{"k": "a",\n "t": {number}, "n": {number}}}]')
                written.append(number)
            elif kind == "restart":
                watch = Watch(store, landing)
            else:
                watch.look()
        watch.look(13)
        assert numbers_in(store) == sorted(written)
        assert Watch(store, landing).look(13) == []
        assert numbers_in(store) == sorted(written)


def test_an_archive_of_several_files(store: Store, landing: Path) -> None:
    with zipfile.ZipFile(landing / "a.zip", "w") as archive:
        archive.writestr("1.ndjson", lines(1, 2))
        archive.writestr("2.ndjson", lines(3))
        archive.writestr("3.ndjson", lines(4))
    watch = Watch(store, landing)
    assert sorted(watch.look(12)) == [("ingested", 1), ("ingested", 1), ("ingested", 2)]
    assert watch.look() == []
    assert {status for status, _ in Watch(store, landing).look(12)} <= {"already ingested"}
    assert numbers_in(store) == [1, 2, 3, 4]


def test_a_file_that_goes_before_it_is_read(store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole, between the look that finds it and the ingest: others go on, and it is read once it is back."""
    whole = FolderFiles.whole
    (landing / "a.json.gz").write_bytes(gzip.compress(lines(1).encode()))
    (landing / "b.json.gz").write_bytes(gzip.compress(lines(2).encode()))

    def gone(self: FolderFiles, found: FoundFile) -> FileInput:
        given = whole(self, found)
        return Vanishing(given.path, given.name) if given.path.name == "a.json.gz" else given

    monkeypatch.setattr(FolderFiles, "whole", gone)
    watch = Watch(store, landing)
    assert watch.look(12) == [("ingested", 1)]
    assert watch.look(12) == []
    assert numbers_in(store) == [2]
    monkeypatch.setattr(FolderFiles, "whole", whole)
    (landing / "a.json.gz").write_bytes(gzip.compress(lines(1).encode()))
    assert watch.look(12) == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


class Vanishing(FileInput):
    """A file that is gone when it is to be ingested."""

    def digest(self) -> tuple[str, tuple[int, int, int, int]]:
        self.path.unlink(missing_ok=True)
        return super().digest()
