"""Invoking a function of AWS Lambda, once, and telling whatever comes of it as a ``Reply``."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from typing import Any

from operators.compiler.targets import Target, target
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault, code_of, fault_of, status_of
from runtime.aws.retry import Budget
from runtime.errors import QueryError
from runtime.fleet.fleet import Fleet, Invoke
from runtime.fleet.outcomes import Reply
from runtime.fleet.pacing import RELAYED
from runtime.fleet.rules import RELAYS

FUNCTION = "antfold-worker"
"""The function that is invoked if no other is named."""

RELAY_VARIABLE = "ANTFOLD_RELAY"
"""The function that is invoked as a relay, which invokes the worker in turn."""

_CONNECTIONS = 1_000
_ACCOUNT = 1_000
"""Invocations at once of an account as it comes."""


def lambda_fleet(access: Access, function: str = "", workers: int | None = None) -> Fleet:
    """The fleet of the worker ``function``, of which ``workers`` run at once if that is more than an account has."""
    spread = replace(RELAYED, limit=float(max(_ACCOUNT, workers or 0)))
    name = function or FUNCTION
    # Longer than what relays are told (``told_relays``), and shorter than an attempt.
    waits = 0.97 * RELAYS.attempt_seconds
    return Fleet(
        invoker(name, access),
        target=lambda: target_of(name, access),
        relay=invoker(relay_of(name), access, waits),
        spread=spread,
    )


def relay_of(worker: str) -> str:
    """The relay beside a worker: NAME-query beside NAME-worker, as they are deployed, unless the environment says."""
    return os.environ.get(RELAY_VARIABLE) or f"{worker.removesuffix('-worker')}-query"


@lru_cache(maxsize=64)
def target_of(function: str = FUNCTION, access: Access | None = None) -> Target:
    """The machine that ``function`` runs on, asked once per process; QueryError if that is not to be had."""
    client = Client("lambda", access or Access())
    try:
        told = client.call(
            f"ask for the function {function}", lambda c: c.get_function_configuration(FunctionName=function)
        )
    except ServiceFault as error:
        if error.code == "ResourceNotFoundException":
            raise QueryError(f"there is no function {function} on Lambda: deploy it, or name another") from None
        raise QueryError(
            f"for which machine to compile cannot be told: {error}; allow lambda:GetFunctionConfiguration on "
            f"{function}, or use Fleet(invoker({function!r}), target=TARGETS['x86_64' or 'arm64'])"
        ) from error
    return target(str((told.get("Architectures") or ["x86_64"])[0]))


def invoker(function: str = FUNCTION, access: Access | None = None, seconds: float = 310.0) -> Invoke:
    """Invokes ``function`` synchronously, waiting ``seconds`` for it: longer than its own time-out.

    Each call is one attempt: pacing and repeats are the coordinator's.
    """
    client = Client(
        "lambda", access or Access(), Budget(losses=0, seconds=0), read_seconds=seconds, connections=_CONNECTIONS
    )

    def invoke(payload: bytes) -> Reply:
        from botocore.exceptions import ClientError

        boto = client.boto  # what is wrong with the settings is raised: no repeat would help
        try:
            reply = boto.invoke(FunctionName=function, Payload=payload)
            body: Any = reply["Payload"].read()
        except ClientError as error:
            reason = str(error.response.get("Reason", ""))
            return Reply(status_of(error), error=f"{code_of(error)} of {function}", reason=reason)
        except Exception as error:
            # What boto3 lets through of the connection underneath is its loss, too.
            known = isinstance(error, OSError) or type(error).__module__.startswith("urllib3.")
            if fault_of(error) is None and not known:
                raise
            return Reply(0, error=f"{function}: {error}")
        return Reply(int(reply["StatusCode"]), body, str(reply.get("FunctionError", "")))

    return invoke
