"""Query: runs published queries over HTTPS, by invocation and on schedules, and is the relay of large ones.

It runs queries by name only; nothing in a request is executed. Relays: ``runtime.fleet.relay``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataflow.times.durations import moment as iso_moment
from deploy.handlers import environment, web
from deploy.handlers.logs import Invocation, described, invocation
from deploy.values import moment, to_json
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.errors import QueryError
from runtime.fleet import relay
from runtime.fleet.aws_lambda import invoker
from runtime.result.result import Result
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.schedules.scheduled_run import Schedule

MAX_REPLY = (6 << 20) - (64 << 10)
"""Bytes of a reply: Lambda's limit, less its wrapping. A larger result is stored, and the reply has its path."""

MAX_MESSAGE = 250 << 10
"""Bytes of a message to a topic: SNS accepts 256 KB of UTF-8."""

SMALL = 64 << 20
"""Bytes of point files that this function reads itself, in about a second; workers read more."""

_FIELDS = ("query", "version", "params", "since", "until", "format")


class UnknownQuery(QueryError):
    """No such published query, or no such version."""


@dataclass(frozen=True)
class Ask:
    """A request for a published query."""

    query: str
    version: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    format: str = "json"

    @classmethod
    def of(cls, given: Any) -> Ask:
        """From its JSON form; ``QueryError`` for anything invalid."""
        if not isinstance(given, Mapping) or not isinstance(given.get("query"), str):
            raise QueryError('name a published query: {"query": "uptime"}.')
        if unknown := sorted(set(given) - set(_FIELDS)):
            raise QueryError(f"unknown field {unknown[0]!r:.100}; a query takes {', '.join(_FIELDS)}.")
        fields = {name: value for name, value in given.items() if value is not None}
        for name, kind in (("version", int), ("params", Mapping), ("since", str), ("until", str), ("format", str)):
            if name in fields and (not isinstance(fields[name], kind) or isinstance(fields[name], bool)):
                raise QueryError(f"{name} has an invalid value: {fields[name]!r:.100}.")
        if fields.get("format", "json") not in ("json", "csv"):
            raise QueryError(f"format {fields['format']!r:.100} is unknown: json or csv.")
        return cls(**fields)


def handler(event: Any, context: Any) -> Any:
    """The reply to an event: a batch of tasks, a request of the function's URL, a schedule, or a query."""
    with invocation(context) as run:
        if relay.is_batch(event):
            worker = relay.worker_of(event, environment.required(environment.WORKER))
            return relay.relay(event, invoker(worker, Access()), run.seconds_left())
        store = Store.shared(environment.required(environment.STORE))
        if isinstance(event, Mapping) and "requestContext" in event:
            return over_https(event, run, store)
        if isinstance(event, Mapping) and "schedule" in event:
            return on_schedule(event, run, store)
        return direct(Ask.of(event), run, store)


def direct(ask: Ask, run: Invocation, store: Store) -> dict[str, Any]:
    """The result as ``dataflow query --format json`` prints it (``csv``: one text), or its path in the store."""
    result = answer(ask, run, store)
    body = text_of(result, ask.format)
    if len(body.encode()) > MAX_REPLY:
        return stored(store, ask, body)
    return {"csv": body} if ask.format == "csv" else dict(json.loads(body))


def answer(ask: Ask, run: Invocation, store: Store) -> Result:
    """The result; workers read if it is too much for this function."""
    name = ask.query if ask.version is None else f"{ask.query}@{ask.version}"
    try:
        published = store.published(name)
    except QueryError as error:
        raise UnknownQuery(str(error)) from error
    number = f"{published.name}@{published.version}"
    since, until = (None if text is None else moment(text) for text in (ask.since, ask.until))
    asked = (number, since, until, ask.params)
    result = store.query(*asked, executor=_executor(store, *asked), progress=False)
    run.log("answered", query=number, rows=len(result), seconds=round(run.seconds, 3))
    run.measure({"QueriesAnswered": 1, "QuerySeconds": round(run.seconds, 3)}, Query=published.name)
    return result


def _executor(store: Store, *asked: Any) -> str | None:
    """The executor of a query: None (this function) or workers, by the bytes to read."""
    return None if store.unread(*asked) <= SMALL else f"lambda:{environment.required(environment.WORKER)}"


def text_of(result: Result, form: str) -> str:
    """The result as text."""
    return (result.to_csv() or "") if form == "csv" else to_json(result.to_dict())


