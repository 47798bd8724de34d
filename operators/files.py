"""Regular files: read without blocking on anything else, and written durably.

Opening a FIFO waits for its other end, reading a terminal waits for input, and a device may never end. Every expected
file is opened here; anything that is not a regular file is an immediate error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from operators.errors import Portable

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""


class NotAFile(Portable, OSError):
    """A FIFO, socket or device in place of a regular file."""


def open_regular(path: str | os.PathLike[str]) -> int:
    """A file descriptor of the regular file, for reading.

    NotAFile for a FIFO, socket or device, IsADirectoryError for a folder, any other OSError as ``os.open`` raises it.
    """
    try:
        # With O_NONBLOCK a FIFO without a writer opens at once; for regular files the flag has no effect.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # raised for a socket
            check_regular(path)
        raise
    try:
        _check(os.fstat(number), path)
    except BaseException:
        os.close(number)
        raise
    return number


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise like ``open_regular`` if the path exists and is not a regular file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        _check(os.stat(path), path)


def _check(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFREG:
        return
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", os.fspath(path))
    raise NotAFile(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", os.fspath(path))


def reader(path: str | os.PathLike[str]) -> io.BufferedReader:
    """The regular file as a binary file object; errors as ``open_regular``."""
    return os.fdopen(open_regular(path), "rb")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of the regular file; errors as ``open_regular``."""
    with reader(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of the regular file, with line ends as ``\\n``; errors as ``open_regular``, and UnicodeDecodeError."""
    with io.TextIOWrapper(reader(path), encoding=encoding) as file:
        return file.read()


def put(data: bytes, path: Path) -> None:
    """Write a file durably and atomically; of two concurrent writers, either wins.

    An existing file is replaced, never written into: a process may have it mapped. A folder is moved aside. OSError if
    the file cannot be written; nothing is left of it then.
    """
    import secrets  # imported here: these two take too long to import for a cached query
    import tempfile

    temporary, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(temporary)
        try:
            os.replace(name, path)
        except IsADirectoryError:
            os.replace(path, path.with_name(f".damaged-{secrets.token_hex(8)}"))
            os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    sync_folder(path.parent)


def _put_in_place(new: Path, path: Path, replace: bool) -> None:
    if not replace:
        try:
            os.link(new, path)  # fails if another process made one meanwhile
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", os.fspath(path))
    os.replace(new, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def whole_file(path: Path, replace: bool) -> Iterator[BinaryIO]:
    """A file to write, which appears at ``path`` durably and at once when the block ends, and not at all if it fails.

    FileExistsError if there is one already, unless ``replace``; then it is replaced. Any other OSError if it cannot be
    written.
    """
    import secrets

    path = path.resolve()
    if path.exists() and not replace:
        raise FileExistsError(errno.EEXIST, "it exists already", os.fspath(path))
    check_regular(path)
    new = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.new")
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        _put_in_place(new, path, replace)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
    sync_folder(path.parent)
