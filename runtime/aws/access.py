"""How AWS is reached, and what a request without boto3 raises."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.aws.retry import Fault

CONNECT_SECONDS = 5


READ_SECONDS = 30
"""How long one attempt waits for the next bytes."""


CONNECTIONS = 64
"""Kept open per client: more than the threads of an ingest or a query."""


@dataclass(frozen=True)
class Access:
    """How AWS is reached, where that is not left to boto3's usual ways (environment, configuration files, role)."""

    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None


class RequestFailed(Exception):
    """A request that was sent without boto3 and not answered as it should be; it tells what boto3's errors tell."""

    def __init__(self, fault: Fault, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.fault = fault
        self.response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
