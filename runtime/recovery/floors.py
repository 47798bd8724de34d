"""Restores the floor of a stream: files that hold what is carried in at it say which day it was raised to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from runtime.catalogue import Catalogue, FileEntry, Left, file_path, new_attempt
from runtime.catalogue.items.entries import DAY, day_name
from runtime.objects import ObjectStore
from runtime.recovery.attempt import Attempt


class RecoveryLines(Protocol):
    """What was done, and what stays unknown; one sentence each."""

    done: list[str]
    unknown: list[str]


def restore_floor(
    objects: ObjectStore, catalogue: Catalogue, stream: str, attempts: Sequence[Attempt], lines: RecoveryLines
) -> None:
    """Raise the floor as the last of these attempts did, if all points below it are gone; else leave it out, because
    it may not have been committed."""
    raised = [attempt for attempt in attempts if attempt.floor is not None]
    if not raised or stream not in catalogue.streams():
        return
    last = max(raised, key=lambda a: (a.floor or 0, a.written))
    floor, snapshot = last.floor or 0, catalogue.snapshot(stream)
    day = day_name(floor)
    if snapshot.floor is not None and snapshot.floor >= floor:
        return
    if any(file.t_min < floor * DAY for file in snapshot.files):
        lines.unknown.append(
            f"{stream}: whether the points before {day} were retired: files with some of them are still there, so they "
            f"count; to retire them: dataflow retain --before {day}"
        )
        return
    # An attempt commits once, and its other files may be committed already: these are another's.
    attempt = new_attempt()
    carried = [_copied(objects, file, stream, attempt, n) for n, file in enumerate(last.carried)]
    times = [t for file in (*snapshot.files, *carried) for t in (file.t_min, file.t_max)]
    left = Left(snapshot.seq, min(times, default=None), max(times, default=None))
    if catalogue.raise_floor(stream, floor, [], carried, attempt, left) is not None:
        for file in last.carried:
            objects.delete(file.path)
        lines.done.append(f"{stream}: points before {day} are retired, as before; the last values are known")


def _copied(objects: ObjectStore, file: FileEntry, stream: str, attempt: str, number: int) -> FileEntry:
    path = file_path(stream, file.day, attempt, number)
    objects.put(path, objects.read(file.path, 0, file.bytes))
    return replace(file, path=path)
