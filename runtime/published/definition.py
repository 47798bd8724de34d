"""`Published`: an immutable, named version of a metric, and its form in the store."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dataflow.binding.parameters import converted
from dataflow.language.stream import Stream
from dataflow.language.triggers import Trigger, check_ends
from dataflow.metrics.bind import streams_of
from dataflow.metrics.inner_answers import streams_in
from dataflow.metrics.json_form import MAX_BYTES, from_dict, to_dict
from dataflow.plan.row_times import row_times
from dataflow.tables.reference_tables import MAX_TABLE_BYTES
from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.registry import is_registered
from runtime.aws.kms import KEY_VARIABLE, Signer
from runtime.errors import FormatError, QueryError
from runtime.query.kernel_store import KernelRef

LARGEST = 2 * (MAX_BYTES + MAX_TABLE_BYTES)
"""Maximum bytes of a published query."""

_FORM = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FIELDS = {"antfold", "name", "version", "description", "stream", "graph", "parameters", "kernels", "by", "time"}
_TRIGGER = "trigger"
"""The field that is there only where there is one: what was published before has none."""

_DESCRIPTION = 2_000


@dataclass(frozen=True)
class Parameter:
    """One parameter: ``type`` is that of its values (``null``: any), ``default`` None if a value must be given."""

    name: str
    type: str
    default: object


@dataclass(frozen=True)
class Published:
    """Version ``version`` (1, 2, ...) of the query ``name``.

    ``graph`` is the metric's canonical JSON form, ``stream`` the stream it reads, or the names of several. ``kernels``
    refer to its compiled stages in the store. ``by`` is the version of antfold that published it, at ``time``
    (ISO-8601, UTC); ``mac`` its signature. ``trigger`` is that of its followers, unless they name another.
    """

    name: str
    version: int
    description: str
    stream: str
    graph: Mapping[str, Any] = field(repr=False)
    parameters: tuple[Parameter, ...]
    kernels: tuple[KernelRef, ...] = field(default=(), repr=False)
    by: str = ""
    time: str = ""
    mac: str | None = None
    trigger: Trigger | None = None

    @property
    def streams(self) -> list[str]:
        """The streams that it reads, those of metrics inside it included: what is erased there goes from its states."""
        return streams_in(from_dict(self.graph))

    @property
    def path(self) -> str:
        """Its path in the store."""
        return path_of(self.name, self.version)

    @property
    def digest(self) -> str:
        """SHA-256 of graph, parameters with defaults, description, and trigger if any. Equal for equal queries."""
        parameters = [[p.name, p.type, p.default] for p in self.parameters]
        trigger = [] if self.trigger is None else [self.trigger.to_dict()]
        return hashlib.sha256(_canonical([self.graph, parameters, self.description, *trigger])).hexdigest()

    @property
    def metric(self) -> Stream:
        """The metric, to be run with ``params``."""
        return Stream(from_dict(self.graph))

    def params(self, given: Mapping[str, object] | None = None) -> dict[str, object]:
        """The values of all parameters: those ``given``, and the defaults. QueryError for unknown and missing ones."""
        known = {p.name: p for p in self.parameters}
        values = dict(given or {})
        if unknown := sorted(set(values) - set(known)):
            raise QueryError(
                f"the query {self.name} has no parameter {unknown[0]!r}; {meant(unknown[0], known, 'its')}"
                f" parameters: {listed(known)}"
            )
        out: dict[str, object] = {}
        for p in self.parameters:
            value = values.get(p.name, p.default)
            if value is None:
                raise QueryError(f"the query {self.name} needs a value for its parameter {p.name!r} ({p.type})")
            out[p.name] = _converted(p, value, f"the query {self.name}")
        return out

    def message(self) -> bytes:
        """The message to sign."""
        return b"antfold query\0" + hashlib.sha256(_canonical(self._body())).digest()

    def signed(self, signer: Signer) -> Published:
        """The query with its signature."""
        return replace(self, mac=signer.sign(self.message()))

    def _body(self) -> dict[str, Any]:
        return {
            "antfold": _FORM,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "stream": self.stream,
            "graph": self.graph,
            "parameters": [{"name": p.name, "type": p.type, "default": p.default} for p in self.parameters],
            "kernels": [k.to_dict() for k in self.kernels],
            "by": self.by,
            "time": self.time,
            **({} if self.trigger is None else {_TRIGGER: self.trigger.to_dict()}),
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as it is stored."""
        return {**self._body(), "digest": self.digest, "mac": self.mac}

    def to_bytes(self) -> bytes:
        """Canonical JSON; QueryError if it is too long."""
        data = _canonical(self.to_dict())
        if len(data) > LARGEST:
            raise QueryError(
                f"the query {self.name} has {len(data):,} bytes as JSON, more than {LARGEST:,}; shorten it"
            )
        return data


