"""``antfold.toml``: the settings of a deployment, checked before any request to AWS."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from deploy.stack.example import EXAMPLE
from operators.errors import DataflowError
from operators.files import read_text
from operators.nearest import meant

T = TypeVar("T")

FILE = "antfold.toml"
ARCHITECTURES = ("x86_64", "arm64")
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""CloudWatch's log retentions."""

_RANGES: dict[str, tuple[float, float, str]] = {
    "memory": (512, 10_240, "MB"),
    "timeout": (30, 900, "seconds"),
    "worker_timeout": (30, 300, "seconds"),  # the caller of a worker waits a little longer than this
    "concurrency": (2, 100_000, "executions at once"),
    "firehose_seconds": (0, 900, "seconds"),
    "firehose_mb": (1, 128, "MiB"),
    "landing_days": (1, 36_500, "days"),
    "silent_minutes": (15, 10_080, "minutes"),
    "reject_share": (0, 1, "(0.05 are 5 % of the rows)"),
    "shift_minutes": (0, 1_440, "minutes"),
    "shift_share": (0.01, 0.5, "of the calls"),
}
"""Limits of AWS, and sensible ones, by the last part of a setting's name."""

_NAME = re.compile(r"(?=.{3,24}\Z)[a-z](-?[a-z0-9])*")
_SCHEDULE_NAME = 64
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,38}")
_ARN = {
    "kms_key": (
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+",
        "a key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID)",
    ),
    "permissions_boundary": (
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+",
        "a policy's ARN (arn:aws:iam::ACCOUNT:policy/NAME)",
    ),
    "service_role": (r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", "a role's ARN (arn:aws:iam::ACCOUNT:role/NAME)"),
}
CREATED = "created"
"""In ``former_kms_keys``: the key that the deployment created for itself."""

TAG = "antfold"
"""The tag of a deployment's stack and of all that has tags; its value is the name."""

_TAG = re.compile(r"[\w .:/=+@-]*")
_TAGS = 40
"""AWS takes 50 for most resources; the stack's own are among them."""

_MINUTES = 1_440

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": (list, "a list of texts"),
    "Mapping[str, Any]": (dict, "a table"),
    "Mapping[str, str]": (dict, "a table"),
}


class SettingsError(DataflowError):
    """A deployment file with an invalid, unknown or contradictory setting."""


_OF_ALARMS = ("reject_share", "silent_minutes")


@dataclass(frozen=True)
class StreamSettings:
    """How the points of one stream are ingested; names as in ``dataflow ingest``: ``key`` and ``time`` are needed
    unless the ``preset`` or format has them. ``reading``: the options of ``runtime.ingest.Reading``, which stand beside
    the others in the file. ``keep``: how long points are kept ("400d"); None: as the stream's own policy says.
    ``reject_share`` and ``silent_minutes`` are of its alarms: the share of rejected rows, and the minutes without any
    row (None: it may be silent), above which they ring."""

    key: str | None = None
    time: str | None = None
    unit: str | None = None
    format: str = "auto"
    duplicates: str | None = None
    id: str | None = None
    missing_key: str | None = None
    preset: str | None = None
    keep: str | None = None
    reject_share: float = 0.05
    silent_minutes: int | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """The arguments of ``runtime.ingest.ingest`` that are given."""
        given = asdict(self)
        reading = given.pop("reading")
        del given["keep"]
        for name in _OF_ALARMS:
            del given[name]
        return {name: value for name, value in {**given, **reading}.items() if value is not None}


