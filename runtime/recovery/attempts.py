"""Recovers attempts known only from point files: which were committed, in which order; commits them again.

Each point file contains its stream, key, columns and times; the attempt's source and how the stream treats duplicates
(since version 2 of the catalogue); the commits before the attempt began, and its number of files
(``runtime.catalogue.items.commit_order``). So later files name the attempts that were committed, and their places. Of
the others:

- An incomplete one is skipped: its ingest was interrupted, and can be repeated. Files of earlier versions do not say
  whether they are complete, and are taken.
- One whose source, or content, is already there is skipped, too.
- If the log is complete up to its head, an attempt that began at its end, or later, belongs to a newer catalogue: this
  one is an older copy. One that began before may have been interrupted, and is skipped.
- If the head says how many commits are missing, at most that many are taken: the newest.
- One of which a compaction has rows was committed; for those of its files that are gone the log gets stand-ins, which
  the compaction replaces.

Attempts without a known place come last, or (those of earlier versions) first, in the order in which their files were
written; if there are several, the order is unknown, and the stream's schema records that (``unordered``).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as dataclass_replace
from typing import Protocol

from operators.compiler.cache import KernelsUnavailable
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import Catalogue, FileEntry, SourceEntry, StreamSchema, attempt_of, new_attempt
from runtime.catalogue.items.commit_order import in_order, named
from runtime.catalogue.items.compaction_origin import A_TRY, Replaced
from runtime.catalogue.items.entries import SEQ, commit_of
from runtime.catalogue.key_value import Heads
from runtime.catalogue.repair.salvage import Found
from runtime.errors import SchemaConflict, StoreError
from runtime.objects import ObjectInfo, ObjectStore
from runtime.pointfile import PointFile, verify_file
from runtime.progress import count_of
from runtime.recovery.attempt import Attempt
from runtime.recovery.compactions import Chosen, FoundCompaction, choose
from runtime.recovery.floors import restore_floor
from runtime.recovery.known_log import KnownLog
from runtime.recovery.replaying import Rows, leave_out, replace_files, replaced_by


class Report(Protocol):
    """What was done, and what stays unknown; one sentence each."""

    done: list[str]
    unknown: list[str]


def adopt(
    objects: ObjectStore, catalogue: Catalogue, logs: Mapping[str, Found], heads: Heads | None, report: Report
) -> None:
    """Commit attempts that no log names. ``logs`` are the streams' logs as far as they were found; they are
    extended."""
    by_stream = _found(objects, logs, report)
    for stream in sorted({*by_stream, *logs}):
        log, head = logs.get(stream), None if heads is None else heads.get(stream, (0, ""))
        held = KnownLog(objects, stream, () if log is None else log.records)
        every = by_stream.get(stream, [])
        found = [attempt for attempt in every if attempt.files]
        certain = named({attempt.name: attempt.started for attempt in found})
        compactions = _following(found, held, certain, report)
        ingested = [attempt for attempt in found if not attempt.compacted]
        chosen = choose(ingested, compactions, certain, held.length, held.orders() if compactions else ())
        attempts = chosen.attempts
        certain |= chosen.certain
        _tell(stream, chosen, held, report)
        taken = {attempt.name: attempt for attempt in _taken(stream, attempts, certain, log, report)}
        sequence, _ = in_order({name: attempt.started for name, attempt in taken.items()})
        missing = {a.name: a for a in _missing([taken[name] for name in sequence], certain, log, head)}
        for attempt in (taken[name] for name in sequence if name not in missing):
            report.unknown.append(
                f"{stream}: whether {attempt.what} was committed: it was skipped, because the log that was found does "
                "not name it; ingest its source again"
            )
        taken = missing
        sequence, unsure = in_order({name: attempt.started for name, attempt in taken.items()})
        unordered = 0
        if chosen.orders:
            # Commits get the numbers that rows in files of compactions have; where several are not sure, in order.
            sequence = sorted(sequence, key=lambda name: chosen.numbers[name])
        for attempt in (taken[name] for name in sequence):
            unordered += len(attempt.files) if attempt.name in unsure and not chosen.orders else 0
            if chosen.orders:
                _fill(catalogue, attempt, chosen.numbers[attempt.name] - 1)
            _commit(catalogue, attempt, unordered, report, replaced_by(attempt, chosen, held))
        is_older = bool(taken) or log is None or not log.reaches(*(head or (0, "")))
        leave_out(catalogue, stream, held, is_older, {f.path for a in attempts for f in a.absent}, report)
        if is_older:
            restore_floor(objects, catalogue, stream, every, report)
            report.unknown.append(
                f"{stream}: which sources were taken back, and which keys erased, "
                + (f"after commit {held.length} of the log that was found" if held.length else "before it was lost")
                + f": repeat these undos and erasures (dataflow undo STORE {stream} SOURCE; dataflow erase STORE "
                f"{stream} --key KEY)"
            )
        if not taken:
            continue
        rows = sum(e.rows for a in taken.values() for e, _ in a.files if e.path not in chosen.superseded)
        report.done.append(
            f"{stream}: {count_of(len(taken), 'commit')} with {count_of(rows, 'row')} rebuilt from point files"
        )
        unknown = "the names of the sources, the declared unit of their times, what was rejected"
        if set(taken) - certain:
            unknown += ", and, for those that no later file names, whether they were committed at all"
        report.unknown.append(f"{stream}: of these commits {unknown}")
        if unordered:
            report.unknown.append(
                f"{stream}: the order of {count_of(len(unsure), 'commit')} with {count_of(unordered, 'file')}: that of "
                "the files' modification times was taken, and answers carry a note"
            )


def _tell(stream: str, chosen: Chosen, held: KnownLog, report: Report) -> None:
    """Report what became of files that compactions wrote or replaced."""
    if files := len(chosen.superseded) - sum(f.path in chosen.superseded for a in chosen.attempts for f in a.absent):
        were, their = ("was", "its") if files == 1 else ("were", "their")
        report.done.append(
            f"{stream}: {count_of(files, 'file')} {were} left out, because a compaction has written {their} rows again"
        )
    for c in chosen.used:
        if c.removes:
            report.done.append(f"{stream}: {c.what} was found in its files")
    for c in chosen.interrupted:
        _leave(stream, c, "it was interrupted, or gave way to another one", report)
    for attempt in chosen.attempts:
        if absent := [f for f in attempt.absent if f.path not in chosen.superseded]:
            report.unknown.append(
                f"{stream}: the rows of {count_of(len(absent), 'file')} of attempt {attempt.name} that are gone: "
                "they were taken back or erased, or are lost"
            )
    for name in chosen.lost:
        report.unknown.append(f"{stream}: the rows of file {name} of a compaction, which is not there")
    known = {chosen.numbers.get(attempt.name) for attempt in chosen.attempts}
    lost = {seq for order in chosen.orders if (seq := commit_of(order)) > held.length} - known
    if lost:
        report.unknown.append(
            f"{stream}: the sources of {count_of(len(lost), 'commit')} whose rows are in files of compactions only: to "
            "ingest one of them again counts twice"
        )


def _leave(stream: str, c: FoundCompaction, why: str, report: Report) -> None:
    text = f"{stream}: {c.what} was left out: {why}"
    if c.removes:
        report.unknown.append(f"{text}; repeat it")
    else:
        report.done.append(text)


def _following(found: Sequence[Attempt], held: KnownLog, certain: set[str], report: Report) -> list[FoundCompaction]:
    """The compactions that may have been committed after the log that was found, and that matter; of those that were
    for sure, ``certain`` gets the names."""
    out: list[FoundCompaction] = []
    by_name: dict[str, FoundCompaction] = {}
    for c in sorted((FoundCompaction.of(a) for a in found if a.rewritten), key=lambda c: c.rank):
        stream, name, began = c.attempt.stream, c.attempt.name, c.rank[0]
        if held.length and not held.follows(c, by_name):
            if name in certain or began > held.length:
                rows = count_of(c.attempt.rows, "row")
                report.unknown.append(
                    f"{stream}: {c.what} with {rows}: it was left out, because it does not follow from the log"
                )
            else:
                _leave(stream, c, "it was interrupted, or gave way to another one", report)
            continue
        if any(f.path not in held.there for f in held.inputs(c)):
            certain.add(name)  # only then are its inputs collected
        elif name not in certain and (began < held.length or (began == held.length > 0 and not c.removes)):
            _leave(stream, c, "the log does not name it, and its inputs are there", report)
            continue
        by_name |= dict.fromkeys(c.names, c)
        out.append(c)
    return out


def _fill(catalogue: Catalogue, attempt: Attempt, upto: int) -> None:
    """Commits without files, of sources whose rows are in files of compactions, up to number ``upto``."""
    done = catalogue.snapshot(attempt.stream).seq if attempt.stream in catalogue.streams() else 0
    for seq in range(done + 1, upto + 1):
        source = hashlib.sha256(f"replaced {attempt.stream} {seq}".encode()).hexdigest()
        entry = SourceEntry(source, f"(commit {seq}, which a compaction replaced)", 0)
        catalogue.commit(attempt.stream, _schema(catalogue, attempt, 0), entry, [], new_attempt())


def _found(objects: ObjectStore, logs: Mapping[str, Found], report: Report) -> dict[str, list[Attempt]]:
    """The attempts that no log names, and that no sweep has claimed, by stream."""
    known = {record.attempt for log in logs.values() for record in log.records}
    swept = {attempt for log in logs.values() for attempt in log.swept}
    listed: dict[tuple[str, str], list[ObjectInfo]] = defaultdict(list)
    for info in objects.list("data/"):
        attempt = attempt_of(info.path)
        if attempt is not None and attempt not in known | swept:
            listed[info.path.split("/")[1], attempt].append(info)
    found: dict[str, list[Attempt]] = defaultdict(list)
    for (stream, name), infos in listed.items():
        try:
            found[stream].append(_read(objects, stream, name, infos))
        except KernelsUnavailable:
            raise  # not the file's fault
        except DataflowError as error:
            report.unknown.append(f"{stream}: what attempt {name} committed, if anything: {error}")
    return found


def _read(objects: ObjectStore, stream: str, name: str, infos: Sequence[ObjectInfo]) -> Attempt:
    files: list[tuple[FileEntry, PointFile]] = []
    carried: list[FileEntry] = []
    floor: int | None = None
    numbers = sorted(int(info.path.rpartition("-")[2].removesuffix(".points")) for info in infos)
    for info in sorted(infos, key=lambda i: int(i.path.rpartition("-")[2].removesuffix(".points"))):
        data = objects.read(info.path, 0, info.size)
        file = PointFile.open(lambda at, n, data=data: data[at : at + n], info.size, info.path)  # type: ignore[misc]
        verify_file(file)
        replaced = Replaced.parse(file.origin)
        if SEQ in file.schema and replaced is None:
            raise StoreError(f"{info.path} is of a compaction, and does not say which files it replaces")
        if (file.origin or {}).get("stream", stream) != stream:
            raise StoreError(f"{info.path} is another stream's file")
        entry = FileEntry(
            info.path, file.day, file.rows, info.size,
            int(file.blocks["t_min"].min()), int(file.blocks["t_max"].max()), hashlib.sha256(data).hexdigest(),
            file.keys, 0, {c: int(file.chunks(c)["nulls"].sum()) for c in file.schema}, footer=file.footer_digest,
        )  # fmt: skip
        if (said := (file.origin or {}).get("floor", "")).isdecimal():
            floor, carried = int(said), [*carried, entry]
            numbers.remove(int(info.path.rpartition("-")[2].removesuffix(".points")))
            continue
        if replaced is not None and entry.compacted:
            entry = dataclass_replace(entry, content=f"{entry.content_hash:064x}", repeats=replaced.repeats)
        files.append((entry, file))
    own = [n for n, (entry, _) in zip(numbers, files, strict=True) if not entry.compacted]
    if own:  # of an ingest that replaced sources, the last try counts
        begin = max([*own, *numbers]) // A_TRY * A_TRY if len(own) < len(files) else 0
        files = [f for n, f in zip(numbers, files, strict=True) if n >= begin or not f[0].compacted]
    written = max(info.modified for info in infos)
    found = Attempt(stream, name, written, tuple(files), floor=floor, carried=tuple(carried))
    if files and found.gaps and found.order is None:
        raise StoreError(f"only its files {', '.join(map(str, numbers))} are there")
    return found


def _taken(
    stream: str, attempts: Iterable[Attempt], certain: set[str], log: Found | None, report: Report
) -> Iterator[Attempt]:
    """The attempts that were committed, or that conflict with no other.

    Of several with one source or content, the one that others name, else the one with most rows.
    """
    sources = {record.source for record in log.records} if log is not None else set()
    contents: set[tuple[str, ...]] = set()
    for attempt in sorted(attempts, key=lambda a: (a.name not in certain, -a.rows, a.written, a.name)):
        source = attempt.origin.get("source")
        # Equal rows without a source id come from one source that was tried twice, unless both were committed.
        again = source is None and attempt.name not in certain and attempt.content in contents
        if again or (source is not None and source in sources):
            report.done.append(f"{stream}: attempt {attempt.name} was skipped: its source is already there")
            continue
        if attempt.name not in certain and attempt.is_whole is False:
            report.unknown.append(
                f"{stream}: whether {attempt.what} was committed: it was skipped, because its ingest seems to have "
                "been interrupted; ingest its source again"
            )
            continue
        sources.add(source) if source is not None else contents.add(attempt.content)
        yield attempt


def _missing(taken: list[Attempt], certain: set[str], log: Found | None, head: tuple[int, str] | None) -> list[Attempt]:
    """The attempts, in commit order, that are missing in the log."""
    length = 0 if log is None else len(log.records)
    if log is not None and log.reaches(*(head or (0, ""))):
        # Nothing shows that the log is incomplete. If an attempt began at its end, or later, it is an older copy.
        return [attempt for attempt in taken if _is_newer(attempt, certain, length)]
    if head is not None:
        rest = [attempt.name for attempt in taken if attempt.name not in certain]
        room = max(0, head[0] - length - (len(taken) - len(rest)))
        chosen = {*certain, *rest[max(0, len(rest) - room) :]}
        return [attempt for attempt in taken if attempt.name in chosen]
    if log is not None:
        at = log.records[-1].at
        return [a for a in taken if _is_newer(a, certain, length) or (a.order is None and a.written >= at)]
    return taken


def _is_newer(attempt: Attempt, certain: set[str], length: int) -> bool:
    """Whether an attempt that the log does not name was committed after its end, or began there and is whole."""
    if attempt.name in certain:
        return True
    order = attempt.order
    if order is None or not attempt.is_whole:
        return False
    return order.seq > length or (order.seq == length and "source" in attempt.origin)


def _schema(catalogue: Catalogue, attempt: Attempt, unordered: int) -> StreamSchema:
    """The stream's schema as far as the attempt's files say it."""
    origin, (_, first) = attempt.origin, attempt.files[0]
    columns: dict[str, Type] = {}
    for _, file in attempt.files:
        for name, type_ in file.schema.items():
            if name != SEQ:
                columns[name] = type_ if columns.get(name) is not Type.FLOAT else Type.FLOAT
    held = catalogue.schema(attempt.stream)
    duplicates = origin.get("duplicates") or (held.duplicates if held is not None else "keep")
    id_ = origin.get("id") if origin else (held.id if held is not None else None)
    wide = {name: False for name, type_ in columns.items() if type_ is Type.INT}  # ingest asks the files
    return StreamSchema(
        first.key_name, first.key_type, first.time_name, columns, duplicates, id_, None, None, wide, unordered
    )


def _commit(
    catalogue: Catalogue, attempt: Attempt, unordered: int, report: Report, replaced: Mapping[str, Rows | None]
) -> None:
    origin = attempt.origin
    schema = _schema(catalogue, attempt, unordered)
    if not origin:
        line = f"{attempt.stream}: how it treats duplicates ({schema.duplicates!r} was taken), and its id column"
        if line not in report.unknown:
            report.unknown.append(line)
    source = origin.get("source") or hashlib.sha256(f"recovered {attempt.name}".encode()).hexdigest()
    if "source" not in origin and not attempt.compacted:
        report.unknown.append(
            f"{attempt.stream}: the source of attempt {attempt.name}: to ingest it again counts twice"
        )
    what = "compaction" if attempt.compacted else "attempt"
    entry = SourceEntry(
        source, f"(recovered from {what} {attempt.name})", 0, rows_read=attempt.rows, rows_committed=attempt.rows
    )
    try:
        if not attempt.rewritten or not replace_files(catalogue, attempt, schema, entry, replaced):
            catalogue.commit(attempt.stream, schema, entry, attempt.entries, attempt.name)
    except SchemaConflict as error:
        report.unknown.append(f"{attempt.stream}: why attempt {attempt.name} does not fit (it was skipped): {error}")
