"""What a deployment costs a month, from its template: every resource, metric and request, by devices and messages.

Prices are AWS's list prices for us-east-1 (first tier, without the free tier), as read in 2026; their source stands
beside each. What one object takes was counted, not guessed: ``tests/deploy/stack/test_costs.py`` counts it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.handlers.logs import DETAILED
from deploy.stack.resources.cloudformation import Resource
from deploy.stack.resources.template import table
from deploy.stack.resources.versions import function_of
from deploy.stack.settings import StackSettings
from runtime.result.cost import US_EAST_1

DAYS = 30
HOURS = 24 * DAYS

PRICES = {
    # aws.amazon.com/cloudwatch/pricing: a custom metric and month, "prorated by the hour and metered only when you send
    # metrics": the hours in which it is sent.
    "metric": 0.30,
    "alarm": 0.10,  # the same page: each metric that a standard alarm reads, those of a metric math expression singly
    "dashboard": 3.00,  # the same page
    "log GB": 0.50,  # the same page: ingestion (storage is 0.03 a GB)
    "key": 1.00,  # aws.amazon.com/kms/pricing
    "key request": 0.03 / 1e4,
    "firehose GB": 0.029,  # aws.amazon.com/firehose/pricing: Direct PUT, every record rounded up to 5 KB
    "s3 GB": 0.023,  # aws.amazon.com/s3/pricing
    "s3 put": US_EAST_1.put,
    "s3 get": US_EAST_1.get,
    "write": 0.625 / 1e6,  # aws.amazon.com/dynamodb/pricing/on-demand: a write request unit; two in transactions
    "read": 0.125 / 1e6,
    "table GB": 0.25 + 0.20,  # the same page: storage, and its recovery
    "queue request": 0.40 / 1e6,  # aws.amazon.com/sqs/pricing
    "schedule": 1.00 / 1e6,  # aws.amazon.com/eventbridge/pricing: an invocation by the scheduler
    "upkeep": 0.008 / 1_440,  # requests of compaction and sweep for an object: test_firehose_day.py counts a day
    "invocation": US_EAST_1.invocation,  # aws.amazon.com/lambda/pricing
}

RECORD = 5_000
"""Bytes to which Firehose rounds a record up, for the bill."""

# Counted: what ingest needs for one object.
GETS, PUTS, WRITES, READS = 1, 1, 20, 36
LOG = 2_100
"""Bytes of its log: its own lines, and some 600 that Lambda adds."""

# Assumed.
_SECONDS = 1.0
"""Of ingest for an object, beside its points: mostly waiting for requests."""
_POINTS = 2e6
"""Points a second that ingest reads (tests/FIGURES.md: 14.7 million in 7 seconds on one core)."""
_GZIP, _POINT_FILE = 10, 20
"""How many times smaller messages are in the landing bucket, and as points."""
_POLLS = 15 * 60 * HOURS
"""Requests with which Lambda asks an empty queue: five pollers, each every 20 seconds."""
_SEALED = 0.01
"""Requests to the key by request to S3: a bucket key serves many."""
_TABLE = 1_500
"""Bytes in the catalogue of an object."""
_QUERY_SECONDS, _QUERY_GETS, _QUERY_READS, _QUERY_LOG = 2.0, 60, 30, 1_500
_PASS_SECONDS, _PASS_LOG = 5.0, 1_500
_MONTHS = 12
"""Months of points that are stored."""

SENT: Mapping[str, tuple[str, ...]] = {
    "ingest": (
        "RowsIngested", "RowsRejected", "RowsDropped", "BytesIngested", "SourcesIngested", "SourcesRepeated",
        "SourcesQuarantined", "MessagesFailed",
    ),
    "query": ("QueriesAnswered", "QueriesFailed", "QuerySeconds", "AlertsSent"),
    "worker": ("TasksAnswered", "TasksRefused", "TaskSeconds", "BytesRead"),
    "reconcile": ("ObjectsListed", "ObjectsEnqueued", "ObjectsUnknown"),
    "compact": ("StreamsFailed", "RowsRewritten", "FilesReplaced"),
    "retain": ("StreamsFailed", "RowsRetired"),
    "sweep": ("FilesRemoved", "BytesRemoved"),
}  # fmt: skip
"""The metrics that each function sends: each function's is another one for CloudWatch. ``test_custom_metrics.py`` runs
the functions and compares."""

_QUIET = {"reconcile": ("ObjectsListed",), "compact": (), "retain": (), "sweep": ()}
"""What is left of it while nothing arrives: the objects that are still in the landing bucket."""

_A_DAY = {"minute": 1_440.0, "hour": 24.0, "day": 1.0}
_FIREHOSE = "Firehose, GB with records rounded up"


@dataclass(frozen=True)
class FleetLoad:
    """What comes in: ``devices``, each with a message of ``size`` bytes every ``seconds`` in a record of its own
    (``together``: messages that a record holds), and ``queries`` a day over HTTPS. All streams share it evenly."""

    devices: int
    seconds: float = 60.0
    size: int = 200
    together: int = 1
    queries: int = 100

    @property
    def messages(self) -> float:
        """In a month."""
        return self.devices * HOURS * 3_600 / self.seconds

    def idle(self) -> FleetLoad:
        """The same deployment while nothing arrives and nobody asks."""
        return FleetLoad(0, self.seconds, self.size, self.together, 0)


@dataclass(frozen=True)
class CostLine:
    """A part of the bill: what, how many a month, and dollars."""

    what: str
    count: float
    dollars: float


@dataclass(frozen=True)
class SentMetric:
    """A custom metric of a function, by function alone or by another ``dimension``, too, with so many ``values``; sent
    in this ``share`` of the hours."""

    function: str
    name: str
    dimension: str | None
    values: int
    share: float


def sent_metrics(settings: StackSettings, load: FleetLoad) -> list[SentMetric]:
    """All that the functions send, also what only failures make them send; nothing of functions that do not run."""
    runs = scheduled_runs(table(settings))
    by_schedule, asked, landed = runs.pop("Query", 0.0), float(load.queries * DAYS), objects(settings, load)
    number = {title.lower(): count for title, count in runs.items()}
    number |= {"ingest": landed, "query": by_schedule + asked, "worker": by_schedule + asked}
    # Of a query that failed or sent an alert, only some runs can have been it.
    rarely = {"QueriesFailed": asked, "AlertsSent": by_schedule}
    # A published query counts as one, whether scheduled or asked over HTTPS; all of them as often as all runs.
    values = {"Stream": len(settings.streams), "Query": max(1, len(settings.schedules)), "Class": 2, "Version": 1}
    sent = SENT if landed else {**SENT, **_QUIET}
    found = []
    for function, names in sent.items():
        for name in names:
            share = min(1.0, rarely.get(name, number.get(function, 0.0)) / HOURS)
            found.append(SentMetric(function, name, None, 1, share))
            if name in DETAILED:
                found.append(SentMetric(function, name, DETAILED[name], values[DETAILED[name]], share))
    return [metric for metric in found if metric.values * metric.share]


def custom_metrics(settings: StackSettings, load: FleetLoad) -> float:
    """How many metrics of ours a deployment pays for, with every value of their dimensions, by the hours of a month in
    which they are sent."""
    return sum(metric.values * metric.share for metric in sent_metrics(settings, load))


def alarm_metrics(resources: dict[str, Resource]) -> int:
    """How many metrics the alarms of a template read."""
    alarms = [r.properties for r in resources.values() if r.type == "AWS::CloudWatch::Alarm"]
    return sum(sum("MetricStat" in m for m in alarm["Metrics"]) if "Metrics" in alarm else 1 for alarm in alarms)


def scheduled_runs(resources: dict[str, Resource]) -> dict[str, float]:
    """Runs a month of schedules, by the logical id of the function; of cron(...), one a day."""
    found: dict[str, float] = {}
    for schedule in (r.properties for r in resources.values() if r.type == "AWS::Scheduler::Schedule"):
        name = function_of(schedule["Target"]["Arn"]["Ref"])
        rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule["ScheduleExpression"])
        count = DAYS * _A_DAY[rate[2]] / int(rate[1]) if rate else float(DAYS)
        found[name] = found.get(name, 0.0) + count
    return found


def objects(settings: StackSettings, load: FleetLoad) -> float:
    """Objects a month that Firehose writes: one each ``firehose_seconds``, or more if there is much."""
    if not load.messages or not settings.streams:
        return 0.0
    each = load.messages / len(settings.streams)
    by_time = min(each, HOURS * 3_600 / max(1, settings.firehose_seconds))
    return len(settings.streams) * max(by_time, each * load.size / (settings.firehose_mb * (1 << 20)))


def bill(settings: StackSettings, load: FleetLoad) -> list[CostLine]:
    """The bill of a month, by parts."""
    return [line for line in _lines(settings, load) if line.count]


def total(settings: StackSettings, load: FleetLoad) -> float:
    """Its sum in dollars."""
    return sum(line.dollars for line in bill(settings, load))


def _lines(settings: StackSettings, load: FleetLoad) -> Iterator[CostLine]:
    resources = table(settings)
    types = [r.type for r in resources.values()]
    by_function = scheduled_runs(resources)

    def line(what: str, count: float, price: str) -> CostLine:
        return CostLine(what, count, count * PRICES[price])

    landed, runs = objects(settings, load), float(load.queries * DAYS) + by_function.pop("Query", 0.0)
    passes = by_function.get("Reconcile", 0.0)
    bytes_in = load.messages * load.size
    gets, puts = GETS * landed + _QUERY_GETS * runs, (1 + PUTS) * landed + runs
    # The reconciler looks up all objects of two days every hour.
    looked_up = landed / DAYS * 2 * passes
    logged = LOG * landed + _QUERY_LOG * runs + _PASS_LOG * sum(by_function.values())

    yield line("keys", types.count("AWS::KMS::Key"), "key")
    yield line("dashboard", types.count("AWS::CloudWatch::Dashboard"), "dashboard")
    yield line("metrics that alarms read", alarm_metrics(resources), "alarm")
    yield line("custom metrics", custom_metrics(settings, load), "metric")
    yield line("requests to an empty queue", _POLLS, "queue request")
    yield line("runs of schedules", sum(scheduled_runs(resources).values()), "schedule")
    for name, count in sorted(by_function.items()):
        memory = int(resources[name].properties["MemorySize"])
        yield _compute(f"{name.lower()} on its schedule", count, _PASS_SECONDS, memory, settings)
    sent = load.messages / load.together * _rounded(load)
    yield line(_FIREHOSE, sent / 1e9, "firehose GB")
    yield line("objects through the queue, requests", 3 * landed, "queue request")
    seconds = _SECONDS + (load.messages / landed / _POINTS if landed else 0)
    yield _compute("ingest", landed, seconds, settings.ingest_memory, settings)
    yield line("writes of the catalogue", WRITES * landed, "write")
    yield line("reads of the catalogue", READS * landed + looked_up + _QUERY_READS * runs, "read")
    yield line("objects written", puts, "s3 put")
    yield line("objects read", gets, "s3 get")
    yield line("compaction and sweep, requests", landed, "upkeep")
    yield line("requests to keys", _SEALED * (gets + puts) if gets + puts else 0, "key request")
    yield _compute("queries", runs, _QUERY_SECONDS, settings.query_memory, settings)
    yield line("logs, GB", logged / 1e9, "log GB")
    kept = _MONTHS if settings.landing_days is None else min(_MONTHS, settings.landing_days / DAYS)
    yield line("landing bucket, GB stored", kept * bytes_in / _GZIP / 1e9, "s3 GB")
    yield line("points, GB stored", _MONTHS * bytes_in / _POINT_FILE / 1e9, "s3 GB")
    yield line("table, GB stored", _MONTHS * _TABLE * landed / 1e9, "table GB")


def _rounded(load: FleetLoad) -> float:
    """Bytes of a record on the bill."""
    return float(RECORD * math.ceil(load.size * load.together / RECORD))


def _compute(what: str, runs: float, seconds: float, memory: int, settings: StackSettings) -> CostLine:
    rate = US_EAST_1.gb_second[settings.architecture]
    return CostLine(f"{what}, invocations", runs, runs * (PRICES["invocation"] + seconds * memory / 1024 * rate))


DEVICES = (10, 1_000, 100_000)


def report(settings: StackSettings) -> str:
    """Dollars a month by part, idle and for 10, 1,000 and 100,000 devices, as the console prints it."""
    loads = [FleetLoad(0).idle(), *(FleetLoad(n) for n in DEVICES)]
    bills = [{line.what: line for line in bill(settings, load)} for load in loads]
    heads = ["USD a month", "idle", *(f"{n:,} devices" for n in DEVICES)]
    rows = [[what, *(f"{found[what].dollars:,.2f}" if what in found else "" for found in bills)] for what in bills[-1]]
    rows.append(["together", *(f"{total(settings, load):,.2f}" for load in loads)])
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    text = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in [heads, *rows]
    ]
    busy, most = loads[1], bills[-1]
    single = f"{most[_FIREHOSE].dollars:,.2f}" if _FIREHOSE in most else "0.00"
    text += [
        "",
        f"idle: nothing arrives; else a message of {busy.size} bytes from each device every {busy.seconds:.0f} s, each",
        f"a record of its own; {busy.queries} queries a day, {_MONTHS} months stored; list prices of us-east-1",
        f"Firehose rounds every record up to {RECORD // 1000} KB: for {DEVICES[-1]:,} devices, {RECORD // busy.size} "
        f"messages to a record cost",
        f"{_together(settings):,.2f} instead of {single}",
    ]
    return "\n".join(text)


def _together(settings: StackSettings) -> float:
    load = FleetLoad(DEVICES[-1])
    found = bill(settings, FleetLoad(load.devices, together=RECORD // load.size))
    return sum(line.dollars for line in found if line.what == _FIREHOSE)
