"""Rebuilds a store's catalogue: from its remains, its write-ahead log, a copy, and the point files.

The catalogue's log contains everything that matters. What it does not name is taken from the point files
(``attempts``). The report lists what stays unknown.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from operators.errors import DataflowError
from operators.files import sync_folder
from runtime.catalogue import Catalogue, SqliteCatalogue
from runtime.catalogue.items.head_file import HeadFile
from runtime.catalogue.key_value import Heads, run
from runtime.catalogue.repair.salvage import Found, best_of, found_in, read_items, write_steps
from runtime.errors import StoreError
from runtime.objects import ObjectStore
from runtime.progress import count_of
from runtime.recovery.attempts import adopt
from runtime.recovery.known_log import same_store
from runtime.storage.locations import CATALOGUE, Folder, has_points, locate

_ENDINGS = ("", "-wal", "-shm", "-head")


@dataclass
class RecoverReport:
    """What ``recover`` did, and what stays unknown; one sentence each. ``streams`` counts commits by stream."""

    streams: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {"streams": self.streams, "done": self.done, "unknown": self.unknown}

    def __str__(self) -> str:
        lines = [f"{name}: {count_of(commits, 'commit')}" for name, commits in self.streams.items()] or ["no streams"]
        lines += [f"  {line}" for line in self.done]
        if self.unknown:
            lines += ["not known:", *(f"  {line}" for line in self.unknown)]
        return "\n".join([*lines, "check the files, too: dataflow verify"])


def recover(url: str | Path, copy: str | Path | None = None) -> RecoverReport:
    """Rebuild the catalogue of a store, which must not be in use meanwhile.

    ``copy`` is a copy of ``catalogue.sqlite`` from elsewhere, or the folder that has it, if there is one. The current
    files are kept under names that end with the time. For a store at s3:// whose table is gone, or has nothing of this
    store, the catalogue is rebuilt from its files; a table with damaged items is restored by DynamoDB
    (deploy/CONSOLE.md).
    """
    location = locate(url)
    if isinstance(location, Folder):
        return _recover_folder(location.root, location.objects(), None if copy is None else Path(copy))
    if copy is not None:
        raise StoreError("a copy of the catalogue is for a store in a folder: restore the catalogue's table instead.")
    objects = location.objects()
    report = RecoverReport()
    with closing(location.catalogue(lambda: True)) as catalogue:
        if catalogue.streams():
            raise StoreError(
                "the catalogue has streams of this store: if it is damaged, restore its table to a point in time, into "
                "a new table, and name that with ?table=."
            )
        adopt(objects, catalogue, {}, None, report)
        _count(catalogue, report)
    return report


def _recover_folder(root: Path, objects: ObjectStore, copy: Path | None) -> RecoverReport:
    path = root / CATALOGUE
    report = RecoverReport()
    if copy is not None and copy.is_dir():
        copy = copy / CATALOGUE  # as `backup` takes a folder
    if copy is not None and not copy.is_file():
        raise StoreError(f"there is no file {copy}: give a copy of a catalogue.")
    if not path.exists() and copy is None and not has_points(objects):
        raise StoreError(f"{root}: there is no store here, and nothing to rebuild its catalogue from.")
    heads = _heads(path, report)
    found: list[Found] = []
    for where, file in (("what is left of the catalogue", path), ("the copy", copy)):
        if file is None:
            continue
        these = list(found_in(where, read_items(file)))
        if file is copy and not these:
            raise StoreError(f"{copy} holds no commit of any stream: give a copy of catalogue.sqlite.")
        if file is copy:
            _check_same_store(copy, these, found, objects)
        found += these
    best = best_of(found, heads)
    new = root / f"{CATALOGUE}.new"
    for ending in _ENDINGS:
        with suppress(FileNotFoundError):
            new.with_name(new.name + ending).unlink()
    with SqliteCatalogue(new) as catalogue:
        catalogue.begin()
        for stream, one in best.items():
            lost = run(catalogue.table, write_steps(one, catalogue.table.most))
            report.done.append(f"{stream}: {count_of(len(one.records), 'commit')} found in {one.where}")
            if lost:
                report.unknown.append(f"{stream}: names, sizes and rejects of {count_of(len(lost), 'source')}")
        adopt(objects, catalogue, best, heads, report)
        problems = [problem for stream in catalogue.streams() for problem in catalogue.audit(stream)]
        if problems:
            raise StoreError(f"the rebuilt catalogue is inconsistent, and was not put in place: {problems[0]}")
        _count(catalogue, report, heads)
        made = catalogue.table.heads() or {}
    _put_in_place(path, new, made, report)
    return report


def _check_same_store(copy: Path, in_copy: list[Found], left: list[Found], objects: ObjectStore) -> None:
    """StoreError if a ``copy`` is of another store: one of its streams begins with another commit than the log that is
    ``left``, or, if there is none, has none of its files here, and none that follow from it."""
    begun = {one.stream: one.records[0].hash for one in left}
    for one in in_copy:
        if one.stream in begun:
            other = one.records[0].hash != begun[one.stream]
        else:
            named = {file.path for record in one.records for file in record.adds}
            gone = bool(named) and named.isdisjoint(info.path for info in objects.list(f"data/{one.stream}/"))
            # A compaction may have replaced them all.
            other = gone and not same_store(objects, one.stream, one.records)
        if other:
            raise StoreError(
                f"{copy} is the catalogue of another store: the commits of its stream {one.stream} are not of "
                "this one; give a copy of this store's catalogue."
            )


def _heads(path: Path, report: RecoverReport) -> Heads | None:
    """The last commit of each stream, if that is still known."""
    try:
        heads = HeadFile(path).read()
    except DataflowError:
        heads = None
    if heads is None:
        report.unknown.append("how many commits there were: the catalogue's head is lost, too")
    return heads


def _count(catalogue: Catalogue, report: RecoverReport, heads: Heads | None = None) -> None:
    report.streams = {name: catalogue.snapshot(name).seq for name in catalogue.streams()}
    for stream, (seq, _) in (heads or {}).items():
        found = report.streams.get(stream, 0)
        if found < seq:
            report.unknown.append(f"{stream}: there were {count_of(seq, 'commit')}, {found:,} are there now")


def _put_in_place(path: Path, new: Path, heads: Heads, report: RecoverReport) -> None:
    """Replace the old catalogue, of which copies remain, by the new one; can be interrupted and repeated."""
    mark = now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    again = 1
    while any(path.with_name(f"{path.name}.{mark}{ending}").exists() for ending in _ENDINGS):
        again += 1
        mark = f"{now}-{again}"
    for ending in _ENDINGS:
        old = path.with_name(path.name + ending)
        if old.is_file():
            aside = path.with_name(f"{path.name}.{mark}{ending}")
            shutil.copyfile(old, aside)
            report.done.append(f"the old file is kept as {aside.name}")
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.replace(new, path)
    HeadFile(path).write(heads)
    HeadFile(new).path.unlink(missing_ok=True)
    sync_folder(path.parent)
