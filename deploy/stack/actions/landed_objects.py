"""What became of objects of the landing bucket: ingested, in quarantine, gone, or neither, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy.handlers.events import Landed
from deploy.handlers.landing import ObjectGone, looked_up
from deploy.handlers.object_sources import known_object
from deploy.stack.actions.deployed import DeployedParts
from deploy.stack.resources.resource_names import ResourceNames
from operators.nearest import listed, meant
from runtime.aws.client import Client, ServiceFault
from runtime.catalogue import Catalogue, SourceEntry
from runtime.errors import StoreError

INGESTED, QUARANTINED, GONE, UNDECLARED, FAILED = "ingested", "quarantined", "no such object", "undeclared", "failed"
"""The states of an object."""

_PAGES = 5  # of the log, for one object
_SKEW = 60.0  # seconds by which clocks may differ
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")


@dataclass(frozen=True)
class ObjectState:
    """What became of an object, and why, in a sentence."""

    state: str
    why: str


def entry_of_object(catalogue: Catalogue, stream: str, found: Landed) -> SourceEntry | None:
    """The entry of an object (with its ETag); None if it was neither ingested nor set aside."""
    known = known_object(catalogue, stream, found)
    return None if known is None else known.entry


@dataclass(frozen=True)
class LandedObjects:
    """Looks objects up for one deployment."""

    parts: DeployedParts

    @cached_property
    def _s3(self) -> Client:
        return Client("s3", self.parts.access)

    @cached_property
    def _logs(self) -> Client:
        return Client("logs", self.parts.access)

    @cached_property
    def _declared(self) -> Mapping[str, Any] | None:
        return self.parts.streams()

    def state(self, found: Landed, since: float) -> ObjectState:
        """What became of an object whose event is of ``since`` (seconds since 1970)."""
        landing = self.parts.landing
        stream = landing.stream_of(found.bucket, found.key)
        declared = self._declared
        if stream is None:
            place = f"s3://{landing.bucket}/{landing.below('').lstrip('/')}"
            return ObjectState(UNDECLARED, f"it is not in a stream's folder of {place}")
        if declared is not None and stream not in declared:
            known = f"{meant(stream, declared, 'there are')} {listed(sorted(declared))}"
            return ObjectState(
                UNDECLARED,
                f"the stream {stream} is not declared; {known}: add [streams.{stream}] to antfold.toml, deploy, and "
                "redrive again",
            )
        try:
            there = looked_up(self._s3, found)
        except ObjectGone:
            return ObjectState(GONE, "there is no such object any more: upload it again")
        entry = self._entry(stream, there)
        if entry is not None and entry.quarantined is not None and not entry.undone:
            return ObjectState(QUARANTINED, f"in quarantine: {entry.quarantined}")
        if entry is not None:
            return ObjectState(INGESTED, "taken back since" if entry.undone else "ingested meanwhile")
        if found.etag and not self._is_there(found):
            return ObjectState(GONE, "the object was deleted or replaced since: its replacement has its own event")
        return ObjectState(FAILED, self.last_failure(found, since))

    def _entry(self, stream: str, found: Landed) -> SourceEntry | None:
        try:
            return entry_of_object(self.parts.store.catalogue, stream, found)
        except StoreError as error:
            if "no store" in str(error):  # nothing was ingested yet
                return None
            raise

    def _is_there(self, found: Landed) -> bool:
        """Whether the object is there as the event names it."""
        bare = Landed(found.bucket, found.key, version=found.version)
        try:
            return looked_up(self._s3, bare).etag == found.etag
        except ObjectGone:
            return False

    def last_failure(self, found: Landed, since: float) -> str:
        """Why the object failed last, by ingest's log; else where to look."""
        group = f"/aws/lambda/{ResourceNames(self.parts.name).function('ingest')}"
        look = f"see the log {group}: aws logs filter-log-events --log-group-name {group} --filter-pattern "
        name = json.dumps(found.name)
        given: dict[str, Any] = {
            "logGroupName": group,
            "filterPattern": f"{{ $.object = {name} }}",
            "startTime": max(0, int(1000 * (since - _SKEW))),
        }
        last: dict[str, Any] | None = None
        try:
            for _ in range(_PAGES):
                reply = self._logs.call(f"search the log {group}", lambda aws: aws.filter_log_events(**given))
                for event in reply.get("events", ()):
                    if (line := _line(event, found.name)) is not None:
                        last = line
                if not reply.get("nextToken"):
                    break
                given["nextToken"] = reply["nextToken"]
        except ServiceFault as error:
            may = "this identity may not search its log" if error.code in _DENIED else f"its log says nothing ({error})"
            return f"{may}; {look}'{name}'"
        if last is None:
            return f"its log has no line of it: out of time or memory, perhaps; {look}'\"Task timed out\"'"
        message = str(last.get("message") or "")
        if last.get("level") == "error" and message:
            return f"{last.get('error', 'failed')}: {message}"
        return (
            f"ingest began it and never said how it ended ({last.get('event')}): out of time or memory; {look}'{name}'"
        )


def _line(event: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The fields of a line of the log, if it is of this object."""
    try:
        found = json.loads(event["message"])
    except (KeyError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("object") == name else None
