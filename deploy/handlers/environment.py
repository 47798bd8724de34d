"""The functions' environment variables, read and checked; every mistake is one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operators.errors import DataflowError

STORE, WORKER, STREAMS, LANDING, QUEUE, ALERTS, KEEP, WAITING = (
    f"ANTFOLD_{name}" for name in ("STORE", "WORKER", "STREAMS", "LANDING", "QUEUE", "ALERTS", "KEEP", "WAITING_ALARM")
)


class EnvironmentFault(DataflowError):
    """A function deployed with invalid settings."""


@dataclass(frozen=True)
class Landing:
    """Where objects arrive: below ``prefix`` of a bucket, in a folder per stream."""

    bucket: str
    prefix: str

    @classmethod
    def here(cls) -> Landing:
        """From this function's environment."""
        bucket, _, prefix = required(LANDING).removeprefix("s3://").partition("/")
        if not required(LANDING).startswith("s3://") or not bucket:
            raise EnvironmentFault(f"{LANDING} is {required(LANDING)!r}: it must be s3://bucket/prefix.")
        return cls(bucket, prefix.strip("/"))

    @property
    def url(self) -> str:
        """Its URL."""
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    def below(self, stream: str) -> str:
        """The key prefix of a stream."""
        return "/".join(part for part in (self.prefix, stream) if part) + "/"

    def stream_of(self, bucket: str, key: str) -> str | None:
        """The stream of an object; None outside of this place."""
        before = self.below("").lstrip("/")
        if bucket != self.bucket or not key.startswith(before):
            return None
        stream, slash, rest = key[len(before) :].partition("/")
        return stream if stream and slash and rest else None


def required(name: str) -> str:
    """The value of a variable; ``EnvironmentFault`` if it is not set."""
    value = os.environ.get(name)
    if not value:
        raise EnvironmentFault(f"{name} is not set: restore this function's environment (dataflow deploy).")
    return value


def keep() -> dict[str, str]:
    """How long streams keep their points by the deployment's settings (``"400d"``); others keep them for ever."""
    from runtime.upkeep.retaining import length_of

    try:
        by_stream = json.loads(required(KEEP))
        for length in by_stream.values():
            length_of(length)
    except (ValueError, AttributeError, DataflowError) as error:
        raise EnvironmentFault(f'{KEEP} must be an object such as {{"telemetry": "400d"}} ({error}).') from None
    return dict(by_stream)


_NEEDED = {"key", "time"}
_GIVEN = {*_NEEDED, "preset", "unit", "format", "duplicates", "id", "missing_key"}


def streams() -> dict[str, dict[str, Any]]:
    """The arguments of ``runtime.ingest.ingest`` by stream."""
    from runtime.ingest.inputs.reading import ReadingOptions  # only ingest needs what this imports

    try:
        by_stream = json.loads(required(STREAMS))
    except ValueError as error:
        raise EnvironmentFault(f"{STREAMS} is not JSON ({error}).") from None
    if not isinstance(by_stream, Mapping) or not all(isinstance(given, Mapping) for given in by_stream.values()):
        raise EnvironmentFault(
            f'{STREAMS} must be an object, for example {{"telemetry": {{"key": "device", "time": "ts"}}}}.'
        )
    for stream, given in by_stream.items():
        allowed = {*_GIVEN, *ReadingOptions.__annotations__}
        known = set(given) >= _NEEDED or bool({"preset", "format"} & set(given))  # which may know key and time
        if not known or not set(given) <= allowed:
            raise EnvironmentFault(
                f"{STREAMS}: stream {stream!r} has {', '.join(sorted(given)) or 'nothing'}: it needs key and time, "
                f"or a preset that has them, and may have {', '.join(sorted(allowed - _NEEDED))}."
            )
    # Empty values of the template are omitted.
    return {stream: {k: v for k, v in given.items() if v not in (None, "")} for stream, given in by_stream.items()}
