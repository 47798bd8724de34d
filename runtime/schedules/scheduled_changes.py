"""Delivers, on a schedule, what has changed in the answer of a published query since the last run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from runtime.errors import QueryError
from runtime.result.proof import digest
from runtime.schedules.relative_times import resolved
from runtime.schedules.scheduled_run import ALERTS, Schedule

if TYPE_CHECKING:
    from runtime.published.definition import Published
    from runtime.store import Store

_BEFORE, _DIGITS, _LONGEST = "scheduled", 12, 100


@dataclass(frozen=True)
class ScheduledChanges:
    """What a run delivered. A delivery that an earlier run began counts where it ends."""

    query: str
    version: int
    name: str
    events: int
    deliveries: int


def deliver_scheduled(
    store: Store,
    schedule: Schedule | Mapping[str, Any],
    alerts: str | None = None,
    executor: Callable[..., str | None] = lambda *_: None,
) -> ScheduledChanges:
    """Look once, and deliver what has changed since the last run to the topic of ``schedule.deliver``; ``alerts`` is
    the ARN of the topic that ``"alerts"`` means.

    A delivery is kept in the store before it is begun: if the run ends in its midst, or the topic is away
    (``SinkUnavailable``), the next one begins with the same events under the same ids. Of two runs at once one may fail
    with a QueryError; nothing is lost. ``executor`` is called as by ``run_scheduled``.
    """
    plan = schedule if isinstance(schedule, Schedule) else Schedule.of(schedule)
    topic = alerts if plan.deliver == ALERTS else plan.deliver
    if topic is None:
        raise QueryError(f"the schedule of {plan.query} has no topic to deliver to")
    published = store.published(plan.name)
    since = None if plan.since is None else resolved(plan.since, 0, plan.zone, "since")
    name = delivery_name(published, plan, since, topic)
    number = f"{published.name}@{published.version}"
    done = store.deliver_once(
        number, f"sns://{topic}", since, plan.params, name=name, lateness=plan.lateness,
        mode=cast(Literal["changes", "final"], plan.mode), executor=executor(number, since, None, plan.params),
    )  # fmt: skip
    return ScheduledChanges(
        published.name, published.version, name, sum(len(delivery.events) for delivery in done), len(done)
    )


def delivery_name(published: Published, schedule: Schedule, since: int | None, topic: str) -> str:
    """The name under which a schedule delivers: another definition, or other options, begin anew under another name,
    while the same ones go on, also after a new deployment."""
    from runtime.live.following import FollowOptions

    lateness = FollowOptions.of(None, schedule.lateness, None, schedule.mode).lateness
    asked = [published.digest, published.params(schedule.params), since, schedule.mode, lateness, topic]
    end = digest(json.dumps(asked, sort_keys=True, default=str).encode())[:_DIGITS]
    room = _LONGEST - len(_BEFORE) - len(end) - 2
    return f"{_BEFORE}-{published.name[:room]}-{end}"
