"""Runs a published query for a scheduled time: relative range, saved result, thresholds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from operators.nearest import meant
from runtime.errors import FormatError, QueryError, StoreError
from runtime.objects import ObjectStore
from runtime.objects.object_store import FileMissing
from runtime.result.proof import digest
from runtime.schedules.relative_times import is_relative, resolved
from runtime.schedules.thresholds import Threshold, Violation, judged

if TYPE_CHECKING:
    from runtime.progress import Progress
    from runtime.published.definition import Published
    from runtime.result.result import Result
    from runtime.store import Store

_LARGEST = 256 << 20
_LISTED = 50
"""Rows that an alert lists; it also gives their total."""

_KEYS = ("query", "version", "params", "since", "until", "zone", "save", "csv", "alert", "every", "deliver",
         "lateness", "mode")  # fmt: skip

ALERTS = "alerts"
"""What ``deliver`` calls the topic of a deployment's own alerts."""


@dataclass(frozen=True)
class Schedule:
    """A published query (``version`` None: the latest), its parameters, its range (ISO-8601, or relative to the
    scheduled time: ``-7d``, ``today``, ``yesterday`` in ``zone``), whether its result is saved (``csv``: also as CSV),
    its thresholds (``COLUMN OP NUMBER``), and how often it runs, which concerns only the scheduler.

    With ``deliver`` (``"alerts"``, or the ARN of a topic of SNS) nothing is saved, whatever ``save`` says: each run
    delivers what has changed in the answer since the last one (``scheduled_changes.py``), with the ``lateness`` and in
    the ``mode`` of ``Store.follow``."""

    query: str
    version: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    zone: str = "UTC"
    save: bool = True
    csv: bool = False
    alert: tuple[str, ...] = ()
    every: str | None = None
    deliver: str | None = None
    lateness: str = "0s"
    mode: str = "changes"

    def __post_init__(self) -> None:
        for text in self.alert:
            Threshold.parse(text)
        for what, value in (("since", self.since), ("until", self.until)):
            if value is not None:
                resolved(value, 0, self.zone, what)
        _check_delivery(self)

    @property
    def name(self) -> str:
        """The name to ask for: ``uptime``, or ``uptime@2``."""
        return self.query if self.version is None else f"{self.query}@{self.version}"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Schedule:
        """The schedule of a JSON or TOML table; QueryError for invalid fields."""
        if not isinstance(given, Mapping):
            raise QueryError(f"a schedule is a table with the fields {', '.join(_KEYS)}, got {given!r:.100}")
        if unknown := [name for name in given if name not in _KEYS]:
            raise QueryError(
                f"a schedule has no field {unknown[0]!r}; {meant(unknown[0], _KEYS, 'its')} fields: {', '.join(_KEYS)}"
            )
        fields = {name: value for name, value in given.items() if value is not None}
        kinds = {"query": str, "version": int, "since": str, "until": str, "zone": str, "save": bool, "csv": bool,
                 "deliver": str, "lateness": str, "mode": str}  # fmt: skip
        for name, kind in kinds.items():
            if name in fields and type(fields[name]) is not kind:
                raise QueryError(f"a schedule's {name} is of type {kind.__name__}, got {fields[name]!r}")
        alert, params = fields.get("alert", ()), fields.get("params", {})
        if not isinstance(alert, list | tuple) or not all(isinstance(a, str) for a in alert):
            raise QueryError(f"a schedule's alert is a list of thresholds like 'uptime < 0.95', got {alert!r}")
        if not isinstance(params, Mapping) or not fields.get("query"):
            raise QueryError("a schedule names its query, and its params are a table of names and values")
        return cls(**{**fields, "alert": tuple(alert), "params": dict(params)})


