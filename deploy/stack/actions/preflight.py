"""Checks and completes settings against the account and the deployed stack, before anything is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from deploy.stack.actions.change_sets import DeployError
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import deployed_keys
from deploy.stack.settings import CREATED, StackSettings
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault

UNRESERVED = 100
"""Concurrent executions that AWS keeps for functions without a reservation."""

_ASIDE = 2
"""Executions that a query needs beside its workers: itself, and a function on a schedule."""

_QUOTA = "request a higher limit (Service Quotas, AWS Lambda, concurrent executions)"


def check_concurrency(settings: StackSettings, access: Access) -> None:
    """Raises if the account has too few concurrent executions; what the deployment reserves now counts as free."""
    client = Client("lambda", access)
    limits = client.call("read the account's limits", lambda aws: aws.get_account_settings())["AccountLimit"]
    limit = int(limits["ConcurrentExecutions"])
    free = int(limits.get("UnreservedConcurrentExecutions", limit)) + _reserved(settings, client)
    others = f", of which other functions reserve {limit - free:,}" if limit > free else ""
    has = f"this account's limit is {limit:,} in {access.region}{others}"
    if settings.reserve:
        _check_reserved(settings, free, has)
    else:
        _check_shared(settings, free, has)


def _reserved(settings: StackSettings, client: Client) -> int:
    """What the functions of the deployment reserve now."""
    total = 0
    for function in functions(settings):
        name = ResourceNames(settings.name).function(function.name)
        try:
            reply = client.call(f"read the concurrency of {name}", partial(_concurrency, name))
        except ServiceFault as error:
            if error.code != "ResourceNotFoundException":
                raise
            continue
        total += int(reply.get("ReservedConcurrentExecutions") or 0)
    return total


def _concurrency(name: str, aws: Any) -> Any:
    return aws.get_function_concurrency(FunctionName=name)


def _check_reserved(settings: StackSettings, free: int, has: str) -> None:
    wanted = sum(f.concurrency for f in functions(settings))
    fitting = free - UNRESERVED - (wanted - settings.worker_concurrency)
    if fitting >= settings.worker_concurrency:
        return
    ways = [f"set worker_concurrency to {fitting:,} or less"] if fitting >= 2 else []
    raise DeployError(
        f"the functions would reserve {wanted:,} concurrent executions; {has}, and AWS keeps {UNRESERVED} free: "
        + ", ".join([*ways, "set reserve = false and a worker_concurrency that fits (deploy/AWS.md)", f"or {_QUOTA}"])
    )


def _check_shared(settings: StackSettings, free: int, has: str) -> None:
    wanted = settings.worker_concurrency + settings.ingest_concurrency + _ASIDE
    if wanted <= free:
        return
    fitting = free - settings.ingest_concurrency - _ASIDE
    less = (
        f"set worker_concurrency to {fitting:,} or less"
        if fitting >= 2
        else "set ingest_concurrency and worker_concurrency to 2"
    )
    raise DeployError(
        f"without reservations (reserve = false), workers, ingest and queries may need {wanted:,} concurrent "
        f"executions; {has}: {less}, or {_QUOTA}"
    )


def with_former_keys(settings: StackSettings, deployed: Mapping[str, Any]) -> tuple[StackSettings, Sequence[str]]:
    """The settings with every key that the deployed template uses, and the keys that were added.

    Objects stay encrypted with the key that they were written under, so no deployment may forget one.
    """
    now = settings.kms_key or CREATED
    known = [key for key in settings.former_kms_keys if key != now]
    added = [key for key in dict.fromkeys(deployed_keys(deployed)) if key != now and key not in known]
    return replace(settings, former_kms_keys=(*known, *added)), added
