"""Retention: retires the points of a stream before a day; the day only rises.

Of what is retired, each key's last row and the last value of each column are kept, so that states which last go on. The
replaced files go with the sweep, a day later.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from dataflow.times.durations import parse_duration, written_duration
from runtime.catalogue.items.entries import DAY, day_name
from runtime.catalogue.snapshot import Snapshot
from runtime.errors import QueryError, StoreError
from runtime.objects import ObjectStore
from runtime.progress import count_of
from runtime.upkeep.taking_back import TakingBack, is_retired

_TRIES = 20

STEP = 32 << 20
"""Rows that are retired by one commit where there may be little time."""


@dataclass(frozen=True)
class RetainReport:
    """What a retention did, or in a ``dry_run`` would do.

    ``day`` is the first one that is kept (days since 1970-01-01), ``rows`` of the ``of`` points are before it and went,
    in or from ``files`` files; ``carried`` the rows that stand for what is retired. ``policy`` is how long the stream
    keeps its points from now on, if that was set.
    """

    stream: str
    day: int
    rows: int
    of: int
    files: int
    carried: int
    policy: str | None
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON; ``day`` as a date."""
        return asdict(self) | {"day": day_name(self.day)}

    @property
    def points(self) -> str:
        """The points that go, in words."""
        return f"{self.rows:,} of {count_of(self.of, 'point')}, those before {day_name(self.day)}"

    def __str__(self) -> str:
        points = f"{self.points}, in {count_of(self.files, 'file')}"
        if not self.rows and not self.carried:
            text = f"there are no points before {day_name(self.day)} to retire"
        elif self.dry_run:
            return f"{self.stream}: would retire {points}"
        else:
            text = f"retired {points}; kept {count_of(self.carried, 'row')} with each key's last values"
        return f"{self.stream}: {text}" + ("" if self.policy is None else f"; {policy_text(self.policy)}")


@dataclass(frozen=True)
class RetentionState:
    """What is retired of a stream (the points before the date ``floor``), and how long it keeps its points."""

    stream: str
    floor: str | None
    policy: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        retired = "nothing is retired" if self.floor is None else f"points before {self.floor} are retired"
        kept = "no policy: all others are kept" if self.policy is None else policy_text(self.policy)
        return f"{self.stream}: {retired}; {kept}"


def state_of(objects: ObjectStore, snapshot: Snapshot) -> RetentionState:
    """What is retired of the stream of a snapshot, and its policy."""
    floor = None if snapshot.floor is None else day_name(snapshot.floor)
    return RetentionState(snapshot.stream, floor, policy_of(objects, snapshot.stream))


def policy_text(keep: str) -> str:
    """A policy in words."""
    return f"`dataflow optimize` keeps {keep} from now on"


def retain(back: TakingBack, stream: str, day: int, policy: str | None, workers: int, dry_run: bool) -> RetainReport:
    """Retire what is before a day; nothing if the stream's floor is there, or higher, already. QueryError if no points
    would be left."""
    removal, adds = (back.before(day), []) if dry_run else back.retain(day, workers)
    points = sum(file.rows for file in removal.snapshot.points)
    if is_retired(removal.snapshot, day):
        return RetainReport(stream, max(day, removal.snapshot.floor or day), 0, points, 0, 0, policy, dry_run)
    carried = sum(file.rows for file in adds if file.t_max < day * DAY)
    return RetainReport(stream, day, removal.rows, points, len(removal.dels), carried, policy, dry_run)


def retain_in_steps(
    back: TakingBack, snapshot_of: Callable[[], Snapshot], keep: int, workers: int, goes_on: Callable[[int], bool]
) -> tuple[list[RetainReport], bool]:
    """Retire all but the last ``keep`` microseconds, some ``STEP`` rows a commit: what is done stays done.

    ``goes_on`` says whether there is time for a step of so many rows. The reports, and whether something is left.
    """
    done: list[RetainReport] = []
    while True:
        snapshot = snapshot_of()
        day = day_to_keep(snapshot, keep)
        if day is None or is_retired(snapshot, day):
            return done, False
        floor, rows = _next_floor(snapshot, day)
        if not goes_on(rows):
            return done, True
        done.append(retain(back, snapshot.stream, floor, None, workers, dry_run=False))


def _next_floor(snapshot: Snapshot, day: int) -> tuple[int, int]:
    """The day to raise the floor to next, on the way to ``day``, and how many rows are read for it."""
    rows = 0
    first = None
    for file in sorted(snapshot.files, key=lambda file: file.t_min):
        begins = file.t_min // DAY
        if begins >= day:
            break
        if first is None and not snapshot.is_carried(file):
            first = begins
        if first is not None and begins > first and rows + file.rows > STEP:
            return begins, rows
        rows += file.rows
    return day, rows


def day_to_keep(snapshot: Snapshot, keep: int) -> int | None:
    """The first day that is kept if ``keep`` microseconds before the newest event are, 1970-01-01 at the earliest; None
    without points."""
    return None if snapshot.last_time is None else max(0, (snapshot.last_time - keep) // DAY)


def day_of(before: int) -> int:
    """The day that begins at the time ``before``; QueryError if none does."""
    if before % DAY:
        raise QueryError("before: points are retired by whole days (UTC): give a date, such as 2024-03-01")
    return before // DAY


def length_of(keep: str | timedelta) -> int:
    """Microseconds of ``keep``; QueryError if it is less than a day."""
    micros = parse_duration(keep, "keep")
    if micros < DAY:
        raise QueryError("keep: points are retired by whole days: keep at least '1d'")
    return micros


# The policy of a stream is the last of its objects ``retention/STREAM/N.json``: objects never change.


def policy_of(objects: ObjectStore, stream: str) -> str | None:
    """How long a stream keeps its points when the store is optimized; None: for ever."""
    found = _policies(objects, stream)
    if not found:
        return None
    path = found[-1]
    try:
        keep = json.loads(objects.read(path, 0, objects.size(path)))["keep"]
        return None if keep is None else written_duration(length_of(keep))
    except (ValueError, KeyError, TypeError, QueryError) as error:
        raise StoreError(f"{path!r} is damaged: set the policy anew with `dataflow retain`.") from error


def set_policy(objects: ObjectStore, stream: str, keep: str | None) -> None:
    """From now on a stream keeps its points for so long; None: for ever."""
    for tries_left in reversed(range(_TRIES)):
        path = f"retention/{stream}/{len(_policies(objects, stream)) + 1:06d}.json"
        try:
            objects.put(path, json.dumps({"keep": keep}).encode())
            return
        except StoreError:
            if not tries_left or path not in _policies(objects, stream):
                raise  # otherwise another process has just set one


def end_policy(objects: ObjectStore, stream: str) -> None:
    """A stream keeps its points for ever, if there was a policy."""
    if _policies(objects, stream):
        set_policy(objects, stream, None)


def _policies(objects: ObjectStore, stream: str) -> list[str]:
    return sorted(info.path for info in objects.list(f"retention/{stream}/"))
