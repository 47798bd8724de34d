"""Commits again what replaced files: compactions, and removals of rows (undo, erasure).

Their inputs are committed first, as far as they are there. So each row counts once, whichever of them are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace as dataclass_replace
from typing import Protocol

from runtime.catalogue import Catalogue, FileEntry, SourceEntry, StreamSchema, new_attempt
from runtime.catalogue.items.changes import Left, TakenBack
from runtime.catalogue.items.compaction_origin import Replaced
from runtime.catalogue.items.entries import DAY, order_of
from runtime.progress import count_of
from runtime.recovery.attempt import Attempt, number_of
from runtime.recovery.compactions import Chosen, replaces, rows_by_order
from runtime.recovery.known_log import KnownLog

Rows = Counter[int]
"""How many rows there are of each commit order."""


class Unknown(Protocol):
    """What stays unknown; one sentence each."""

    unknown: list[str]


def replaced_by(attempt: Attempt, chosen: Chosen, held: KnownLog) -> dict[str, Rows | None]:
    """The files that an attempt replaced, by path, and their rows if they are known."""
    out: dict[str, Rows | None] = {}
    for c in chosen.used:
        if c.attempt.name != attempt.name:
            continue
        out |= {file.path: held.rows(file) for file in held.inputs(c)}
        for a in chosen.attempts:
            for entry, file in a.files:
                if entry.path in chosen.superseded and replaces(c, a, entry, chosen.numbers):
                    order = order_of(chosen.numbers.get(a.name, 0), number_of(entry.path))
                    out[entry.path] = rows_by_order(file) if entry.compacted else Counter({order: entry.rows})
            for entry in a.absent:
                if replaces(c, a, entry, chosen.numbers):
                    order = order_of(chosen.numbers[a.name], number_of(entry.path))
                    out[entry.path] = Counter({order: entry.rows})
    return out


def replace_files(
    catalogue: Catalogue,
    attempt: Attempt,
    schema: StreamSchema,
    entry: SourceEntry,
    replaced: Mapping[str, Rows | None],
) -> bool:
    """Commit an attempt that replaced files; False if none of them is live, so that it is a commit like any other."""
    dels = _live(catalogue, attempt.stream, replaced)
    if not dels:
        return False
    adds = attempt.entries
    left = _left(catalogue, attempt.stream, dels, adds)
    after = sum((rows_by_order(file) for _, file in attempt.rewritten), Counter[int]())
    known = [replaced[f.path] for f in dels]
    before = sum((rows for rows in known if rows is not None), Counter[int]())
    if not attempt.compacted or None in known or not after <= before:
        # It has rows of others, too.
        catalogue.commit(attempt.stream, schema, entry, adds, attempt.name, replacing=TakenBack((), dels, [], left))
    elif after == before:
        catalogue.replace(attempt.stream, dels, with_contents(dels, adds), attempt.name)
    else:
        said = Replaced.parse(attempt.origin)
        what, *ids = (said.removes if said is not None else "").split() or [""]
        floor = attempt.floor
        below = [] if floor is None else [f for f in _live(catalogue, attempt.stream) if f.t_min < floor * DAY]
        if what == "retire" and floor is not None and not {f.path for f in below} - {f.path for f in dels}:
            adds = [*adds, *attempt.carried]
            left = _left(catalogue, attempt.stream, dels, adds)
            catalogue.raise_floor(attempt.stream, floor, dels, adds, attempt.name, left)
            return True
        sources = [id_ for id_ in ids if what == "undo" and _is_live(catalogue, attempt.stream, id_)]
        if sources:
            catalogue.undo(attempt.stream, sources, dels, adds, attempt.name, left)
        else:
            catalogue.erase(attempt.stream, (), dels, adds, attempt.name, left)
    return True


def leave_out(
    catalogue: Catalogue, stream: str, held: KnownLog, is_older: bool, said: Collection[str], report: Unknown
) -> None:
    """Remove files that are not there, in a log that ``is_older`` than the store: later commits have removed them.
    In one that seems to be complete they are damage, and stay. Of those at the paths ``said`` the report says so."""
    gone = [f for f in _live(catalogue, stream) if f.path not in held.there]
    if is_older and gone:
        catalogue.erase(stream, (), gone, [], new_attempt(), _left(catalogue, stream, gone, []))
    gone = [f for f in gone if f.path not in said]
    if not gone:
        return
    text = (
        f"{stream}: {count_of(sum(f.rows for f in gone), 'row')} in {count_of(len(gone), 'file')} that the log names "
        "are not there: "
    )
    if is_older:
        text += (
            "they were left out, as a later commit may have taken them back or erased them. If they were lost, put "
            "them back, remove the catalogue, and recover from the copy again"
        )
    else:
        text += (
            "put them back; if the catalogue is an older copy, a later commit may have taken them back or erased them"
        )
    report.unknown.append(text)


def with_contents(before: Sequence[FileEntry], after: Sequence[FileEntry]) -> list[FileEntry]:
    """The entries of files with the same rows as those before, with contents that add up to theirs."""
    rest = sum(f.content_hash for f in before) - sum(f.content_hash for f in after[1:])
    return [dataclass_replace(after[0], content=f"{rest % (1 << 256):064x}"), *after[1:]]


def _is_live(catalogue: Catalogue, stream: str, source: str) -> bool:
    entry = catalogue.is_ingested(stream, source)
    return entry is not None and not entry.undone and entry.quarantined is None


def _live(catalogue: Catalogue, stream: str, paths: Iterable[str] | None = None) -> list[FileEntry]:
    """The live files of a stream, or those of them that are at these paths."""
    files = catalogue.snapshot(stream).files if stream in catalogue.streams() else ()
    wanted = None if paths is None else set(paths)
    return [f for f in files if wanted is None or f.path in wanted]


def _left(catalogue: Catalogue, stream: str, dels: Sequence[FileEntry], adds: Sequence[FileEntry]) -> Left:
    """What remains when files are replaced."""
    snapshot, gone = catalogue.snapshot(stream), {f.path for f in dels}
    times = [t for f in (*snapshot.files, *adds) if f.path not in gone for t in (f.t_min, f.t_max)]
    return Left(snapshot.seq, min(times, default=None), max(times, default=None))
