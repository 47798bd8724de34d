"""Invoking a function of AWS Lambda, once, and telling whatever comes of it as a ``Reply``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from runtime.aws import Access, Client, code_of, status_of
from runtime.fleet.fleet import Fleet, Invoke
from runtime.fleet.outcomes import Reply
from runtime.fleet.pacing import RELAYED
from runtime.fleet.rules import RELAYS
from runtime.retry import Budget

FUNCTION = "antfold-worker"
"""The function that is invoked if no other is named."""

RELAY = "antfold-query"
"""The function that is invoked as a relay, which invokes the worker in turn."""

_CONNECTIONS = 1_000
_ACCOUNT = 1_000
"""Invocations at once of an account as it comes."""


def lambda_fleet(access: Access, function: str = "", workers: int | None = None) -> Fleet:
    """The fleet of the worker ``function``, of which ``workers`` run at once if that is more than an account has."""
    spread = replace(RELAYED, limit=float(max(_ACCOUNT, workers or 0)))
    relay = os.environ.get("ANTFOLD_RELAY", RELAY)
    # Longer than what relays are told (``told_relays``), and shorter than an attempt.
    waits = 0.97 * RELAYS.attempt_seconds
    return Fleet(invoker(function or FUNCTION, access), relay=invoker(relay, access, waits), spread=spread)


def invoker(function: str = FUNCTION, access: Access | None = None, seconds: float = 310.0) -> Invoke:
    """Invokes ``function`` synchronously, waiting ``seconds`` for it: longer than its own time-out.

    Each call is one attempt: pacing and repeats are the coordinator's.
    """
    client = Client(
        "lambda", access or Access(), Budget(losses=0, seconds=0), read_seconds=seconds, connections=_CONNECTIONS
    )

    def invoke(payload: bytes) -> Reply:
        from botocore.exceptions import BotoCoreError, ClientError

        boto = client.boto  # what is wrong with the settings is raised: no repeat would help
        try:
            reply = boto.invoke(FunctionName=function, Payload=payload)
            body: Any = reply["Payload"].read()
        except ClientError as error:
            reason = str(error.response.get("Reason", ""))
            return Reply(status_of(error), error=f"{code_of(error)} of {function}", reason=reason)
        except BotoCoreError as error:
            return Reply(0, error=f"{function}: {error}")
        return Reply(int(reply["StatusCode"]), body, str(reply.get("FunctionError", "")))

    return invoke
