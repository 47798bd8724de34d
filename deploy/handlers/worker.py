"""The worker: one task in, one partial state out; see ``runtime.fleet.worker``."""

from __future__ import annotations

from typing import Any

from deploy.handlers.logs import invocation
from deploy.handlers.redaction import redacted
from runtime.fleet.worker import answer


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The reply to a task. Errors that a retry may fix are raised, so that Lambda reports them."""
    with invocation(context) as run:
        reply = answer(event)
        refused = reply.get("error")
        if refused is not None:
            said = redacted(str(refused["message"]))
            run.log("refused", "warning", task=reply["task"], error=refused["type"], message=said)
        done = "TasksRefused" if refused else "TasksAnswered"
        read = reply.get("used", {}).get("bytes", 0)
        run.measure({done: 1, "TaskSeconds": round(run.seconds, 3), "BytesRead": read})
        return reply