def path_of(name: str, number: int) -> str:
    """The path of a version."""
    return f"queries/{name}/{number}.json"


def checked_name(name: str) -> str:
    """The name itself if it is valid; QueryError otherwise."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith((".py", ".json")):
        raise QueryError(
            f"{name!r} cannot be the name of a query: use letters, digits, '_', '-' and '.', at most 100, and no "
            "ending of a file (.py, .json)"
        )
    return name


def is_version(text: str) -> bool:
    """Whether the text is a version number, as in names and paths."""
    return re.fullmatch(r"[1-9][0-9]{0,8}", text) is not None


def split_name(text: str) -> tuple[str, int | None]:
    """Name and version of ``uptime`` or ``uptime@3``; QueryError otherwise."""
    name, at, number = text.partition("@")
    checked_name(name)
    if not at:
        return name, None
    if not is_version(number):
        raise QueryError(f"{text!r}: after '@' comes a version number, for example {name}@1")
    return name, int(number)


def define(
    metric: Stream,
    name: str,
    description: str = "",
    defaults: Mapping[str, object] | None = None,
    kernels: tuple[KernelRef, ...] = (),
    trigger: Trigger | None = None,
) -> Published:
    """The first version of a query, not yet in a store. ``defaults`` replace those of the metric."""
    if not isinstance(metric, Stream):
        raise QueryError(f"a metric is a stream with steps (df.stream(...).agg(...)), got {metric!r}")
    checked_name(name)
    if not isinstance(description, str) or len(description) > _DESCRIPTION:
        raise QueryError(f"the description of {name} is not a text, or longer than {_DESCRIPTION:,} characters")
    if trigger is not None:
        if not isinstance(trigger, Trigger):
            raise QueryError(
                f"the trigger of {name} is a df.trigger(...), such as df.trigger(rows=1000), not {shown(trigger)}"
            )
        check_ends(trigger, row_times(metric.steps))
    graph = to_dict(metric.steps)
    if own := sorted({fn for fn in values_of(graph, "fn") if is_registered(fn)}):
        raise QueryError(
            f"{name} uses the user-defined aggregate {own[0]!r}: a published query runs where its code is not; "
            "use antfold's aggregates"
        )
    if any(fn == "scan" for fn in values_of(graph, "fn")):
        raise QueryError(
            f"{name} uses a scan, which is code of your own: a published query runs where that is not; use antfold's "
            "functions"
        )
    parameters = _parameters(graph, name)
    for parameter, value in (defaults or {}).items():
        if parameter not in parameters:
            raise QueryError(
                f"{name} has no parameter {parameter!r}; {meant(parameter, parameters, 'its')}"
                f" parameters: {listed(parameters)}"
            )
        p = parameters[parameter]
        parameters[parameter] = replace(p, default=_converted(p, value, name))
    ordered = tuple(parameters[n] for n in sorted(parameters))
    stream = ", ".join(streams_of(metric.steps))
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    first = Published(
        name, 1, description, stream, graph, ordered, kernels, antfold_version(), now, trigger=trigger
    )  # fmt: skip
    try:
        _ = first.digest
    except ValueError as error:
        raise QueryError(f"{name} cannot be written as JSON, so it cannot be published: {error}") from None
    return first


def read(data: bytes, name: str, number: int, signer: Signer | None) -> Published:
    """Read a query from ``data``, which must be version ``number`` of ``name``; FormatError otherwise.

    With a ``signer``, its signature must be valid.
    """
    where = f"{path_of(name, number)} is not a published query"
    try:
        value = json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: {error}") from None
    if not isinstance(value, dict) or set(value) - {_TRIGGER} != _FIELDS | {"digest", "mac"}:
        raise FormatError(
            f"{where}: it must have the fields {', '.join(sorted(_FIELDS | {'digest', 'mac'}))}, no others"
        )
    texts = [value[k] for k in ("name", "description", "stream", "by", "time")]
    mac = value["mac"]
    if (
        value["antfold"] != _FORM
        or not all(isinstance(t, str) for t in texts)
        or not (mac is None or isinstance(mac, str))
        or (value["name"], value["version"]) != (name, number)
    ):
        raise FormatError(f"{where}: its form, name or version is wrong")
    try:
        steps = from_dict(value["graph"])
        graph = to_dict(steps)
        found = Published(
            name, number, value["description"], value["stream"], graph, _read_parameters(value["parameters"]),
            _read_kernels(value["kernels"]), value["by"], value["time"], mac,
            Trigger.from_dict(value[_TRIGGER]) if _TRIGGER in value else None,
        )  # fmt: skip
        declared = {n: p.type for n, p in _parameters(graph, name).items()}
        same = found.digest == value["digest"] and found.stream == ", ".join(streams_of(steps))
    except (DataflowError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from None
    if not same:
        raise FormatError(f"{where}: it was altered (its digest differs)")
    if declared != {p.name: p.type for p in found.parameters}:
        raise FormatError(f"{where}: its parameters are not those of its graph")
    if signer is not None and not (mac and signer.verify(found.message(), mac)):
        raise FormatError(
            f"{where}: it has no valid signature; publish it again after `export {KEY_VARIABLE}={signer.key}`"
        )
    return found


def antfold_version() -> str:
    """The running version of antfold."""
    try:
        return version("antfold")
    except PackageNotFoundError:
        return "unknown"


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _converted(p: Parameter, value: object, who: str) -> object:
    try:
        out = converted(p.type, value)
    except (ValueError, OverflowError):
        raise QueryError(f"{who}: the parameter {p.name!r} is of type {p.type}, which {value!r} is not") from None
    if isinstance(out, float) and not math.isfinite(out):
        raise QueryError(f"{who}: the parameter {p.name!r} must be a finite number, not {value!r}")
    return out


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """All JSON objects in ``value``."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)


