"""Outcomes of invocations: classifies every reply, and every missing one, into a few kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from runtime.query.task.partial import Partial
from runtime.result.cost import Used


class Kind(Enum):
    """The kinds of outcome, by the reaction to them."""

    DONE = "done"
    THROTTLED = "throttled"
    """Not started, because too many others run."""
    FAILED = "failed"
    """The service or the worker crashed."""
    LOST = "lost"
    """No reply, or an unreadable one; the work may have been done, which is harmless."""
    MEMORY = "out of memory"
    TIME = "out of time"
    REFUSED = "refused"
    """The worker refused: a retry would give the same."""
    VERSION = "of another version"
    """Client and worker do not understand each other's messages: a retry would give the same."""
    RELEASE = "of another release"
    """The worker would compute, or has computed, with other kernels or time zones than the client's. While an update
    of the workers is under way, another one may have the right ones."""


@dataclass(frozen=True)
class Reply:
    """The response of an invocation, as of Lambda's synchronous call.

    ``status`` is the HTTP status, 0 without a reply; ``error`` the error code, or the kind of function error (with
    status 200); ``reason`` the reason of a throttle; ``payload`` the function's return value.
    """

    status: int
    payload: bytes = b""
    error: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """The kind, details, and, when done, the partial state with the SHA-256 of its bytes.

    For a batch also ``tasks``, the names of its finished and failed tasks, and ``failed``, the errors of the failed
    ones: with ``allow_partial`` it is done without them, and without a partial state if all failed. ``named``:
    ``detail`` is a sentence that names the task. ``used``: the billed usage, as far as known. ``speaks``: the older
    version of the messages in which the worker can be asked again.
    """

    kind: Kind
    detail: str = ""
    partial: Partial | None = None
    digest: str = ""
    tasks: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    used: Used | None = None
    speaks: int | None = None


def broken(reply: Reply) -> Outcome | None:
    """The outcome of a reply without a worker's message; None if there should be one."""
    if reply.status == 0:
        return Outcome(Kind.LOST, reply.error or "no reply")
    if reply.status == 429:
        return Outcome(Kind.THROTTLED, reply.reason or reply.error)
    if reply.status >= 500:
        return Outcome(Kind.FAILED, f"{reply.status} {reply.error}".strip())
    if not 200 <= reply.status < 300:
        return Outcome(Kind.REFUSED, f"{reply.status} {reply.error}".strip())
    return _function_error(reply) if reply.error else None


def _function_error(reply: Reply) -> Outcome:
    """Classify Lambda's report on the function's process, which is text."""
    try:
        body: Any = json.loads(reply.payload)
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    type_, text = str(fields.get("errorType", "")), str(fields.get("errorMessage", ""))
    if type_ == "Sandbox.Timedout" or "Task timed out after" in text:
        return Outcome(Kind.TIME, text)
    if type_ in ("Runtime.OutOfMemory", "MemoryError", "NotEnoughMemory") or "signal: killed" in text:
        return Outcome(Kind.MEMORY, text)
    return Outcome(Kind.FAILED, f"{type_}: {text}" if type_ or text else reply.error)
