"""Invoking a function of AWS Lambda, once, and telling whatever comes of it as a ``Reply``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from operators.compiler.targets import Target, target
from runtime.aws import Access, Client, ServiceFault, code_of, status_of
from runtime.errors import QueryError
from runtime.fleet.fleet import Invoke
from runtime.fleet.outcomes import Reply
from runtime.retry import Budget

FUNCTION = "antfold-worker"
"""The function that is invoked if no other is named."""

_CONNECTIONS = 1_000


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
