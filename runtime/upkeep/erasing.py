"""Erases the points of a key, or all of a stream, from everything that a store has of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from operators.types import Type
from runtime.catalogue import Catalogue, SourceEntry, StreamSchema
from runtime.catalogue.items.changes import key_digest
from runtime.errors import QueryError
from runtime.objects import ObjectStore
from runtime.objects.object_store import ObjectInfo
from runtime.progress import count_of
from runtime.upkeep.erased_rejects import erase_all_rejects, erase_rejects, searched
from runtime.upkeep.sweep_plan import STANDARD
from runtime.upkeep.taking_back import RowRemoval, TakingBack


@dataclass(frozen=True)
class EraseReport:
    """What an erasure did: a record that shows it, without the data.

    ``key`` is the SHA-256 by which the key is known from now on (None: the whole stream), ``commit`` and ``at``
    (microseconds UTC) are those of the commit that made it known. ``rows`` were in ``files``; ``rejects`` records were
    in ``rejects_objects`` (for a whole stream only these are counted); ``states`` that queries kept (of published
    queries, and snapshots of last values) and saved ``answers`` were deleted. ``until``: the replaced files stay until
    then, for queries that run, and go with the next sweep after it; None if there are none. ``sources`` is how many
    sources have names or options with the key, which the catalogue keeps.
    """

    stream: str
    key: str | None
    commit: int | None
    at: int | None
    rows: int
    files: int
    rejects: int
    rejects_objects: int
    states: int
    answers: int
    until: int | None
    sources: int
    dry_run: bool = False
    names: tuple[str, ...] = ()
    """The names of these sources: not part of the record."""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON; times as ISO-8601."""
        out = asdict(self)
        del out["names"]
        for name in ("at", "until"):
            out[name] = None if out[name] is None else _time(out[name])
        return out

    def __str__(self) -> str:
        what = f"the stream {self.stream}" if self.key is None else f"key sha256:{self.key} of {self.stream}"
        rejects = f"{count_of(self.rejects_objects, 'object')} of rejects"
        if self.key is not None:
            rejects = f"{count_of(self.rejects, 'rejected record')} in {rejects}"
        points = f"{count_of(self.rows, 'point')} in {count_of(self.files, 'file')}"
        if self.key is not None and not self.files:
            points = "no point has this key"
        counts = f"{points}, {rejects}, {count_of(self.states, 'kept state')}, {count_of(self.answers, 'saved answer')}"
        if self.dry_run or self.at is None:
            return f"would erase {what}: {counts}"
        lines = [
            f"erased {what}: {counts}",
            f"commit {self.commit} of {_time(self.at)}; no answer has them from then on",
        ]
        if self.key is not None and not self.files:
            lines[1] = f"commit {self.commit} of {_time(self.at)}; later ingests leave out points of it up to then"
        if self.until is not None:
            lines.append(
                f"the replaced {'file stays' if self.files == 1 else 'files stay'} until {_time(self.until)}; then "
                f"`dataflow sweep` removes {'it' if self.files == 1 else 'them'}, with all versions"
            )
        return "\n".join(lines)


NOT_COVERED = (
    "not in the store, so not erased: the files or landing objects that were ingested, backups, exports and copies"
)


def erase(
    objects: ObjectStore,
    catalogue: Catalogue,
    back: TakingBack,
    stream: str,
    key: str | int | None,
    kept: Callable[[], tuple[list[ObjectInfo], list[ObjectInfo]]],
    dry_run: bool = False,
) -> EraseReport:
    """Erase a key, or with None the stream. ``kept`` lists the objects of states and of answers that may have it.

    Answers are without it from the first commits on; an erasure that is interrupted can be repeated.
    """
    schema = catalogue.snapshot(stream, 0, 0).schema
    named: tuple[str, ...] = ()
    if key is None:
        commit, at, removal = (None, None, back.everything()) if dry_run else _whole(catalogue, back, stream)
        records, changed = 0, erase_all_rejects(objects, stream, dry_run)
    else:
        key = typed_key(key, schema)
        named = tuple(sorted({entry.name for entry in catalogue.sources(stream) if _names(entry, key)}))
        commit, at, removal = (None, None, back.without_key(key)) if dry_run else _key(catalogue, back, stream, key)
        records, changed = erase_rejects(objects, stream, key, dry_run)
    states, answers = kept()
    if not dry_run:
        for info in (*states, *answers):
            objects.delete(info.path, versions=True)
    return EraseReport(
        stream=stream,
        key=None if key is None else key_digest(key),
        commit=commit,
        at=at,
        rows=removal.rows,
        files=len(removal.dels),
        rejects=records,
        rejects_objects=changed,
        states=len(states),
        answers=len(answers),
        until=None if at is None or not removal.dels else at + STANDARD.grace,
        sources=len(named),
        dry_run=dry_run,
        names=named,
    )


def typed_key(key: str | int, schema: StreamSchema) -> str | int:
    """A key as the stream has it; QueryError if it can have none such."""
    if schema.key_type is Type.STRING:
        if not str(key):
            raise QueryError("an empty text is no key: name the key whose points are to be erased")
        return str(key)
    written = isinstance(key, int) or re.fullmatch(r"-?[0-9]{1,19}", key) is not None
    number = int(key) if written else 2**63
    if isinstance(key, bool) or not -(2**63) <= number < 2**63:
        raise QueryError(f"{key!r} is not a key of this stream: its keys ({schema.key}) are int64")
    return number


def _key(catalogue: Catalogue, back: TakingBack, stream: str, key: str | int) -> tuple[int, int, RowRemoval]:
    noted, removal = back.erase_key(key)
    return noted.seq, catalogue.erased(stream)[key_digest(key)].at, removal


def _whole(catalogue: Catalogue, back: TakingBack, stream: str) -> tuple[int, int, RowRemoval]:
    done, removal = back.erase_all()
    return done.seq, next(r.at for r in catalogue.records(stream) if r.seq == done.seq), removal


def _names(entry: SourceEntry, key: str | int) -> bool:
    """Whether the name or an option of a source has the key."""
    holds = searched(key)
    return holds(entry.name) or any(map(holds, _texts(entry.options.values())))


def _texts(values: Iterable[Any]) -> Iterable[str]:
    return (str(value) for value in values if value is not None)


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
