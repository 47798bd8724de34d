"""A store's catalogue made anew: from what is left of it, from its write-ahead log, from a copy, from the point files.

The log of the catalogue says all that matters. Where it is lost, each point file says its stream, key, columns and
times, and (since version 2 of the catalogue) the attempt's source and how the stream treats duplicates. Nothing says
which attempts were committed, in which order, or what was rejected. Attempts are taken in the order in which their
files were written: all if there is neither log nor head; the newest, as many as the head says are missing; those after
the log's last commit if there is no head. Of several of one source the one with most rows is taken. The report says
what is not known.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import Catalogue, FileEntry, SourceEntry, SqliteCatalogue, StreamSchema, attempt_of
from runtime.catalogue.headfile import HeadFile, sync_folder
from runtime.catalogue.salvage import Found, best_of, found_in, read_items, write_steps
from runtime.catalogue.table import Heads, run
from runtime.errors import SchemaConflict, StoreError
from runtime.location import CATALOGUE, Folder, has_points, locate
from runtime.objects import ObjectInfo, ObjectStore
from runtime.pointfile import PointFile, verify_file

_ENDINGS = ("", "-wal", "-shm", "-head")


@dataclass
class RecoverReport:
    """What ``recover`` found, did, and could not know; one sentence each. ``streams`` counts commits by stream."""

    streams: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {"streams": self.streams, "done": self.done, "unknown": self.unknown}

    def __str__(self) -> str:
        lines = [f"{name}: {commits} commits" for name, commits in self.streams.items()] or ["no streams"]
        lines += [f"  {line}" for line in self.done]
        if self.unknown:
            lines += ["not known:", *(f"  {line}" for line in self.unknown)]
        return "\n".join([*lines, "check the files, too: dataflow verify"])


def recover(url: str | Path, copy: str | Path | None = None) -> RecoverReport:
    """Make the catalogue of a store anew; nobody may use the store meanwhile.

    ``copy`` is a copy of ``catalogue.sqlite`` from elsewhere, if there is one. What lies there now is kept beside it,
    under names that end with the time. A store at s3:// whose table is whole but for the store, or is gone, gets its
    catalogue from its files; a table with damaged items is restored by DynamoDB (deploy/README.md).
    """
    location = locate(url)
    if isinstance(location, Folder):
        return _recover_folder(location.root, location.objects(), None if copy is None else Path(copy))
    if copy is not None:
        raise StoreError("a copy of the catalogue is for a store in a folder: restore the DynamoDB table instead.")
    objects = location.objects()
    report = RecoverReport()
    with closing(location.catalogue(lambda: True)) as catalogue:
        if catalogue.streams():
            raise StoreError(
                "the catalogue has streams of this store: if it is damaged, restore its table to a point in time, into "
                "a new table, and name that with ?table=."
            )
        _adopt(objects, catalogue, {}, {}, report)
        _count(catalogue, report)
    return report


def _recover_folder(root: Path, objects: ObjectStore, copy: Path | None) -> RecoverReport:
    path = root / CATALOGUE
    report = RecoverReport()
    if copy is not None and not copy.is_file():
        raise StoreError(f"there is no file {copy}: give a copy of a catalogue.")
    if not path.exists() and copy is None and not has_points(objects):
        raise StoreError(f"{root}: there is no store here, and nothing to make its catalogue from.")
    heads = _heads(path, report)
    found: list[Found] = []
    for where, file in (("what is left of the catalogue", path), ("the copy", copy)):
        if file is None:
            continue
        these = list(found_in(where, read_items(file)))
        if file is copy and not these:
            raise StoreError(f"{copy} holds no commit of any stream: give a copy of catalogue.sqlite.")
        found += these
    best = best_of(found)
    new = root / f"{CATALOGUE}.new"
    for ending in _ENDINGS:
        with suppress(FileNotFoundError):
            new.with_name(new.name + ending).unlink()
    with SqliteCatalogue(new) as catalogue:
        catalogue.begin()
        for stream, one in best.items():
            lost = run(catalogue.table, write_steps(one, catalogue.table.most))
            report.done.append(f"{stream}: {len(one.records)} commits were found in {one.where}")
            if lost:
                report.unknown.append(f"{stream}: names, sizes and rejects of {len(lost)} sources")
        whole = {name: one for name, one in best.items() if one.reaches(*(heads or {}).get(name, (0, "")))}
        incomplete = {name: one for name, one in best.items() if name not in whole}
        _adopt(objects, catalogue, whole, incomplete, report, heads)
        problems = [problem for stream in catalogue.streams() for problem in catalogue.audit(stream)]
        if problems:
            raise StoreError(f"the catalogue that was made does not add up, and was not put in place: {problems[0]}")
        _count(catalogue, report, heads)
        made = catalogue.table.heads() or {}
    _put_in_place(path, new, made, report)
    return report


def _heads(path: Path, report: RecoverReport) -> Heads | None:
    """How far the streams had come, if that is still there."""
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
            report.unknown.append(f"{stream}: there were {seq} commits, {found} are there now")


def _put_in_place(path: Path, new: Path, heads: Heads, report: RecoverReport) -> None:
    """The new catalogue in the place of the old one, of which copies stay; can be stopped and begun again."""
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
            report.done.append(f"what was there is kept as {aside.name}")
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.replace(new, path)
    HeadFile(path).write(heads)
    HeadFile(new).path.unlink(missing_ok=True)
    sync_folder(path.parent)


# Attempts whose files no log names


@dataclass(frozen=True)
class _Attempt:
    stream: str
    name: str
    written: int
    files: tuple[tuple[FileEntry, PointFile], ...]

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry, _ in self.files)

    @property
    def origin(self) -> Mapping[str, str]:
        return self.files[0][1].origin or {}

    @property
    def content(self) -> tuple[str, ...]:
        """What is in its files, of all writers."""
        return tuple(sorted(file.content_digest for _, file in self.files))


def _adopt(
    objects: ObjectStore,
    catalogue: Catalogue,
    whole: Mapping[str, Found],
    incomplete: Mapping[str, Found],
    report: RecoverReport,
    heads: Heads | None = None,
) -> None:
    """Commit attempts that no log names, of streams whose log is lost or may be incomplete."""
    known = {record.attempt for one in (*whole.values(), *incomplete.values()) for record in one.records}
    swept = {attempt for one in incomplete.values() for attempt in one.swept}
    listed: dict[tuple[str, str], list[ObjectInfo]] = defaultdict(list)
    for info in objects.list("data/"):
        attempt = attempt_of(info.path)
        stream = info.path.split("/")[1]
        if attempt is not None and attempt not in known | swept and stream not in whole:
            listed[stream, attempt].append(info)
    attempts: dict[str, list[_Attempt]] = defaultdict(list)
    for (stream, name), infos in listed.items():
        try:
            attempts[stream].append(_read(objects, stream, name, infos))
        except DataflowError as error:
            report.unknown.append(f"{stream}: what attempt {name} committed, if it did: {error}")
    for stream, found in sorted(attempts.items()):
        one = incomplete.get(stream)
        taken = _taken(stream, found, one, report)
        length = 0 if one is None else len(one.records)
        if heads is not None:
            missing = max(0, heads.get(stream, (0, ""))[0] - length)
            taken = taken[max(0, len(taken) - missing) :]
        elif one is not None:
            taken = [made for made in taken if made.written >= one.records[-1].at]
        for made in taken:
            _commit(catalogue, made, report)
        if taken:
            rows = sum(attempt.rows for attempt in taken)
            report.done.append(f"{stream}: {len(taken)} commits with {rows} rows were made from point files")
            report.unknown.append(
                f"{stream}: of these commits the order (that of the files' times was taken), the names of the sources, "
                "what was rejected, and whether they had been committed at all"
            )


def _read(objects: ObjectStore, stream: str, name: str, infos: Sequence[ObjectInfo]) -> _Attempt:
    files = []
    numbers = sorted(int(info.path.rpartition("-")[2].removesuffix(".points")) for info in infos)
    if numbers != list(range(len(numbers))):
        raise StoreError(f"only its files {', '.join(map(str, numbers))} are there")
    for info in sorted(infos, key=lambda i: int(i.path.rpartition("-")[2].removesuffix(".points"))):
        data = objects.read(info.path, 0, info.size)
        file = PointFile.open(lambda at, n, data=data: data[at : at + n], info.size, info.path)  # type: ignore[misc]
        verify_file(file)
        if "$seq" in file.schema:
            raise StoreError(f"{info.path} is of a compaction: it holds rows of other files, too")
        if (file.origin or {}).get("stream", stream) != stream:
            raise StoreError(f"{info.path} is another stream's file")
        entry = FileEntry(
            info.path, file.day, file.rows, info.size,
            int(file.blocks["t_min"].min()), int(file.blocks["t_max"].max()), hashlib.sha256(data).hexdigest(),
            file.keys, 0, {c: int(file.chunks(c)["nulls"].sum()) for c in file.schema}, footer=file.footer_digest,
        )  # fmt: skip
        files.append((entry, file))
    return _Attempt(stream, name, max(info.modified for info in infos), tuple(files))


def _taken(stream: str, found: Iterable[_Attempt], one: Found | None, report: RecoverReport) -> list[_Attempt]:
    """Of several attempts of one source, or with one content, the one with most rows; in the order of their times."""
    sources = {record.source for record in one.records} if one is not None else set()
    contents: set[tuple[str, ...]] = set()
    taken = []
    for attempt in sorted(found, key=lambda a: (-a.rows, a.written, a.name)):
        source = attempt.origin.get("source")
        if (source is not None and source in sources) or attempt.content in contents:
            report.done.append(f"{stream}: attempt {attempt.name} was left out: its source is there already")
            continue
        sources.add(source) if source is not None else contents.add(attempt.content)
        taken.append(attempt)
    return sorted(taken, key=lambda a: (a.written, a.name))


def _commit(catalogue: Catalogue, attempt: _Attempt, report: RecoverReport) -> None:
    origin, (_, first) = attempt.origin, attempt.files[0]
    columns: dict[str, Type] = {}
    for _, file in attempt.files:
        for name, type_ in file.schema.items():
            columns[name] = type_ if columns.get(name) is not Type.FLOAT else Type.FLOAT
    held = catalogue.schema(attempt.stream)
    duplicates = origin.get("duplicates") or (held.duplicates if held is not None else "keep")
    id_ = origin.get("id") if origin else (held.id if held is not None else None)
    if not origin:
        line = f"{attempt.stream}: how it treats duplicates ({duplicates!r} was taken), and its id column"
        if line not in report.unknown:
            report.unknown.append(line)
    source = origin.get("source") or hashlib.sha256(f"recovered {attempt.name}".encode()).hexdigest()
    if "source" not in origin:
        report.unknown.append(
            f"{attempt.stream}: the source of attempt {attempt.name}: to ingest it again counts twice"
        )
    entry = SourceEntry(
        source, f"(recovered from attempt {attempt.name})", 0, rows_read=attempt.rows, rows_committed=attempt.rows
    )
    try:
        wide = {name: False for name, type_ in columns.items() if type_ is Type.INT}  # ingest asks the files
        schema = StreamSchema(
            first.key_name, first.key_type, first.time_name, columns, duplicates, id_, None, None, wide
        )
        catalogue.commit(attempt.stream, schema, entry, [e for e, _ in attempt.files], attempt.name)
    except SchemaConflict as error:
        report.unknown.append(f"{attempt.stream}: why attempt {attempt.name} does not fit, which was left out: {error}")
