"""Copies the catalogue of a store in a folder, while others use it; the points are not in the copy."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from operators import forking
from operators.files import sync_folder
from runtime.catalogue import Catalogue, SqliteCatalogue, TableCatalogue
from runtime.catalogue.items.head_file import HeadFile
from runtime.catalogue.key_value import Heads, run
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.stores.sqlite import explained
from runtime.errors import StoreError
from runtime.progress import count_of, human_bytes
from runtime.storage.locations import CATALOGUE, BucketLocation, Folder, Location
from runtime.storage.locations.folder import check_outside_of_stores
from runtime.upkeep.sweep_plan import STANDARD

_PATIENCE = 60.0
_SUFFIXES = (".sqlite", ".sqlite3", ".db")


@dataclass(frozen=True)
class BackupReport:
    """A copy of a catalogue in the file ``path``; ``commits`` by stream, ``points`` and ``point_bytes`` not in it."""

    path: Path
    bytes: int
    commits: dict[str, int] = field(default_factory=dict)
    points: int = 0
    point_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "commits": self.commits,
            "point_files_not_included": self.points,
            "point_bytes_not_included": self.point_bytes,
        }

    def __str__(self) -> str:
        streams = [f"  {name}: {count_of(n, 'commit')}" for name, n in self.commits.items()] or ["  no streams"]
        return "\n".join(
            [
                f"{self.path}: the catalogue ({human_bytes(self.bytes)}), checked; its head is beside it",
                *streams,
                f"not in it: {count_of(self.points, 'point file')} ({human_bytes(self.point_bytes)}) below data/, "
                "rejects and published queries: copy these folders after it",
            ]
        )


def backup(location: Location, to: str | Path, force: bool = False) -> BackupReport:
    """Copy the catalogue at ``location`` to ``to``: a folder, or a file if the name ends in .sqlite or .db.

    The copy is consistent, whatever is committed meanwhile: the catalogue as of one moment, with the head of that
    moment beside it. It is checked before it gets its name. A file that is there is replaced only with ``force``.
    StoreError for a store whose catalogue is not a file.
    """
    source = _file(location)
    target = _target(Path(to), source, force)
    new = target.with_name(f"{target.name}.part-{uuid4().hex}")
    try:
        # Raises if there is no catalogue, or if it is damaged.
        with closing(location.catalogue(lambda: False)) as catalogue:
            catalogue.streams()
            # Before the copy, which must reach them: else the catalogue is older than its head.
            heads = _heads(catalogue)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, new)
        report = _checked(new, target, heads)
        _sync(new)
        if not force:
            _check_free(target)
        # In this order an interrupted replacement leaves a copy with an older head, which is a good one.
        os.replace(new, target)
        os.replace(HeadFile(new).path, HeadFile(target).path)
        sync_folder(target.parent)
        _discard_old(target)
    except OSError as error:
        raise StoreError(f"the backup {target} cannot be written: {error.strerror or error}.") from error
    finally:
        for ending in ("", "-head", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                new.with_name(new.name + ending).unlink()
    return report


def _file(location: Location) -> Path:
    """The file of the catalogue; StoreError if it is none."""
    if isinstance(location, BucketLocation):
        raise StoreError(
            f"the catalogue of {location.url} is the table {location.table!r}, not a file: a table of DynamoDB is "
            "backed up by its point-in-time recovery, which `dataflow deploy` switches on (elsewhere: aws dynamodb "
            f"update-continuous-backups --table-name {location.table} --point-in-time-recovery-specification "
            'PointInTimeRecoveryEnabled=true). How to restore it: deploy/OPERATIONS.md, "Restoring the catalogue".'
        )
    if not isinstance(location, Folder):
        raise StoreError(f"the catalogue of {location.url} is not a file: it cannot be copied by this command.")
    return location.root / CATALOGUE


def _target(to: Path, source: Path, force: bool) -> Path:
    """The file to write; StoreError if it is there and may not be replaced, or lies in a store."""
    target = (to if to.suffix in _SUFFIXES and not to.is_dir() else to / CATALOGUE).absolute()
    if target.parent.resolve() == source.parent.resolve():
        raise StoreError(f"{to} is the store itself: name a folder outside of it")
    check_outside_of_stores(target.parent.resolve())
    if target.parent.exists() and not target.parent.is_dir():
        raise StoreError(f"{to} is no folder: name a folder, or a file that ends in {', '.join(_SUFFIXES)}")
    if not force:
        _check_free(target)
    for ending in ("-wal", "-shm", "-journal"):
        if target.with_name(target.name + ending).exists():
            raise StoreError(
                f"{target} has {target.name}{ending} beside it: it is in use, or was left so by a program that was "
                "stopped; name another place"
            )
    return target


def _check_free(target: Path) -> None:
    for path in (target, HeadFile(target).path):
        if path.exists() or path.is_symlink():
            raise StoreError(f"{path} is there already: name another place, or replace it with --force")


def _copy(source: Path, new: Path) -> None:
    """Copy in one read transaction, which neither waits for writers nor stops them."""
    # SQLite writes files beside a database that it reads; where it cannot, nobody else can write to it, either.
    mode = "mode=rw" if os.access(source.parent, os.W_OK) else "immutable=1"
    try:
        with (
            forking.unforked(),
            closing(sqlite3.connect(f"{source.as_uri()}?{mode}", uri=True, timeout=_PATIENCE)) as held,
            closing(sqlite3.connect(new)) as copy,
        ):
            held.backup(copy)
    except sqlite3.Error as error:
        raise explained(error, source) from error


def _heads(catalogue: Catalogue) -> Heads:
    """The heads beside a catalogue; StoreError if they are missing."""
    found = catalogue.table.heads() if isinstance(catalogue, TableCatalogue) else None
    return found or {}


def _checked(new: Path, target: Path, heads: Heads) -> BackupReport:
    """Write the head of the copy, check all of it, and leave it as one file without a log."""
    HeadFile(new).write(heads)
    with SqliteCatalogue(new) as catalogue:
        problems = catalogue.problems()
        commits, files, size = {}, 0, 0
        for stream in catalogue.streams() if not problems else ():
            problems += catalogue.audit(stream)
            if problems:
                break
            run(catalogue.table, StreamSteps(stream, catalogue.table.most).note_head())
            snapshot = catalogue.snapshot(stream)
            commits[stream] = snapshot.seq
            files += snapshot.total_files
            size += snapshot.total_bytes
    if problems:
        raise StoreError(f"the copy of the catalogue is damaged, and was discarded: {problems[0]}")
    return BackupReport(target, new.stat().st_size, commits, files, size)


def _discard_old(target: Path) -> None:
    """Remove what backups to the same file left a day ago or earlier, when they were killed."""
    name = re.compile(re.escape(target.name) + r"\.part-[0-9a-f]{32}(-head(\.part-[0-9a-f]{32})?|-wal|-shm|-journal)?")
    before = time.time() - STANDARD.temporary_age / 1e6
    for path in list(target.parent.iterdir()):
        if name.fullmatch(path.name) and path.lstat().st_mtime < before:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
