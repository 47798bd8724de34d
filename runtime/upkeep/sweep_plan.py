"""What a sweep can remove, and why: the logs are read first, the listing second, as CATALOGUE.md says.

In this order a file that is listed and named by no log was not committed when the log was read. Whether it can still be
committed is decided by its claim, when it is removed (``sweep``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from operators.compiler.cache import KernelsUnavailable
from operators.errors import DataflowError
from runtime.catalogue import Catalogue, attempt_of
from runtime.catalogue.items.commit_order import LETTERS, Order
from runtime.errors import FormatError, StoreError
from runtime.objects import ObjectInfo, ObjectStore
from runtime.pointfile import PointFile
from runtime.storage.locations import has_points

REPLACED, ORPHAN, TEMPORARY, STATE, VERSION = "replaced", "orphan", "temporary", "state", "version"
"""Why a file can go: a commit replaced it; no commit ever named it; a put did not finish; it is the state of a query
that may have begun before an erasure; it is what a bucket with versions still has of a deleted file of a stream from
which something was erased."""

HOUR = 3_600_000_000
_POINTS = re.compile(r"data/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})/\d{4}-\d\d-\d\d/[a-z0-9]{1,64}-\d+\.points")
_REJECTS = re.compile(r"rejects/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})/[0-9a-f]{64}(?:-([a-z0-9]{1,64}))?\.ndjson")


@dataclass(frozen=True)
class SweepRules:
    """When files go; times are in microseconds.

    Replaced files go ``grace`` after the commit that replaced them: until then queries that began before it read them.
    Orphans go ``orphan_age`` after they were written, temporary files after ``temporary_age``. A sweep stops if the
    orphans are more than one in ``share`` of the files below data/, and more than ``few``.
    """

    grace: int = 24 * HOUR
    orphan_age: int = 7 * 24 * HOUR
    temporary_age: int = 24 * HOUR
    share: int = 100
    few: int = 16


STANDARD = SweepRules()


@dataclass(frozen=True)
class Sweepable:
    """A file that goes, or will once it is old enough; ``stream`` is None for temporary files."""

    path: str
    bytes: int
    reason: str
    stream: str | None = None


@dataclass(frozen=True)
class OrphanedAttempt:
    """The files of an attempt that no commit names: points, and rejects that only it wrote."""

    stream: str
    attempt: str
    files: tuple[ObjectInfo, ...]

    @property
    def points(self) -> tuple[ObjectInfo, ...]:
        """Its point files."""
        return tuple(file for file in self.files if file.path.startswith("data/"))

    @property
    def written(self) -> int:
        """When its last file was written, by the object store's clock."""
        return max(file.modified for file in self.files)

    def sweepable(self) -> Iterator[Sweepable]:
        """Its files."""
        return (Sweepable(file.path, file.size, ORPHAN, self.stream) for file in self.files)


@dataclass
class SweepPlan:
    """What can go now, what later, and what is left alone (one sentence each). ``listed`` counts the point files."""

    replaced: list[Sweepable] = field(default_factory=list)
    orphans: list[OrphanedAttempt] = field(default_factory=list)
    later: list[Sweepable] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    listed: int = 0
    erased: dict[str, int] = field(default_factory=dict)
    """Streams of which something was erased, and when: nothing of them may be brought back from older versions."""
    needed: dict[str, set[str]] = field(default_factory=dict)
    """Of those streams, what the catalogue refers to: older versions may be all that is left of it. A stream whose
    catalogue is an older copy is not among them."""

    @property
    def orphaned_points(self) -> int:
        """The number of point files that no commit names and that can go."""
        return sum(len(orphan.points) for orphan in self.orphans)


class StreamFiles:
    """The files of a stream by its log: live ones, replaced ones with the time of that commit, attempts in order."""

    def __init__(self, catalogue: Catalogue, stream: str) -> None:
        self.live: set[str] = set()
        self.gone: dict[str, int] = {}
        self.attempts: list[str] = []
        self.erased: int | None = None
        """When a key of it, or all of it, was erased last."""
        for record in catalogue.records(stream):
            self.attempts.append(record.attempt)
            if record.erased or record.totals.begun == record.seq:
                self.erased = record.at
            for deletion in record.dels:
                self.live.discard(deletion.path)
                self.gone[deletion.path] = record.at
            self.live.update(file.path for file in record.adds)
        self.known = set(self.attempts)

    def has(self, order: Order) -> bool:
        """Whether the log has the commits before an attempt."""
        if order.seq > len(self.attempts):
            return False
        before = self.attempts[: order.seq][::-1]
        return all(mine[:LETTERS] == named for mine, named in zip(before, order.attempts, strict=False))


