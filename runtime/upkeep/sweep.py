"""Removes files that nothing needs any more: replaced ones, orphans, temporary ones.

Safe beside ingests, compactions, queries and other sweeps, and when it is killed at any point: a replaced file is never
live again, and an orphan goes only once its attempt is claimed, so that no commit of it can follow.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.catalogue import Catalogue
from runtime.errors import StoreError
from runtime.helpers import Helpers
from runtime.objects import ObjectStore
from runtime.objects.object_store import ObjectInfo
from runtime.progress import NoProgress, Progress, human_bytes
from runtime.upkeep.sweep_plan import (
    HOUR,
    ORPHAN,
    REPLACED,
    STANDARD,
    STATE,
    TEMPORARY,
    VERSION,
    OrphanedAttempt,
    Sweepable,
    SweepPlan,
    SweepRules,
    sweep_plan,
)

_SHOWN = 20
_ABOUT = {
    REPLACED: "that later commits replaced",
    ORPHAN: "of ingests that never committed",
    TEMPORARY: "that interrupted writes left",
    STATE: "that queries kept which may have begun before an erasure",
    VERSION: "that were deleted before something was erased, and could be brought back from their versions",
}
_LATER = {
    REPLACED: "replaced less than {grace} ago",
    ORPHAN: "of ingests that have not committed, less than {orphan_age} old",
}


class TooManyOrphans(StoreError):
    """More orphans than a sweep removes without ``allow_many``: the catalogue may be of another store."""


@dataclass(frozen=True)
class SweepReport:
    """What a sweep removed or, in a ``dry_run``, would remove.

    ``later`` goes once it is old enough. ``left`` are files that are nobody's, and stay; one sentence each.
    ``too_many`` is why it would stop before it removes anything (only in a dry run; otherwise ``TooManyOrphans``).
    """

    removed: tuple[Sweepable, ...]
    later: tuple[Sweepable, ...] = ()
    left: tuple[str, ...] = ()
    dry_run: bool = False
    too_many: str | None = None
    rules: SweepRules = STANDARD

    @property
    def bytes(self) -> int:
        """Bytes of the removed files."""
        return sum(file.bytes for file in self.removed)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "dry_run": self.dry_run,
            "files": len(self.removed),
            "bytes": self.bytes,
            "removed": [_to_dict(file) for file in self.removed],
            "later": [_to_dict(file) for file in self.later],
            "left": list(self.left),
            "too_many": self.too_many,
        }

    def __str__(self) -> str:
        verb = "would remove" if self.dry_run else "removed"
        lines = [f"{verb} {what} {_ABOUT[reason]}" for reason, what in _grouped(self.removed)]
        if not lines:
            lines = ["nothing to remove"]
        ages = {name: _age(getattr(self.rules, name)) for name in ("grace", "orphan_age")}
        lines += [f"later: {what} {_LATER[reason].format(**ages)}" for reason, what in _grouped(self.later)]
        lines += [f"left alone: {sentence}" for sentence in self.left[:_SHOWN]]
        if len(self.left) > _SHOWN:
            lines.append(f"and {len(self.left) - _SHOWN} more (--json lists all)")
        if self.too_many is not None:
            lines.append(f"it would stop: {self.too_many}")
        return "\n".join(lines)


def sweep(
    objects: ObjectStore,
    catalogue: Catalogue,
    dry_run: bool = False,
    allow_many: bool = False,
    rules: SweepRules | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    progress: Progress | None = None,
    states_of: Callable[[str], Iterable[ObjectInfo]] = lambda stream: (),
) -> SweepReport:
    """Remove what the ``rules`` allow; with ``dry_run`` only report it.

    TooManyOrphans, before anything is removed, if a large share of the point files are orphans, unless ``allow_many``.
    ``clock`` is the time in microseconds UTC, ``states_of`` gives the kept states of queries over a stream.
    """
    rules = rules or STANDARD
    now = clock()
    plan = sweep_plan(objects, catalogue, rules, now)
    many = None if allow_many else too_many(plan, rules)
    if many is not None and not dry_run:
        raise TooManyOrphans(
            f"{many}; nothing was removed. If the catalogue was replaced by an older copy, run `dataflow recover`; if "
            "these are left-overs (`dataflow sweep --dry-run --json` lists them), repeat with --allow-many."
        )
    if dry_run:
        removed = [*plan.replaced, *(file for orphan in plan.orphans for file in orphan.sweepable())]
        left = plan.left
    else:
        removed, left = _removed(objects, catalogue, plan, progress or NoProgress())
    late = [
        file for stream, at in plan.erased.items() for file in _late_states(states_of, stream, at + rules.grace, now)
    ]
    for file in () if dry_run else late:
        objects.delete(file.path, versions=True)
    removed += late
    removed += _versions(objects, plan, dry_run)
    old = objects.discard_temporary(now - rules.temporary_age, dry_run)
    removed += [Sweepable(info.path, info.size, TEMPORARY) for info in old]
    return SweepReport(tuple(removed), tuple(plan.later), tuple(left), dry_run, many, rules)


def _late_states(states_of: Callable[[str], Iterable[ObjectInfo]], stream: str, end: int, now: int) -> list[Sweepable]:
    """States of queries over a stream that may have begun before it was erased from: written before ``end``."""
    states = states_of(stream) if now >= end else ()
    return [Sweepable(info.path, info.size, STATE, stream) for info in states if info.modified < end]


def _versions(objects: ObjectStore, plan: SweepPlan, dry_run: bool) -> Iterator[Sweepable]:
    """What the bucket still has of deleted files of streams from which something was erased.

    A file that was swept before the erasure is in no log of replaced files that the erasure could have changed, and its
    versions have what was erased. What the catalogue refers to stays: if it was deleted, that was a mistake.
    """
    for stream, needed in sorted(plan.needed.items()):
        for folder in ("data", "rejects"):
            for info in objects.discard_deleted(f"{folder}/{stream}/", dry_run, needed):
                yield Sweepable(info.path, info.size, VERSION, stream)


def too_many(plan: SweepPlan, rules: SweepRules) -> str | None:
    """Why a sweep stops: the share of orphans among the point files is large; None if it is not."""
    count = plan.orphaned_points
    if count <= rules.few or count * rules.share <= plan.listed:
        return None
    return (
        f"{count:,} of the {plan.listed:,} files below data/ are in no commit, more than {rules.few} and more than "
        f"1 in {rules.share}"
    )


def _removed(
    objects: ObjectStore, catalogue: Catalogue, plan: SweepPlan, progress: Progress
) -> tuple[list[Sweepable], list[str]]:
    """Remove what is planned; returns what was removed, and what is left alone."""
    left = list(plan.left)
    orphans = sum(len(orphan.files) for orphan in plan.orphans)
    task = progress.start("sweep", len(plan.replaced) + orphans, "files")

    def one(file: Sweepable) -> list[Sweepable]:
        objects.delete(file.path, versions=file.stream in plan.erased)
        task.advance(1)
        return [file]

    def attempt(orphan: OrphanedAttempt) -> list[Sweepable]:
        if not catalogue.claim_for_sweep(orphan.stream, orphan.attempt):
            left.append(
                f"{orphan.files[0].path} and {len(orphan.files) - 1} more: attempt {orphan.attempt} was committed "
                "meanwhile, or whether it was is not known"
            )
            return []
        return [file for found in orphan.sweepable() for file in one(found)]

    try:
        with Helpers(max(1, objects.at_once), "antfold-sweep") as pool:
            parts = [*pool.map(one, plan.replaced), *pool.map(attempt, plan.orphans)]
    finally:
        task.finish()
    return [file for part in parts for file in part], left


def _grouped(files: Iterable[Sweepable]) -> Iterator[tuple[str, str]]:
    """Each reason, and how many files of which stream and how many bytes."""
    groups: dict[tuple[str | None, str], list[Sweepable]] = defaultdict(list)
    for file in files:
        groups[file.stream, file.reason].append(file)
    for (stream, reason), some in groups.items():
        kind = "temporary file" if reason == TEMPORARY else "file"
        of = "" if stream is None else f" of {stream}"
        size = human_bytes(sum(file.bytes for file in some))
        yield reason, f"{len(some):,} {kind}{'' if len(some) == 1 else 's'}{of} ({size})"


def _age(us: int) -> str:
    """An age in hours or days."""
    hours = us / HOUR
    return f"{hours:g} h" if hours <= 48 else f"{hours / 24:g} days"


def _to_dict(file: Sweepable) -> dict[str, object]:
    return {"path": file.path, "bytes": file.bytes, "reason": file.reason, "stream": file.stream}