@dataclass(frozen=True)
class ScheduleSettings:
    """A published query on a schedule, in EventBridge Scheduler's syntax: ``rate(1 hour)``, ``cron(...)``.

    ``since`` and ``until`` are relative to the run ("-7d", "today"); ``save`` saves the result, ``csv`` also as CSV;
    ``alert`` are thresholds ("uptime < 0.95"). With ``deliver`` ("alerts", or the ARN of a topic of SNS) each run
    delivers what has changed since the last one instead, with this ``lateness`` and in this ``mode`` ("changes",
    "final").
    """

    query: str
    every: str
    version: int | None = None
    zone: str = "UTC"
    params: Mapping[str, Any] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    save: bool = True
    csv: bool = False
    alert: tuple[str, ...] = ()
    deliver: str | None = None
    lateness: str = "0s"
    mode: str = "changes"

    @property
    def title(self) -> str:
        """A unique name: the query, and the version if given."""
        return self.query if self.version is None else f"{self.query}-v{self.version}"


@dataclass(frozen=True)
class Tenant:
    """A ``principal`` (the ARN of an account, role or user) that may read one prefix of the bucket only."""

    principal: str


@dataclass(frozen=True)
class StackSettings:
    """A deployment. Memory is in MB, time-outs in seconds, concurrency in concurrent executions.

    ``kms_key``: the ARN of an existing key, whose policy allows what deploy/AWS.md says; None creates one.
    ``former_kms_keys``: keys that older objects are encrypted with, which stay readable (``CREATED``: the deployment's
    own). ``landing_days``: days after which raw input is deleted; None: never. ``reserve``: whether functions reserve
    their concurrency; else the account's limit is shared, and queries start no more workers than
    ``worker_concurrency``. ``permissions_boundary``: the policy that bounds every role; ``service_role``: the role that
    CloudFormation works under.
    ``landing_days``: days after which raw input is deleted; None: never. ``shift_share`` of the calls run a new version
    for ``shift_minutes`` before all do; 0 minutes: all do at once.
    """

    name: str = "antfold"
    region: str | None = None
    architecture: str = "x86_64"
    worker_memory: int = 1769
    worker_timeout: int = 300
    worker_concurrency: int = 800
    ingest_memory: int = 1769
    ingest_timeout: int = 300
    ingest_concurrency: int = 20
    query_memory: int = 1769
    query_timeout: int = 900
    query_concurrency: int = 40
    log_days: int = 30
    landing_days: int | None = None
    firehose_seconds: int = 60
    firehose_mb: int = 64
    reserve: bool = True
    kms_key: str | None = None
    former_kms_keys: tuple[str, ...] = ()
    permissions_boundary: str | None = None
    service_role: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts_bucket: str | None = None
    alert_email: str | None = None
    shift_minutes: int = 10
    shift_share: float = 0.1
    streams: Mapping[str, StreamSettings] = field(default_factory=dict)
    schedules: tuple[ScheduleSettings, ...] = ()
    tenants: Mapping[str, Tenant] = field(default_factory=dict)


def load(path: str | Path = FILE) -> StackSettings:
    """The settings in a file; ``SettingsError`` names the place and the mistake."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; `dataflow deploy --init` writes one to start from") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give another --config") from None
    return parse(text, str(path))


def init(path: str | Path = FILE) -> None:
    """Write the commented example; ``SettingsError`` if the file exists."""
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise SettingsError(f"{path}: already exists, and was not changed; give another --config") from None


def parse(text: str, where: str = FILE) -> StackSettings:
    """The settings in a text; ``where`` names its file in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not TOML: {error}") from None
    _known(data, ("deployment", "streams", "schedules", "tenants"), where)
    listed = data.pop("schedules", [])
    if not isinstance(listed, list):
        raise SettingsError(f"{where}: schedules are written as [[schedules]], each with a query and an every")
    settings = _made(
        StackSettings,
        _table(data.pop("deployment", {}), f"{where}: [deployment]"),
        f"{where}: [deployment]",
        streams={
            name: _stream(table, f"{where}: [streams.{name}]")
            for name, table in _table(data.pop("streams", {}), f"{where}: [streams]").items()
        },
        schedules=tuple(
            _made(ScheduleSettings, s, f"{where}: [[schedules]] number {i}") for i, s in enumerate(listed, 1)
        ),
        tenants=_named(Tenant, data.pop("tenants", {}), f"{where}: [tenants"),
    )
    _check(settings, where)
    return settings