def sweep_plan(objects: ObjectStore, catalogue: Catalogue, rules: SweepRules, now: int) -> SweepPlan:
    """Find what can go at the time ``now`` (microseconds UTC); changes nothing."""
    names = catalogue.streams()
    if not names and has_points(objects):
        catalogue.begin()  # StoreError if it is another store's catalogue, or was lost: all files would be orphans
    logs = {name: StreamFiles(catalogue, name) for name in names}
    plan = SweepPlan(erased={name: log.erased for name, log in logs.items() if log.erased is not None})
    unnamed: dict[tuple[str, str], list[ObjectInfo]] = defaultdict(list)
    unknown: list[str] = []
    committed = {attempt for log in logs.values() for attempt in log.known}
    for info in objects.list("data/"):
        found = _POINTS.fullmatch(info.path)
        attempt = attempt_of(info.path)
        if found is None or attempt is None:
            unknown.append(info.path)
            continue
        plan.listed += 1
        stream, log = found[1], logs.get(found[1])
        if log is not None and info.path in log.live:
            continue
        if log is not None and info.path in log.gone:
            due = now - log.gone[info.path] >= rules.grace
            (plan.replaced if due else plan.later).append(Sweepable(info.path, info.size, REPLACED, stream))
        elif attempt in committed:
            plan.left.append(f"{info.path}: attempt {attempt} was committed, but not with this file")
        else:
            unnamed[stream, attempt].append(info)
    _add_rejects(objects, catalogue, logs, unnamed, plan, rules, now)
    attempts = [OrphanedAttempt(*names, tuple(files)) for names, files in unnamed.items()]
    older = _older_copies(objects, catalogue, logs, attempts)
    for orphan in attempts:
        if now - orphan.written < rules.orphan_age:
            plan.later += orphan.sweepable()
        elif orphan.stream not in older:
            plan.orphans.append(orphan)
    for stream, path in older.items():
        plan.left.append(
            f"what is in no commit of {stream}: {path} began after commits that the catalogue does not have, so the "
            "catalogue is an older copy; run `dataflow recover`"
        )
    if unknown:
        plan.left.append(f"{_listed(unknown)}: ingest gives no such names")
    _check_not_live(catalogue, logs, plan)
    for stream in plan.erased.keys() - older.keys():
        rejects = {entry.rejects_path for entry in catalogue.sources(stream) if entry.rejects_path is not None}
        plan.needed[stream] = logs[stream].live | rejects
    return plan


def _add_rejects(
    objects: ObjectStore,
    catalogue: Catalogue,
    logs: Mapping[str, StreamFiles],
    unnamed: dict[tuple[str, str], list[ObjectInfo]],
    plan: SweepPlan,
    rules: SweepRules,
    now: int,
) -> None:
    """Add the rejects of attempts that no commit names, and those of a source that was ingested again since.

    Objects without an attempt in their names, of earlier versions, are left unless a source refers to them.
    """
    referred = {entry.rejects_path for stream in logs for entry in catalogue.sources(stream)}
    left: list[str] = []
    for info in objects.list("rejects/"):
        if info.path in referred:
            continue
        found = _REJECTS.fullmatch(info.path)
        log = None if found is None else logs.get(found[1])
        if found is None or found[2] is None:
            left.append(info.path)
        elif log is not None and found[2] in log.known:
            due = now - info.modified >= rules.grace
            (plan.replaced if due else plan.later).append(Sweepable(info.path, info.size, REPLACED, found[1]))
        else:
            unnamed[found[1], found[2]].append(info)
    if left:
        plan.left.append(f"{_listed(left)}: no source names them, and they name no attempt")


def _older_copies(
    objects: ObjectStore, catalogue: Catalogue, logs: Mapping[str, StreamFiles], attempts: Iterable[OrphanedAttempt]
) -> dict[str, str]:
    """The streams where an attempt names commits before it that the log does not have, with one of its files.

    The catalogue is an older copy there, and orphans may be committed points: this one, and those before it. So young
    ones are looked at, too.
    """
    found: dict[str, str] = {}
    fresh: dict[str, StreamFiles] = {}
    for orphan in attempts:
        stream = orphan.stream
        order = next((order for info in orphan.points if (order := _order(objects, info)) is not None), None)
        if stream in found or order is None or (stream in logs and logs[stream].has(order)):
            continue
        # It may have begun after the log was read.
        if stream not in fresh:
            fresh[stream] = StreamFiles(catalogue, stream)
        if not fresh[stream].has(order):
            found[stream] = orphan.points[0].path
    return found


def _order(objects: ObjectStore, info: ObjectInfo) -> Order | None:
    """The commits before a file's attempt; None where the file does not say, or cannot be read."""
    path = info.path
    try:
        file = PointFile.open(lambda at, n: objects.read(path, at, n), info.size, path, objects.gap)
        return Order.parse((file.origin or {}).get("order"))
    except KernelsUnavailable:
        raise  # not the file's fault
    except FormatError:
        return None
    except DataflowError:
        # Gone meanwhile (another sweep), or cut short; a store that cannot be read fails again when files are removed.
        return None


def _check_not_live(catalogue: Catalogue, logs: Iterable[str], plan: SweepPlan) -> None:
    """Compare the plan with snapshots, which come from the day indices: what is live in one of them stays.

    StoreError for a replaced file; an orphan may have been committed since the log was read.
    """
    if not plan.replaced and not plan.orphans:
        return
    live = {file.path for stream in logs for file in catalogue.snapshot(stream).files}
    for file in plan.replaced:
        if file.path in live:
            raise StoreError(
                f"{file.path} was replaced by the log of its stream, but the day index has it: nothing was removed; "
                "run `dataflow verify`."
            )
    plan.orphans = [orphan for orphan in plan.orphans if live.isdisjoint(file.path for file in orphan.files)]


def _listed(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"