def _check_delivery(schedule: Schedule) -> None:
    """QueryError for fields that do not fit together where changes are delivered, or are not."""
    where = "a schedule with deliver"
    if schedule.deliver is None:
        for name, default in (("lateness", "0s"), ("mode", "changes")):
            if getattr(schedule, name) != default:
                raise QueryError(f"a schedule's {name} goes with deliver, which is missing")
        return
    from runtime.live.following import TABLE, FollowOptions
    from runtime.live.sinks.sns_sink import is_topic_arn

    if schedule.deliver != ALERTS and not is_topic_arn(schedule.deliver):
        raise QueryError(
            f"a schedule's deliver is {ALERTS!r} or the ARN of a topic (arn:aws:sns:REGION:ACCOUNT:TOPIC), "
            f"got {schedule.deliver!r:.200}"
        )
    for name in ("until", "alert", "csv"):
        if getattr(schedule, name):
            raise QueryError(f"{where} takes no {name}: it delivers all changes up to the newest point")
    if schedule.since is not None and is_relative(schedule.since):
        raise QueryError(
            f"{where} takes no since that moves, such as {schedule.since!r}: rows would go as time does; give a fixed "
            "time such as 2024-03-01"
        )
    if schedule.mode == TABLE:
        raise QueryError(f"{where}: mode is 'changes' or 'final'")
    try:
        FollowOptions.of(None, schedule.lateness, None, schedule.mode)
    except QueryError as error:
        raise QueryError(f"{where}: {error}") from None


@dataclass(frozen=True)
class ScheduledRun:
    """The outcome of a run scheduled for ``at`` (microseconds UTC).

    ``saved`` are the objects with its result. ``result`` is None if an earlier run for the same time had saved it.
    ``unknown`` counts the nulls, for which a threshold is undecided.
    """

    query: str
    version: int
    at: int
    since: int
    until: int
    rows: int
    violations: tuple[Violation, ...]
    unknown: int
    saved: tuple[str, ...]
    alerted: bool = False
    """Whether ``mark_alerted`` was called for an earlier run for the same time."""

    result: Result | None = field(default=None, repr=False, compare=False)

    @property
    def subject(self) -> str:
        """The alert's subject: fewer than 100 ASCII characters."""
        text = f"antfold: {self.query}: {len(self.violations)} of {self.rows} rows beyond their thresholds"
        return text if len(text) < 100 else f"antfold: {len(self.violations)} rows beyond their thresholds"

    @property
    def alert(self) -> str | None:
        """The alert to send; None if no threshold holds, or it was sent already."""
        if not self.violations or self.alerted:
            return None
        lines = [f"{self.query} version {self.version}, {_iso(self.since)} to {_iso(self.until)}:"]
        lines += [f"  {v}" for v in self.violations[:_LISTED]]
        if len(self.violations) > _LISTED:
            lines.append(f"  and {len(self.violations) - _LISTED} more")
        if self.unknown:
            lines.append(f"{self.unknown} values are not known")
        lines += [f"result: {path}" for path in self.saved]
        return "\n".join(lines)


def run_scheduled(
    store: Store,
    schedule: Schedule | Mapping[str, Any],
    at: int | None = None,
    progress: bool | Progress = False,
    workers: int | None = None,
    executor: Callable[..., str | None] = lambda *_: None,
) -> ScheduledRun:
    """Run ``schedule`` for the time ``at`` (microseconds UTC; default: now, to the second).

    With ``save`` the result is stored as ``results/NAME/VERSION/TIME-ASKED.json`` (ASKED: a digest of parameters, range
    and thresholds), once per scheduled time: a second run finds the first one's result, whatever was ingested since.
    Send ``alert``, then call ``mark_alerted``. ``executor`` is called with name, since, until and parameters and
    returns the executor of the query (``Store.query``).
    """
    plan = schedule if isinstance(schedule, Schedule) else Schedule.of(schedule)
    if plan.deliver is not None:
        raise QueryError(f"the schedule of {plan.query} delivers changes: run it by deliver_scheduled")
    moment = _now() if at is None else at
    published = store.published(plan.name)
    since = None if plan.since is None else resolved(plan.since, moment, plan.zone, "since")
    until = None if plan.until is None else resolved(plan.until, moment, plan.zone, "until")
    thresholds = tuple(Threshold.parse(text) for text in plan.alert)
    path = _path(published, plan.params, moment, (since, until), thresholds)
    if plan.save and (found := _found(store.objects, path)) is not None:
        return found
    number = f"{published.name}@{published.version}"
    asked = (number, since, until, plan.params)
    result = store.query(*asked, workers=workers, executor=executor(*asked), progress=progress)
    return concluded(
        store, published, plan.params, result, thresholds, save=plan.save, csv=plan.csv, at=moment, span=(since, until)
    )