def _table(given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise SettingsError(f"{where} is {given!r:.40}: it must be a table of settings")
    return given


def _known(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in given:
        if name not in names:
            raise SettingsError(
                f"{where}: {name!r} is no setting; {meant(name, names, 'there')} are {', '.join(names)}"
            )


def _named(cls: type[T], given: object, where: str) -> dict[str, T]:
    return {name: _made(cls, value, f"{where}.{name}]") for name, value in _table(given, f"{where}]").items()}


def _stream(given: object, where: str) -> StreamSettings:
    """A stream's settings; what is an option of ``Reading`` is checked there."""
    from runtime.ingest.inputs.reading import Reading

    table = dict(_table(given, where))
    reading = {f.name: table.pop(f.name) for f in fields(Reading) if f.name in table}
    _known(table, tuple(f.name for f in (*fields(StreamSettings), *fields(Reading)) if f.name != "reading"), where)
    return replace(_made(StreamSettings, table, where), reading=reading)


def _made(cls: type[T], given: object, where: str, **nested: Any) -> T:
    """One table of the file as its class; every setting must be known, well-typed, and present if it has no default."""
    table = _table(given, where)
    own = [f for f in fields(cls) if f.name not in nested]  # type: ignore[arg-type]
    _known(table, tuple(f.name for f in own), where)
    for f in own:
        if f.name not in table:
            if f.default is MISSING and f.default_factory is MISSING:
                raise SettingsError(f"{where}: {f.name!r} is missing: it has no default")
            continue
        kind, called = _KINDS[str(f.type).removesuffix(" | None")]
        value = table[f.name]
        types = (int, float) if kind is float else (kind,)
        fits = isinstance(value, types) and (kind is bool or not isinstance(value, bool))
        if not fits or (kind is list and not all(isinstance(v, str) for v in value)):
            raise SettingsError(f"{where}: {f.name} = {value!r:.60} must be {called}")
        if kind is list:
            table[f.name] = tuple(value)
    return cls(**table, **nested)


def _check(settings: StackSettings, where: str) -> None:
    """Checks beyond types."""
    place = f"{where}: [deployment]"
    if not _NAME.fullmatch(settings.name):
        raise SettingsError(
            f"{place}: name = {settings.name!r} must have 3 to 24 of a-z, 0-9 and single '-', beginning with a letter: "
            "buckets are named after it"
        )
    if settings.architecture not in ARCHITECTURES:
        raise SettingsError(f"{place}: architecture = {settings.architecture!r} is none of {', '.join(ARCHITECTURES)}")
    if settings.log_days not in LOG_DAYS:
        near = min(LOG_DAYS, key=lambda days: abs(days - settings.log_days))
        raise SettingsError(
            f"{place}: CloudWatch has no retention of log_days = {settings.log_days}; the nearest is {near}"
        )
    for name, value in asdict(settings).items():
        limits = _RANGES.get(name) or _RANGES.get(name.rpartition("_")[2])
        if limits and isinstance(value, int | float) and not limits[0] <= value <= limits[1]:
            raise SettingsError(f"{place}: {name} = {value} must be {limits[0]:,} to {limits[1]:,} {limits[2]}")
    _check_account(settings, place)
    for kind, names in (("streams", settings.streams), ("tenants", settings.tenants)):
        for name in names:
            if not _PART.fullmatch(name):
                raise SettingsError(
                    f"{where}: [{kind}.{name}]: the name must have 1 to 39 letters, digits, '_', '-' and '.', the "
                    "first a letter or digit"
                )
    for name, stream in settings.streams.items():
        _check_stream(name, stream, f"{where}: [streams.{name}]")
    seen = {"reconcile", "compact", "retain", "sweep"}
    for i, schedule in enumerate(settings.schedules, 1):
        place = f"{where}: [[schedules]] number {i}"
        if schedule.title in seen:
            raise SettingsError(f"{place}: {schedule.title} already has a schedule; a query has one per version")
        seen.add(schedule.title)
        _check_schedule(schedule, settings.name, place)
    for name, tenant in settings.tenants.items():
        if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:(root|role/.+|user/.+)", tenant.principal):
            raise SettingsError(
                f"{where}: [tenants.{name}]: principal = {tenant.principal!r} must be the ARN of an account "
                "(arn:aws:iam::ACCOUNT:root), a role or a user"
            )


def _check_account(settings: StackSettings, place: str) -> None:
    """ARNs and tags."""
    keys = [("former_kms_keys", k, "kms_key") for k in settings.former_kms_keys if k != CREATED]
    given = [(name, getattr(settings, name), name) for name in _ARN]
    for name, value, kind in (*given, *keys):
        form, called = _ARN[kind]
        if value is not None and not re.fullmatch(form, value):
            raise SettingsError(f"{place}: {name} = {value!r} must be {called}")
    for name, value in settings.tags.items():
        fits = isinstance(value, str) and len(value) <= 256 and len(name) <= 128
        if not fits or not name or not _TAG.fullmatch(name) or not _TAG.fullmatch(value):
            raise SettingsError(
                f"{place}: tags: {name!r:.60} = {value!r:.60} must be texts of up to 128 and 256 letters, digits, "
                "blanks and . : / = + - @ _"
            )
        if name.lower().startswith("aws:") or name == TAG:
            raise SettingsError(
                f"{place}: tags: {name!r} is set by {'AWS' if name != TAG else 'the deployment'} itself"
            )
    if len(settings.tags) > _TAGS:
        raise SettingsError(f"{place}: tags: there are {len(settings.tags)}; AWS takes {_TAGS} beside its own")


def _check_alarms(stream: StreamSettings, place: str) -> None:
    """The settings of a stream's alarms, in what CloudWatch can count."""
    for name in _OF_ALARMS:
        value, limits = getattr(stream, name), _RANGES[name]
        if value is not None and not limits[0] <= value <= limits[1]:
            raise SettingsError(f"{place}: {name} = {value} must be {limits[0]:,} to {limits[1]:,} {limits[2]}")
    minutes = stream.silent_minutes
    step = 5 if minutes is None or minutes <= _MINUTES else 60
    if minutes is not None and minutes % step:
        raise SettingsError(
            f"{place}: silent_minutes = {minutes} must be a multiple of {step}; the next is "
            f"{-(-minutes // step) * step}"
        )


def _check_schedule(schedule: ScheduleSettings, name: str, place: str) -> None:
    from runtime.published.definition import checked_name
    from runtime.schedules.scheduled_run import Schedule as Scheduled

    if not re.fullmatch(r"(rate|cron)\([^()]+\)", schedule.every):
        raise SettingsError(
            f"{place}: every = {schedule.every!r} must be rate(1 hour) or cron(0 6 * * ? *), as EventBridge Scheduler "
            "writes them"
        )
    if len(f"{name}-{schedule.title}") > _SCHEDULE_NAME:
        raise SettingsError(
            f"{place}: {name}-{schedule.title} has more than the {_SCHEDULE_NAME} characters of a schedule's name: "
            "publish the query under a shorter one"
        )
    try:
        checked_name(schedule.query)
        Scheduled.of(asdict(schedule))
        json.dumps(dict(schedule.params), allow_nan=False)
    except DataflowError as error:
        raise SettingsError(f"{place}: {error}") from None
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{place}: params: {error}; write times as texts") from None


def _check_stream(name: str, stream: StreamSettings, place: str) -> None:
    from runtime.catalogue.items.entries import check_stream
    from runtime.ingest.inputs.settings import Settings as Ingest
    from runtime.upkeep.retaining import length_of

    try:
        none = dict.fromkeys(("unit", "duplicates", "id", "missing_key"))
        Ingest.of(None, check_stream(name), **{**none, **stream.options()})
        if stream.keep is not None:
            length_of(stream.keep)
    except DataflowError as error:
        raise SettingsError(f"{place}: {error}") from None
    _check_alarms(stream, place)
