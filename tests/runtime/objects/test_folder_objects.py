"""Objects in a folder: durability, crashes, and errors of the file system."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from runtime.errors import StoreError
from runtime.objects import FileMissing, FolderObjects


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store", open_files=4)


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_order_of_a_put(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are synced before they get their name, and the folder after it: else a crash could lose either."""
    objects.put("a/first", b"1")
    calls: list[str] = []
    link, fsync = os.link, os.fsync

    def noted_link(source: Path, target: Path) -> None:
        calls.append("link")
        link(source, target)

    def noted_fsync(number: int) -> None:
        calls.append("sync folder" if os.path.isdir(f"/proc/self/fd/{number}") else "sync file")
        fsync(number)

    monkeypatch.setattr("os.link", noted_link)
    monkeypatch.setattr("os.fsync", noted_fsync)
    monkeypatch.setattr("runtime.objects.folder_objects._FULL_SYNC", None)
    objects.put("a/b", b"1")
    if os.path.isdir("/proc/self/fd"):
        assert calls == ["sync file", "link", "sync folder"]
    else:
        assert calls.index("link") == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_disk_full(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    objects.put("a/first", b"1")

    def full(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"os.{call}", full)
    monkeypatch.setattr("runtime.objects.folder_objects._FULL_SYNC", None)
    with pytest.raises(StoreError, match=r"cannot write 'a/b'.*full.*free space"):
        objects.put("a/b", b"12345")
    monkeypatch.undo()
    assert names(objects.root) == ["a/first"]
    objects.put("a/b", b"12345")
    assert names(objects.root) == ["a/b", "a/first"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "input/output error"),
        (errno.EMFILE, "too many open files"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_other_refusals(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch, code: int, message: str) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    objects.put("a", b"1")
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(StoreError, match=message):
        objects.put("b", b"1")
    with pytest.raises(StoreError, match=message):
        objects.read("a", 0, 1)


def test_short_writes_and_reads_go_on(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take or give less than asked for."""
    write, pread = os.write, os.pread
    monkeypatch.setattr("os.write", lambda number, data: write(number, bytes(data[:3])))
    objects.put("a", b"1234567890")
    monkeypatch.setattr("os.pread", lambda number, length, offset: pread(number, min(length, 4), offset))
    assert objects.read("a", 0, 10) == b"1234567890"
    assert objects.read("a", 1, 8) == b"23456789"
    with pytest.raises(StoreError, match="ends after 10 bytes"):
        objects.read("a", 1, 10)


def test_too_many_open_files_empties_the_cache(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        objects.put(f"f{i}", b"%d" % i)
    for i in range(4):
        objects.read(f"f{i}", 0, 1)
    real, refused = os.open, []

    def scarce(path: str, flags: int, mode: int = 0o777) -> int:
        if not refused:
            refused.append(path)
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, mode)

    monkeypatch.setattr("os.open", scarce)
    assert objects.read("f4", 0, 1) == b"4"
    assert refused


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_the_cache_of_open_files_is_bounded(objects: FolderObjects) -> None:
    for i in range(20):
        objects.put(f"f{i}", b"1")
    before = len(os.listdir("/proc/self/fd"))
    for i in range(20):
        objects.read(f"f{i}", 0, 1)
    assert len(os.listdir("/proc/self/fd")) == before + 4


def test_left_overs_of_a_crash_do_not_show(objects: FolderObjects) -> None:
    objects.put("a/b", b"1")
    (objects.root / "a" / ".part-0123").write_bytes(b"half")
    (objects.root / ".DS_Store").write_bytes(b"x")
    (objects.root / "not ours").write_bytes(b"x")
    assert [o.path for o in objects.list("")] == ["a/b"]


def test_files_in_the_place_of_folders(objects: FolderObjects) -> None:
    objects.put("a", b"1")
    objects.put("d/e", b"1")
    for path in ("a/b", "d"):
        with pytest.raises(StoreError, match=r"exists with other content|a file is where"):
            objects.put(path, b"1")
    with pytest.raises(StoreError, match="a file is where"):
        objects.read("d", 0, 1)
    with pytest.raises(StoreError):
        objects.read("a/b", 0, 1)
    objects.delete("a/b")
    assert [o.path for o in objects.list("a/")] == []


def test_a_truncated_file(objects: FolderObjects) -> None:
    objects.put("a", b"1234567890")
    assert objects.read("a", 5, 5) == b"67890"
    with open(objects.root / "a", "r+b") as file:
        file.truncate(7)
    with pytest.raises(StoreError, match="truncated"):
        objects.read("a", 5, 5)


def test_an_empty_store(objects: FolderObjects) -> None:
    assert list(objects.list("")) == []
    assert list(objects.list("data/")) == []
    objects.delete("x")
    with pytest.raises(FileMissing, match="dataflow verify"):
        objects.size("x")
    assert not objects.root.exists()


def test_old_temporary_files_go(objects: FolderObjects) -> None:
    """Those that a killed put left, once they are old: nothing else, whatever its name looks like."""
    objects.put("data/s/x", b"1")
    left = f".part-{'0f' * 16}"
    old = [objects.root / left, objects.root / "data/s" / left, objects.root / f"catalogue.sqlite-head{left}"]
    others = [
        objects.root / "data/s" / f".part-{'1e' * 16}",  # being written
        objects.root / "data" / ".part-of-a-film",
        objects.root / "data" / f"{left}.points",
        objects.root / ".hidden" / left,
    ]
    others[-1].parent.mkdir()
    for path in (*old, *others):
        path.write_bytes(b"half")
    (objects.root / "data" / left).symlink_to(others[1])
    for path in (*old, *others[1:]):
        os.utime(path, (1_000, 1_000))
    os.utime(others[0], (2_000, 2_000))
    shown = sorted(str(path.relative_to(objects.root)) for path in old)
    before = names(objects.root)
    assert sorted(o.path for o in objects.discard_temporary(1_500_000_000, dry_run=True)) == shown
    assert names(objects.root) == before
    assert sorted(o.path for o in objects.discard_temporary(1_500_000_000)) == shown
    assert names(objects.root) == sorted(set(before) - set(shown))
    assert objects.read("data/s/x", 0, 1) == b"1"


def test_a_temporary_file_that_cannot_go(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put("a", b"1")
    (objects.root / f".part-{'0f' * 16}").write_bytes(b"half")

    def refused(path: object, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StoreError, match=r"cannot delete '\.part-.*permission denied"):
        objects.discard_temporary(1 << 62)


def test_empty_folders_go_with_their_last_object(objects: FolderObjects) -> None:
    objects.put("data/a/1", b"x")
    objects.put("data/a/2", b"x")
    objects.delete("data/a/1")
    assert (objects.root / "data/a").is_dir()
    objects.delete("data/a/2")
    assert not (objects.root / "data/a").exists()
    assert (objects.root / "data").is_dir()
    objects.put("top", b"x")
    objects.delete("top")
    assert objects.root.is_dir()


def test_a_folder_that_goes_while_it_is_written_to_is_made_anew(objects: FolderObjects) -> None:
    """Puts into a folder beside deletes that empty it."""
    failures: list[Exception] = []

    def write(name: str) -> None:
        try:
            for n in range(100):
                objects.put(f"data/a/{name}{n}", b"x")
                objects.delete(f"data/a/{name}{n}")
        except Exception as error:  # it would be lost with its thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "bcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(objects.list("")) == []
