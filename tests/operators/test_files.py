"""Regular files: anything else in their place is an error at once, and writes are all or nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from operators import files


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is short enough for a socket's name, given by way of the working folder."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield Path()
    os.chdir(before)


@pytest.mark.parametrize("read", [files.open_regular, files.reader, files.read_bytes, files.read_text])
@pytest.mark.parametrize(
    ("make", "kind", "what"),
    [
        (make_fifo, files.NotAFile, "it is a FIFO, not a file"),
        (make_socket, files.NotAFile, "it is a socket, not a file"),
        (make_device, files.NotAFile, "it is a device, not a file"),
        (Path.mkdir, IsADirectoryError, "it is a folder, not a file"),
    ],
    ids=["fifo", "socket", "device", "folder"],
)
def test_what_is_no_file_is_refused_at_once(
    short: Path, read: Callable[[Path], Any], make: Callable[[Path], None], kind: type[OSError], what: str
) -> None:
    make(short / "x")
    with pytest.raises(kind, match=what) as found:
        read(short / "x")
    assert found.value.filename == "x"
    with pytest.raises(kind, match=what):
        files.check_regular(short / "x")


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("ä\r\nb".encode())
    (tmp_path / "link").symlink_to("x")
    for name in ("x", "link"):
        assert files.read_bytes(tmp_path / name) == "ä\r\nb".encode()
        assert files.read_text(tmp_path / name) == "ä\nb"
        files.check_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "y")
    files.check_regular(tmp_path / "y")


@pytest.mark.parametrize("make", [make_fifo, make_device, Path.mkdir, lambda path: (path / "in").mkdir(parents=True)])
def test_whatever_stands_there_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    files.put(b"right", tmp_path / "x")
    assert files.read_bytes(tmp_path / "x") == b"right"
    assert not (tmp_path / "x").is_symlink()


def test_what_is_replaced_stays_for_those_who_have_it_open(tmp_path: Path) -> None:
    files.put(b"first", tmp_path / "x")
    with files.reader(tmp_path / "x") as file:
        files.put(b"second", tmp_path / "x")
        assert file.read() == b"first"