def values_of(graph: object, field: str) -> Iterator[str]:
    """The texts in all fields of this name in the graph."""
    yield from (o[field] for o in _objects(graph) if isinstance(o.get(field), str))


def _parameters(graph: object, name: str) -> dict[str, Parameter]:
    out: dict[str, Parameter] = {}
    for o in _objects(graph):
        if set(o) - {"choices"} == {"param", "default", "type"}:
            p = Parameter(o["param"], o["type"], o["default"])
            if out.setdefault(p.name, p) != p:
                raise QueryError(
                    f"{name} declares the parameter {p.name!r} twice, with different defaults; give it one"
                )
    return out


def _read_parameters(value: object) -> tuple[Parameter, ...]:
    if not isinstance(value, list) or any(
        not isinstance(p, dict) or set(p) != {"name", "type", "default"} for p in value
    ):
        raise ValueError("its parameters are not a list of names, types and defaults")
    out = tuple(Parameter(p["name"], p["type"], p["default"]) for p in value)
    for p in out:
        if p.default is not None:
            _converted(p, p.default, "it")
    return out


def _read_kernels(value: object) -> tuple[KernelRef, ...]:
    if not isinstance(value, list):
        raise ValueError("its kernels are not a list")
    return tuple(KernelRef.from_dict(kernel) for kernel in value)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("a field occurs twice")
    return out
