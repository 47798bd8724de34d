"""The files of a folder, or that a pattern matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import FileInput
from runtime.live.feeds.file_place import FoundFile, is_unfinished


class FolderFiles:
    """A ``FilePlace``: files are identified by device and inode, so that a renamed one is the same."""

    is_atomic, again = False, 0.0

    def __init__(self, pattern: str) -> None:
        self.name = pattern
        self._root, self._pattern = _root_of(pattern)

    def listed(self) -> Iterator[Sequence[FoundFile]]:
        """See ``FilePlace``; each by its first name in order."""
        found: dict[object, FoundFile] = {}
        for name in sorted(glob.glob(self._pattern, root_dir=self._root, recursive=True)):
            path = os.path.join(self._root, name)
            if is_unfinished(os.path.basename(name)) or not os.path.isfile(path):
                continue
            file = _found(path)
            if file is not None:
                found.setdefault(file.id, file)
        yield list(found.values())

    def seen(self, found: FoundFile) -> FoundFile | None:
        """See ``FilePlace``."""
        now = _found(found.path)
        return now if now is not None and now.id == found.id else None

    def read(self, found: FoundFile, at: int, size: int) -> bytes:
        """See ``FilePlace``."""
        with open(found.path, "rb") as file:
            about = os.fstat(file.fileno())
            if (about.st_dev, about.st_ino) != found.id:  # since it was seen it was renamed, and another has its name
                raise FileNotFoundError(found.path)
            file.seek(at)
            return file.read(size)

    def whole(self, found: FoundFile) -> FileInput:
        """See ``FilePlace``."""
        return FileInput(Path(found.path), found.path)

    def close(self) -> None:
        """See ``FilePlace``."""


def _found(path: str) -> FoundFile | None:
    """The file of this name; None if it is gone."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return FoundFile((about.st_dev, about.st_ino), path, (about.st_size, about.st_mtime_ns), about.st_size)


def _root_of(pattern: str) -> tuple[str, str]:
    """A folder, and the pattern of names below it."""
    if os.path.isdir(pattern):
        return os.path.abspath(pattern), "*"
    if not glob.has_magic(pattern) and not os.path.exists(pattern):
        raise IngestError(f"there is no folder or file {pattern}: create it before it is watched.")
    parts: Sequence[str] = Path(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    root = os.path.join(*parts[:fixed]) if fixed else "."
    if not os.path.isdir(root):
        raise IngestError(f"there is no folder {root}: create it before its files are watched.")
    return os.path.abspath(root), os.path.join(*parts[fixed:])
