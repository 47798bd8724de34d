"""What an invocation comes to: every reply, and every lack of one, as one of a few kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from runtime.query.task.partial import Partial
from runtime.result.cost import Used


class Kind(Enum):
    """What follows from an outcome."""

    DONE = "done"
    THROTTLED = "throttled"
    """Not begun, because of too many others."""
    FAILED = "failed"
    """The service or the worker broke down."""
    LOST = "lost"
    """No reply, or one that cannot be read; it may have been done, which does no harm."""
    MEMORY = "out of memory"
    TIME = "out of time"
    REFUSED = "refused"
    """It cannot be answered: to ask again would give the same."""


@dataclass(frozen=True)
class Reply:
    """What an invocation gave back, as Lambda's synchronous call does.

    ``status`` is that of HTTP, 0 where no reply came; ``error`` the error's code, or the kind of function error that
    comes with status 200; ``reason`` that of a throttle; ``payload`` what the function returned.
    """

    status: int
    payload: bytes = b""
    error: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """The kind, what was said of it, and, when done, the partial state with the SHA-256 of its bytes.

    Of a batch also ``tasks``, the names of those that were answered or failed, and ``failed``, what those that failed
    say of it: with ``allow_partial`` it is done without them, and without a partial state if all of them failed.
    ``named``: ``detail`` is a sentence that names the task in it. ``used``: what is billed for it, as far as is known.
    """

    kind: Kind
    detail: str = ""
    partial: Partial | None = None
    digest: str = ""
    tasks: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    used: Used | None = None


def broken(reply: Reply) -> Outcome | None:
    """The outcome of a reply that holds no answer of the worker; None for one that should."""
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
    """Lambda reports what became of the function's process in words."""
    try:
        body: Any = json.loads(reply.payload)
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    type_, text = str(fields.get("errorType", "")), str(fields.get("errorMessage", ""))
    if type_ == "Sandbox.Timedout" or "Task timed out after" in text:
        return Outcome(Kind.TIME, text)
    if type_ in ("Runtime.OutOfMemory", "MemoryError") or "signal: killed" in text:
        return Outcome(Kind.MEMORY, text)
    return Outcome(Kind.FAILED, f"{type_}: {text}" if type_ or text else reply.error)
