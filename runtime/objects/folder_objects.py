"""Objects as files below one local folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from operators import forking
from operators.files import NotAFile, check_regular, open_regular, read_bytes, sync_folder
from runtime.errors import StoreError
from runtime.objects.object_store import FileMissing, ObjectInfo, check_path, check_range

_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache

_TRIES = 20
"""How often a folder is made anew that a delete removes."""

_TEMPORARY = ".part-"
_IS_TEMPORARY = re.compile(r".*\.part-[0-9a-f]{32}")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class FolderObjects:
    """An ``ObjectStore`` in the folder ``root``, which is created at the first ``put``.

    An object is written under a temporary name in its own folder, synced, hard-linked to its name (a link, unlike
    a rename, fails when the name is taken) and the folder is synced: so it is whole or absent after a crash.
    Reads go through a cache of at most ``open_files`` open descriptors with positioned reads, which need no lock.
    """

    at_once = 1
    gap = 64 * 1024
    gets = bytes_read = 0

    def __init__(self, root: str | os.PathLike[str], open_files: int = 64) -> None:
        self.root = Path(root).absolute()
        self._cache = _Descriptors(open_files)
        # A query reads a file many times, and joining paths takes as long as a short read.
        self._name = lru_cache(maxsize=4096)(lambda path: str(self._target(path)))

    def put(self, path: str, data: bytes) -> None:
        """Create the object, durably; see ``ObjectStore.put``."""
        target = self._target(path)
        for left in reversed(range(_TRIES)):
            try:
                self._put(path, target, data)
                return
            except OSError as error:
                # A delete may remove the folder, because it is empty, before it is written to.
                if not isinstance(error, FileNotFoundError) or not left:
                    raise _explained(error, "write", path, self.root) from error

    def _put(self, path: str, target: Path, data: bytes) -> None:
        _make_folder(target.parent)
        if target.exists():
            self._same(path, target, data)
            return
        temporary = target.parent / f"{_TEMPORARY}{uuid4().hex}"
        try:
            _write(temporary, data)
            if not _publish(temporary, target):
                self._same(path, target, data)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        sync_folder(target.parent)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; see ``ObjectStore.read``."""
        check_range(path, offset, length)
        data = bytearray(length)
        self.read_into(path, offset, memoryview(data))
        return bytes(data)

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        """Fill ``into``; see ``ObjectStore.read_into``."""
        check_range(path, offset, len(into))
        name, done = self._name(path), 0
        try:
            file = self._cache.get(name)
            # One call returns at most 2 GiB on Linux, and less when a signal interrupts it.
            while done < len(into) and (got := os.preadv(file.number, [into[done:]], offset + done)):
                done += got
        except OSError as error:
            raise _explained(error, "read", path, self.root) from error
        if done != len(into):
            raise StoreError(
                f"cannot read {len(into)} bytes at {offset} of {path!r} in {self.root}: the file ends after "
                f"{offset + done} bytes or before; it was truncated or is not what the catalogue says."
            )

    def size(self, path: str) -> int:
        """The object's size in bytes."""
        target = self._target(path)
        try:
            check_regular(target)
            return target.stat().st_size
        except OSError as error:
            raise _explained(error, "read", path, self.root) from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose path starts with ``prefix``, in the order of their paths."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_path(folder)
        yield from self._walk(folder, prefix)

    def delete(self, path: str, versions: bool = False) -> None:
        """Remove the object if it is there, and its folder if that is empty then; a folder keeps no versions."""
        target = self._target(path)
        self._cache.forget(str(target))
        try:
            target.unlink(missing_ok=True)
            folder = target.parent
            with contextlib.suppress(OSError):
                if folder != self.root:
                    folder.rmdir()
                    folder = folder.parent
            sync_folder(folder)
        except (FileNotFoundError, NotADirectoryError):
            return  # another delete was faster, or a parent of the path is an object itself
        except OSError as error:
            raise _explained(error, "delete", path, self.root) from error

    def discard_temporary(self, before: int, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """Remove old temporary files, also those of the catalogue's head; see ``ObjectStore.discard_temporary``."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(filter(_IS_TEMPORARY.fullmatch, names)):
                path = Path(folder, name)
                shown = path.relative_to(self.root).as_posix()
                try:
                    info = path.lstat()
                    if not stat.S_ISREG(info.st_mode) or info.st_mtime_ns // 1000 >= before:
                        continue
                    if not dry_run:
                        path.unlink()
                except FileNotFoundError:
                    continue  # its put ended meanwhile
                except OSError as error:
                    raise _explained(error, "delete", shown, self.root) from error
                found.append(ObjectInfo(shown, info.st_size, info.st_mtime_ns // 1000))
        return found

    def discard_deleted(self, prefix: str, dry_run: bool = False, but: Container[str] = ()) -> Sequence[ObjectInfo]:
        """Nothing: a deleted file is gone."""
        return ()

    def close(self) -> None:
        """Close the files that are open."""
        self._cache.clear()

    def _target(self, path: str) -> Path:
        return self.root / check_path(path)

    def _same(self, path: str, target: Path, data: bytes) -> None:
        """Accept an object that is already there if it is identical."""
        if target.is_dir() or target.stat().st_size != len(data) or read_bytes(target) != data:
            raise StoreError(f"object {path!r} in {self.root} already exists with other content: objects never change.")
        sync_folder(target.parent)  # its writer may not have synced it yet

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        where = self.root / folder if folder else self.root
        try:
            with os.scandir(where) as entries:
                found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries if not e.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _explained(error, "list", folder or ".", self.root) from error
        # A folder sorts by its name with the '/', so the walk yields paths in order.
        for name, is_folder in sorted((name + "/" * is_folder, is_folder) for name, is_folder in found):
            path = f"{folder}/{name}" if folder else name
            if is_folder:
                if path.startswith(prefix) or prefix.startswith(path):
                    yield from self._walk(path.rstrip("/"), prefix)
            elif path.startswith(prefix) and not self._foreign(path):
                try:
                    info = (where / name).stat()
                except FileNotFoundError:
                    continue  # deleted meanwhile
                except OSError as error:
                    raise _explained(error, "list", path, self.root) from error
                yield ObjectInfo(path, info.st_size, info.st_mtime_ns // 1000)

    def _foreign(self, path: str) -> bool:
        """Whether ``put`` cannot have created this file."""
        try:
            check_path(path)
        except StoreError:
            return True
        return False


class _Descriptor:
    """An open file that is closed when neither the cache nor a reading thread uses it."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = open_regular(path)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class _Descriptors:
    """The most recently used open files."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = forking.lock()
        self._open: OrderedDict[str, _Descriptor] = OrderedDict()

    def get(self, path: str) -> _Descriptor:
        with self._lock:
            file = self._open.get(path)
            if file is not None:
                self._open.move_to_end(path)
                return file
        try:
            file = _Descriptor(path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.clear()
            file = _Descriptor(path)
        with self._lock:
            file = self._open.setdefault(path, file)
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        return file

    def clear(self) -> None:
        with self._lock:
            self._open.clear()

    def forget(self, path: str) -> None:
        with self._lock:
            self._open.pop(path, None)


def _make_folder(folder: Path) -> None:
    """Create the folder and those above it, durably."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def _write(path: Path, data: bytes) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(number, rest) :]
        _sync(number)
    finally:
        os.close(number)


def _publish(temporary: Path, target: Path) -> bool:
    """Give the finished file its name; False when the name is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: reserve the name, then rename the file over it.
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            return False
        temporary.replace(target)
    return True


def _sync(number: int) -> None:
    if _FULL_SYNC is not None:
        fcntl.fcntl(number, _FULL_SYNC)
    else:
        os.fsync(number)


def _explained(error: OSError, verb: str, path: str, root: Path) -> StoreError:
    """The error as one sentence for a person: what failed, where, and what to do."""
    what = f"cannot {verb} {path!r} in {root}"
    if isinstance(error, NotAFile):
        return StoreError(f"{what}: {error.strerror}; move it away and restore the file, or run `dataflow verify`.")
    match error.errno:
        case errno.ENOENT if verb == "read":
            return FileMissing(f"{path!r} is missing in {root}: restore it from a backup, or run `dataflow verify`.")
        case errno.ENOSPC | errno.EDQUOT:
            return StoreError(f"{what}: the disk (or the quota) is full; nothing was written; free space and repeat.")
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StoreError(f"{what}: permission denied or read-only file system; make it accessible to this user.")
        case errno.EMFILE | errno.ENFILE:
            return StoreError(f"{what}: too many open files; raise the limit (`ulimit -n`).")
        case errno.EISDIR | errno.ENOTDIR | errno.EEXIST:
            return StoreError(f"{what}: a file is where a folder is needed, or the reverse; move it away.")
        case errno.EIO:
            return StoreError(f"{what}: the disk reported an input/output error; check its health.")
        case _:
            return StoreError(f"{what}: {error.strerror or error}.")