def concluded(
    store: Store,
    published: Published | None,
    params: Mapping[str, object],
    result: Result,
    thresholds: tuple[Threshold, ...],
    *,
    save: bool,
    csv: bool = False,
    at: int | None = None,
    span: tuple[object, object] = (None, None),
) -> ScheduledRun:
    """The run with ``result``, judged and, with ``save``, saved; ``published`` None: of a plain metric.

    ``span`` is the requested range.
    """
    said = judged(result, thresholds)
    shown = result.to_dict()
    proof: Any = shown["proof"]
    name, number = ("metric", 0) if published is None else (published.name, published.version)
    moment = _now() if at is None else at
    run = ScheduledRun(
        name, number, moment, proof["since"], proof["until"], len(result), said.violations, said.unknown, (),
        result=result,
    )  # fmt: skip
    if published is None or not save:
        return run
    path = _path(published, params, moment, span, thresholds)
    run = replace(run, saved=(f"{path}.json", *((f"{path}.csv",) if csv else ())))
    value = {
        "query": name,
        "version": number,
        "params": published.params(params),
        "at": _iso(moment),
        "violations": [{"threshold": v.threshold, "row": v.row} for v in run.violations],
        "unknown": run.unknown,
        "saved": list(run.saved),
        "result": shown,
    }
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    if not _put(store.objects, f"{path}.json", text.encode()):
        found = _found(store.objects, path)
        assert found is not None
        return found
    if csv:
        _put(store.objects, f"{path}.csv", (result.to_csv() or "").encode())
    return run


def mark_alerted(store: Store, run: ScheduledRun) -> None:
    """Record that the run's alert was sent, so that another run for the same time does not repeat it."""
    if run.saved:
        store.objects.put(run.saved[0].removesuffix(".json") + ".alerted", b"")


def _path(
    published: Published,
    params: Mapping[str, object],
    at: int,
    span: tuple[object, object],
    thresholds: tuple[Threshold, ...],
) -> str:
    """The result's path without its extension; different requests for one time have different paths."""
    asked = json.dumps([published.params(params), span, [t.text for t in thresholds]], sort_keys=True, default=str)
    return f"results/{published.name}/{published.version}/{_stamp(at)}-{digest(asked.encode())[:12]}"


def _found(objects: ObjectStore, path: str) -> ScheduledRun | None:
    """The run whose result is already saved."""
    try:
        size = objects.size(f"{path}.json")
    except FileMissing:
        return None
    where = f"{path}.json is not the result of a scheduled run"
    if size > _LARGEST:
        raise FormatError(f"{where}: it has {size:,} bytes")
    try:
        value = json.loads(objects.read(f"{path}.json", 0, size))
        proof = value["result"]["proof"]
        return ScheduledRun(
            str(value["query"]),
            int(value["version"]),
            _micros(value["at"]),
            int(proof["since"]),
            int(proof["until"]),
            len(value["result"]["rows"]),
            tuple(Violation(v["threshold"], v["row"]) for v in value["violations"]),
            int(value["unknown"]),
            tuple(p for p in value["saved"] if _exists(objects, p)),
            alerted=_exists(objects, f"{path}.alerted"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{where}: {error!r}; move it away to run again") from None


def _put(objects: ObjectStore, path: str, data: bytes) -> bool:
    """Store ``data``; returns False if another run stored something else first."""
    try:
        objects.put(path, data)
    except StoreError:
        if not _exists(objects, path):
            raise
        return False
    return True


def _exists(objects: ObjectStore, path: str) -> bool:
    try:
        objects.size(path)
    except FileMissing:
        return False
    return True


def _now() -> int:
    return int(datetime.now(UTC).timestamp()) * 1_000_000


def _iso(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _stamp(micros: int) -> str:
    return _iso(micros).replace("-", "").replace(":", "")


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(value)
