"""Runs the deployed reconcile function, and follows it until it is complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.stack.actions.change_sets import DeployError
from deploy.stack.resources.resource_names import ResourceNames
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget

_SECONDS = 930.0  # its time-out is 900
_BUDGET = Budget(seconds=120.0, losses=1)
MOST = 10_000
"""Runs after which it is not followed any more: some 10^9 objects."""


@dataclass(frozen=True)
class ReconcileReport:
    """The counts of a pass so far: objects ``listed``, ``enqueued`` and others by name. ``after`` is the key after
    which the function goes on by itself; None: the pass is complete."""

    counts: Mapping[str, int]
    after: str | None
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**self.counts, "after": self.after, "complete": self.after is None, "runs": self.runs}


def reconcile(
    name: str,
    access: Access,
    event: Mapping[str, Any],
    wait: bool = False,
    step: Callable[[ReconcileReport], None] = lambda _: None,
) -> ReconcileReport:
    """Invoke the reconcile function of the deployment ``name``. A pass that takes several runs goes on by itself; with
    ``wait`` it is followed run by run, and ``step`` is called with the counts so far."""
    client = Client("lambda", access, _BUDGET, read_seconds=_SECONDS)
    asked: Mapping[str, Any] = {**event, **({"alone": True} if wait else {})}
    for runs in range(1, MOST + 1):
        reply = _invoked(client, name, asked)
        counts = {k: v for k, v in reply.items() if isinstance(v, int) and not isinstance(v, bool)}
        after, rest = reply.get("after"), reply.get("next")
        report = ReconcileReport(counts, None if after is None else str(after), runs)
        step(report)
        if not isinstance(rest, Mapping):  # complete; or a function of an earlier version, which goes on by itself
            return report
        asked = rest
    raise DeployError(f"reconcile of {name} is not complete after {MOST:,} runs: the landing bucket grows faster")


def _invoked(client: Client, name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    function, live = ResourceNames(name).function("reconcile"), ResourceNames(name).live_name("reconcile")
    what = f"invoke the function {function}"
    try:
        reply = client.call(what, lambda aws: _read(aws.invoke(FunctionName=live, Payload=json.dumps(event).encode())))
    except ServiceFault as error:
        if error.code == "ResourceNotFoundException":
            raise DeployError(
                f"there is no function {function} in this account and region, so no deployment {name} runs there: "
                "check --name, --region and --profile, or run `dataflow deploy`"
            ) from error
        raise
    payload, failed = reply
    try:
        found = json.loads(payload)
    except ValueError:
        found = None
    if failed or not isinstance(found, Mapping):
        why = found.get("errorMessage", "") if isinstance(found, Mapping) else payload.decode(errors="replace")[:200]
        raise DeployError(f"{function} failed: {str(why).rstrip('.')}; its log is /aws/lambda/{function}")
    return found


def _read(reply: Any) -> tuple[bytes, bool]:
    """The payload, read while the request may still be repeated, and whether the function failed."""
    return reply["Payload"].read(), bool(reply.get("FunctionError"))