def stored(store: Store, ask: Ask, body: str) -> dict[str, Any]:
    """Store a result that is too large for a reply, named by its content; returns its path, size and digest."""
    from runtime.fleet.messages import store as put_checked
    from runtime.result.proof import digest

    data, name = body.encode(), ask.query.partition("@")[0]
    return {"stored": put_checked(store.objects, f"results/{name}/{digest(data)[:32]}.{ask.format}", data)}


def over_https(event: Mapping[str, Any], run: Invocation, store: Store) -> dict[str, Any]:
    """The response to an HTTPS request; every error is ``{"error": sentence}`` with its status."""
    try:
        asked = web.asked(event)
        if asked is None:
            listed = [{"query": p.name, "version": p.version, "description": p.description} for p in store.queries()]
            return web.response(200, to_json({"queries": listed}))
        ask = Ask.of(asked)
        body = text_of(answer(ask, run, store), ask.format)
        reply = web.response(200, body, ask.format)
        # The body is a text within JSON, so what it takes is known when it is written.
        if len(json.dumps(reply, ensure_ascii=False).encode()) > MAX_REPLY:
            reply = web.response(200, to_json(stored(store, ask, body)))
        return reply
    except Exception as error:
        status = web.status_of(error, isinstance(error, UnknownQuery))
        run.log("refused" if status < 500 else "failed", "warning" if status < 500 else "error", status=status,
                **described(error))  # fmt: skip
        run.measure({"QueriesFailed": 1}, Class="caller" if status < 500 else "server")
        known = isinstance(error, DataflowError)
        return web.response(status, to_json({"error": str(error) if known else f"internal error ({run.request})"}))


def on_schedule(event: Mapping[str, Any], run: Invocation, store: Store) -> dict[str, Any]:
    """Run a schedule (``runtime.schedules.scheduled_run``) for the time ``at``, and send an alert for exceeded
    thresholds.

    An alert is sent once: a repeated invocation for the same time finds it marked as sent. If sending fails, the
    invocation fails and Lambda repeats it. A schedule that delivers changes (``runtime.schedules.scheduled_changes``)
    delivers what there is at the time of the run.
    """
    from runtime.schedules.scheduled_run import Schedule, mark_alerted, run_scheduled

    schedule = Schedule.of(event["schedule"])
    if schedule.deliver is not None:
        return _deliver(schedule, run, store)
    text = event.get("at") or event.get("time")
    at = None if text is None else _micros(str(text))
    done = run_scheduled(store, schedule, at, executor=lambda *asked: _executor(store, *asked))
    if done.alert is not None:
        alert, topic = done.alert, environment.required(environment.ALERTS)
        Client("sns", Access()).call(
            f"publish to {topic}",
            lambda sns: sns.publish(TopicArn=topic, Subject=done.subject, Message=_cut(alert)),
        )
        mark_alerted(store, done)
        run.measure({"AlertsSent": 1}, Query=done.query)
    run.log("scheduled", query=f"{done.query}@{done.version}", rows=done.rows, exceeded=len(done.violations),
            alerted=done.alert is not None, saved=list(done.saved))  # fmt: skip
    run.measure({"QueriesAnswered": 1, "QuerySeconds": round(run.seconds, 3)}, Query=done.query)
    return {"query": done.query, "version": done.version, "rows": done.rows, "violations": len(done.violations),
            "saved": list(done.saved)}  # fmt: skip


def _deliver(schedule: Schedule, run: Invocation, store: Store) -> dict[str, Any]:
    """Deliver what has changed since the last run. If the topic is away, the invocation fails and Lambda repeats it:
    with the same events, under the same ids."""
    from runtime.schedules.scheduled_changes import deliver_scheduled

    alerts = environment.required(environment.ALERTS)
    done = deliver_scheduled(store, schedule, alerts, lambda *asked: _executor(store, *asked))
    run.log("delivered", query=f"{done.query}@{done.version}", name=done.name, events=done.events,
            deliveries=done.deliveries)  # fmt: skip
    run.measure({"QueriesAnswered": 1, "QuerySeconds": round(run.seconds, 3)}, Query=done.query)
    return {"query": done.query, "version": done.version, "events": done.events, "deliveries": done.deliveries}


def _cut(text: str) -> str:
    """The text, truncated to SNS's limit."""
    return text.encode()[:MAX_MESSAGE].decode(errors="ignore")


def _micros(text: str) -> int:
    try:
        return iso_moment(text)
    except ValueError:
        raise QueryError(f"at: {text[:100]!r} is not a time; write for example 2024-03-01T12:00:00Z.") from None
