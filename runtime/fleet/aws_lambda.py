"""Invokes an AWS Lambda function once and returns the outcome as a ``Reply``."""

from __future__ import annotations

import os
import re
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
from runtime.fleet.pacing import RELAYED, PaceRules
from runtime.fleet.rules import RELAYS

FUNCTION = "antfold-worker:live"
"""The default worker function, by its alias."""

RELAY_VARIABLE = "ANTFOLD_RELAY"
"""Environment variable with the name of the relay function, which in turn invokes the worker."""

WORKERS_VARIABLE = "ANTFOLD_WORKERS"
"""Environment variable with the most workers at once, for accounts whose limit other functions share."""

_CONNECTIONS = 1_000
_ACCOUNT = 1_000
"""Default concurrent invocations of an AWS account."""


def lambda_fleet(access: Access, function: str = "", workers: int | None = None) -> Fleet:
    """The fleet of the worker ``function``; up to ``workers`` run at once, if that exceeds the account's default, and
    never more than ``ANTFOLD_WORKERS``: then without relays, which would need executions of their own."""
    spread = replace(RELAYED, limit=float(max(_ACCOUNT, workers or 0)))
    name = function or FUNCTION
    most = most_workers()
    if most is not None:
        pace = PaceRules()
        pace = replace(pace, limit=min(pace.limit, float(most)), burst=min(pace.burst, float(most)))
        return Fleet(invoker(name, access), pace=pace, target=lambda: target_of(name, access))
    # Longer than the deadline of relays (``relay_fields``), and shorter than an attempt.
    waits = 0.97 * RELAYS.attempt_seconds
    return Fleet(
        invoker(name, access),
        target=lambda: target_of(name, access),
        relay=invoker(relay_of(name), access, waits),
        spread=spread,
        function=name,
    )


def most_workers() -> int | None:
    """``ANTFOLD_WORKERS``; None if it is not set."""
    text = os.environ.get(WORKERS_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise QueryError(f"{WORKERS_VARIABLE} is {text!r:.40}: it must be a number of workers, from 1")
    return int(text)


def relay_of(worker: str) -> str:
    """The relay of a worker: NAME-query for NAME-worker, as deployed, unless the environment names another.

    It is called through the alias through which the worker is called. The name may be an ARN.
    """
    found = re.fullmatch(r"((?:arn:.*:function:)?[^:]*?)(?:-worker)?(:[^:]+)?", worker)
    name, qualifier = (found[1], found[2] or "") if found is not None else (worker, "")
    if qualifier[1:].isdigit():  # one version of the worker; the versions of functions are numbered independently
        qualifier = ":live"
    return os.environ.get(RELAY_VARIABLE) or f"{name}-query{qualifier}"


@lru_cache(maxsize=64)
def target_of(function: str = FUNCTION, access: Access | None = None) -> Target:
    """The machine that ``function`` runs on, looked up once per process; QueryError if the lookup fails."""
    client = Client("lambda", access or Access())
    try:
        configuration = client.call(
            f"ask for the function {function}", lambda c: c.get_function_configuration(FunctionName=function)
        )
    except ServiceFault as error:
        if error.code == "ResourceNotFoundException":
            plain = function.removesuffix(":live")
            hint = "" if plain == function else f"; a function of your own without an alias is lambda:{plain}"
            raise QueryError(f"there is no function {function} on Lambda: deploy it, or name another{hint}") from None
        raise QueryError(
            f"cannot determine which machine to compile for:  {error}; allow lambda:GetFunctionConfiguration on "
            f"{function}, or use Fleet(invoker({function!r}), target=TARGETS['x86_64' or 'arm64'])"
        ) from error
    return target(str((configuration.get("Architectures") or ["x86_64"])[0]))


def invoker(function: str = FUNCTION, access: Access | None = None, seconds: float = 310.0) -> Invoke:
    """Invokes ``function`` synchronously and waits up to ``seconds``: longer than its own time-out.

    Each call is one attempt: the coordinator paces and retries.
    """
    client = Client(
        "lambda", access or Access(), Budget(losses=0, seconds=0), read_seconds=seconds, connections=_CONNECTIONS
    )

    def invoke(payload: bytes) -> Reply:
        from botocore.exceptions import ClientError

        boto = client.boto  # wrong settings raise here: no retry would help
        try:
            reply = boto.invoke(FunctionName=function, Payload=payload)
            body: Any = reply["Payload"].read()
        except ClientError as error:
            reason = str(error.response.get("Reason", ""))
            return Reply(status_of(error), error=f"{code_of(error)} of {function}", reason=reason)
        except Exception as error:
            # Errors of the underlying connection that boto3 lets through are losses, too.
            known = isinstance(error, OSError) or type(error).__module__.startswith("urllib3.")
            if fault_of(error) is None and not known:
                raise
            return Reply(0, error=f"{function}: {error}")
        return Reply(int(reply["StatusCode"]), body, str(reply.get("FunctionError", "")))

    return invoke
