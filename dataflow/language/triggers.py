"""When the changes of a followed answer are emitted: the triggers of the Dataflow model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from dataflow.plan.row_times import RowTimes
from dataflow.times.durations import parse_duration, written_duration
from dataflow.values.mistaken import shown
from dataflow.values.settings import Setting
from operators.errors import DataflowError
from operators.nearest import meant

_WHERE = "trigger"


@dataclass(frozen=True)
class Trigger:
    """When an answer is emitted: as soon as one of its conditions is met (see ``trigger``); ``every`` is in
    microseconds."""

    every: int | None = None
    rows: int | None = None
    commit: bool = False
    watermark: bool = False
    early: Trigger | None = None
    late: Trigger | None = None

    def to_dict(self) -> dict[str, Any]:
        """The conditions as JSON, those that are there."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, False)}
        if self.every is not None:
            found["every"] = written_duration(self.every)
        return {name: value.to_dict() if isinstance(value, Trigger) else value for name, value in found.items()}

    @classmethod
    def from_dict(cls, value: object) -> Trigger:
        """The trigger of that JSON; DataflowError for any other."""
        known = [f.name for f in fields(cls)]
        if not isinstance(value, Mapping):
            raise DataflowError(f"{_WHERE}: {value!r:.100} is not an object of conditions")
        if unknown := [name for name in value if name not in known]:
            there = meant(str(unknown[0]), known, "there")
            raise DataflowError(f"{_WHERE}: there is no condition {unknown[0]!r:.100}; {there} are {', '.join(known)}")
        parts = {name: cls.from_dict(value[name]) for name in ("early", "late") if value.get(name) is not None}
        return trigger(**{**value, **parts})

    def __repr__(self) -> str:
        return f"df.trigger({self.written()})"

    def written(self) -> str:
        """The conditions as they are given to ``df.trigger``."""
        found = self.to_dict()
        parts = {name: getattr(self, name) if isinstance(value, dict) else value for name, value in found.items()}
        return ", ".join(f"{name}={part!r}" for name, part in parts.items())


def trigger(
    every: str | timedelta | None = None,
    *,
    rows: int | None = None,
    commit: bool = False,
    watermark: bool = False,
    early: Trigger | None = None,
    late: Trigger | None = None,
) -> Trigger:
    """When a follower emits what has changed in an answer: as soon as one of these conditions is met.

    ``every``: so long after the last emission. ``rows``: so many points came, or were taken away, since the last
    emission. ``commit``: after each commit. ``watermark``: when the watermark has passed the end of a row
    (``on_time``), and when such a row changes later (``late``). With ``watermark``, ``early`` is the trigger for
    changes of rows that have not ended (without it, none), ``late`` the one for changes of rows that have (at once).

    What is emitted is always everything that has changed since the last emission, so that the changes applied in order
    are the answer of a snapshot. DataflowError for conditions that are none.
    """
    found = Trigger(
        None if every is None else _length(every), _count(rows), _flag("commit", commit), _flag("watermark", watermark),
        _part("early", early), _part("late", late),
    )  # fmt: skip
    if not found.watermark and (early is not None or late is not None):
        raise DataflowError("trigger: early= and late= are parts of watermark=True")
    if found == Trigger():
        raise DataflowError("trigger: give a condition, such as every='5s', rows=1000, commit=True or watermark=True")
    return found


def check_ends(trigger: Trigger, times: RowTimes) -> None:
    """DataflowError for a trigger by the watermark of a metric whose rows have no end that it could pass."""
    if trigger.watermark and not times.ends:
        raise DataflowError(
            "trigger: watermark=True needs rows that end: group by a bucket of time, such as "
            "hour=df.time().truncate('1h'), or use window(...); or give another trigger (every=, rows=, commit=)"
        )


def _length(every: str | timedelta) -> int:
    found = parse_duration(every, "trigger(every)")
    if isinstance(found, Setting):
        raise DataflowError("trigger(every): a parameter has no value here; give a duration, such as '5s'")
    return found


def _count(rows: object) -> int | None:
    if rows is None or (isinstance(rows, int) and not isinstance(rows, bool) and 0 < rows < 1 << 63):
        return rows
    raise DataflowError(f"trigger(rows): {shown(rows)} is not a whole number above 0")


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise DataflowError(f"trigger({name}): it is True or False, not {shown(value)}")
    return value


def _part(name: str, value: object) -> Trigger | None:
    if value is not None and not isinstance(value, Trigger):
        raise DataflowError(f"trigger({name}): it is a df.trigger(...), not {shown(value)}")
    if value is not None and value.watermark:
        raise DataflowError(f"trigger({name}): it is of every=, rows= and commit=, not of the watermark again")
    return value
