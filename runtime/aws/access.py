"""Access to AWS, and the error of requests that are sent without boto3."""

from __future__ import annotations

from dataclasses import dataclass

from operators.errors import Portable
from runtime.aws.retry import Fault

CONNECT_SECONDS = 5
"""How long one attempt waits for a connection."""

READ_SECONDS = 30
"""How long one attempt waits for the next bytes."""


CONNECTIONS = 64
"""Connections per client: more than the threads of an ingest or a query."""


@dataclass(frozen=True)
class Access:
    """Overrides of boto3's usual configuration (environment, configuration files, role)."""

    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None


def unreachable(host: str) -> str:
    """Why no connection to ``host`` could be made, and what to check."""
    return (
        f"{host} cannot be reached: check the network (VPN, proxy, security group), the region, and the endpoint if "
        "one is set (AWS_ENDPOINT_URL, ?endpoint= in a store's URL)"
    )


def silent(host: str) -> str:
    """Why a request to ``host`` was lost, and what to check."""
    return (
        f"{host} was reached but did not answer in time: check the network, the endpoint if one is set "
        "(AWS_ENDPOINT_URL, ?endpoint= in a store's URL), and AWS's health page"
    )


class RequestFailed(Portable, Exception):
    """A failed request that was sent without boto3; it has the same information as boto3's errors."""

    def __init__(self, fault: Fault, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.fault = fault
        self.response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
