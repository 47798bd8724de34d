"""Invoking a function of AWS Lambda, once, and telling whatever comes of it as a ``Reply``."""

from __future__ import annotations

from typing import Any

from runtime.aws import Access, Client, code_of, status_of
from runtime.fleet.fleet import Invoke
from runtime.fleet.outcomes import Reply
from runtime.retry import Budget

FUNCTION = "antfold-worker"
"""The function that is invoked if no other is named."""

_CONNECTIONS = 1_000


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
