"""The functions, each with a role and a log."""

from __future__ import annotations

import json
from typing import Any

from deploy.stack.resources.cloudformation import (
    FunctionResource,
    Grant,
    Resource,
    Value,
    arn,
    logical,
    policy,
    ref,
    sub,
)
from deploy.stack.resources.grants import Grants
from deploy.stack.resources.resource_names import LANDING, ResourceNames
from deploy.stack.resources.storage import key
from deploy.stack.resources.versions import version_of
from deploy.stack.settings import SettingsError, StackSettings
from runtime.fleet.aws_lambda import WORKERS_VARIABLE

RUNTIME = "python3.13"
BUCKET_PARAMETER, BUNDLE_PARAMETER = "ArtifactsBucket", "Bundle"

_STREAMS = 3_400
"""Bytes of the streams' settings: all variables of a function together may have 4 KB."""

_NO_VPC = "It uses AWS services only; in a VPC it would need gateways that cost more than the workers."
_NO_RESERVE = "The account's limit is too low for reservations (reserve = false)."
_NO_DEAD = "Nothing is lost when it fails: {}"
_LOST = {
    "worker": "its caller waits for the reply and retries.",
    "ingest": "the queue keeps the events, and has its own dead-letter queue.",
    "query": "its caller waits for the reply; a scheduled run is repeated, and an alarm reports errors.",
    "reconcile": "the next run finds what this one missed.",
    "compact": "the next run goes on with it, and an alarm reports errors.",
    "retain": "the next run goes on with it, and an alarm reports errors.",
    "sweep": "the next run removes what this one did not, and an alarm reports errors.",
}


def functions(settings: StackSettings) -> tuple[FunctionResource, ...]:
    """Every function."""
    grants = Grants(settings)
    places = ResourceNames(settings.name)
    store = {"ANTFOLD_STORE": places.store_url}
    signed = {"ANTFOLD_MAC_KEY": arn("SigningKey")}
    landing = {"ANTFOLD_LANDING": sub(f"s3://{places.bucket('landing')}/{LANDING}")}
    s = settings
    few = {} if s.reserve else {WORKERS_VARIABLE: str(s.worker_concurrency)}
    return (
        FunctionResource(
            "worker", "answers one task of a query", s.worker_memory, s.worker_timeout, s.worker_concurrency,
            grants.worker(), signed,
        ),
        FunctionResource(
            "ingest", "ingests new objects", s.ingest_memory, s.ingest_timeout, s.ingest_concurrency,
            grants.ingest(), store | landing | {"ANTFOLD_STREAMS": _streams(settings), "ANTFOLD_QUEUE": ref("Queue")},
        ),
        FunctionResource(
            "query", "runs published queries", s.query_memory, s.query_timeout, s.query_concurrency,
            grants.query(),
            store | signed | few | {
                # One fixed version, so that a query runs on one version of the code from its beginning to its end.
                "ANTFOLD_WORKER": version_of("Worker"),
                "ANTFOLD_RELAY": places.live_name("query"),
                "ANTFOLD_ALERTS": ref("Alerts"),
            },
        ),
        FunctionResource(
            "reconcile", "finds objects that were not ingested", 512, 900, 2,
            grants.reconcile(), repeats=True, environment=store | landing | {
                "ANTFOLD_STREAMS": _streams(settings),
                "ANTFOLD_QUEUE": ref("Queue"),
                "ANTFOLD_WAITING_ALARM": places.waiting,
            },
        ),
        # The three below run one at a time: two would only get in each other's way.
        FunctionResource(
            "compact", "makes few files of many", s.ingest_memory, 900, 1, grants.compact(), store, repeats=True,
        ),
        FunctionResource(
            "retain", "retires old points", s.ingest_memory, 900, 1, grants.retain(),
            store | {"ANTFOLD_KEEP": _keep(settings)}, repeats=True,
        ),
        FunctionResource("sweep", "deletes what nothing refers to", s.ingest_memory, 900, 1, grants.sweep(), store),
    )  # fmt: skip


def _keep(settings: StackSettings) -> str:
    said = {name: stream.keep for name, stream in sorted(settings.streams.items()) if stream.keep is not None}
    return json.dumps(said, sort_keys=True)


def _streams(settings: StackSettings) -> str:
    said = {name: stream.options() for name, stream in sorted(settings.streams.items())}
    text = json.dumps(said, sort_keys=True)
    if len(text.encode()) > _STREAMS:
        raise SettingsError(
            f"the settings of {len(said)} streams have {len(text.encode()):,} bytes, over the {_STREAMS:,} of a "
            f"function's environment: divide them among deployments"
        )
    return text


def resources(settings: StackSettings) -> dict[str, Resource]:
    """The deployed functions, their roles and logs, and the roles of the services that invoke them."""
    found: dict[str, Resource] = {}
    for function in functions(settings):
        found |= _function(settings, function)
    grants = Grants(settings)
    found["FirehoseRole"] = role("firehose.amazonaws.com", grants.delivery())  # it reads nothing back
    found["SchedulerRole"] = role("scheduler.amazonaws.com", grants.scheduler())
    for name, tenant in sorted(settings.tenants.items()):
        found[logical("Tenant", name)] = _role({"AWS": tenant.principal}, grants.with_former(grants.tenant(name)), {})
    return found


def _function(settings: StackSettings, function: FunctionResource) -> dict[str, Resource]:
    kind = function.name
    name = ResourceNames(settings.name).function(kind)
    title = kind.capitalize()
    own = Grants(settings)
    grants = own.with_former((*function.grants, own.logs(kind)))
    reserved = {"ReservedConcurrentExecutions": function.concurrency} if settings.reserve else {}
    return {
        f"{title}Log": Resource(
            "AWS::Logs::LogGroup",
            {
                "LogGroupName": f"/aws/lambda/{name}",
                "RetentionInDays": settings.log_days,
                "KmsKeyId": key(settings),
            },
        ),
        f"{title}Role": role("lambda.amazonaws.com", grants),
        title: Resource(
            "AWS::Lambda::Function",
            {
                "FunctionName": name,
                "Description": f"antfold: {function.does}",
                "Runtime": RUNTIME,
                "Architectures": [settings.architecture],
                "Handler": f"deploy.handlers.{kind}.handler",
                "Code": {"S3Bucket": ref(BUCKET_PARAMETER), "S3Key": ref(BUNDLE_PARAMETER)},
                "Role": arn(f"{title}Role"),
                "MemorySize": function.memory,
                "Timeout": function.timeout,
                **reserved,
                "Environment": {"Variables": dict(function.environment)},
                "KmsKeyArn": key(settings),
                "TracingConfig": {"Mode": "PassThrough"},
                # So that the runtime's error lines are escaped, too.
                "LoggingConfig": {"LogFormat": "JSON"},
                **({"RecursiveLoop": "Allow"} if function.repeats else {}),
            },
            after=(f"{title}Log",),
            skips={
                "CKV_AWS_116": _NO_DEAD.format(_LOST[kind]),
                "CKV_AWS_117": _NO_VPC,
                **({} if settings.reserve else {"CKV_AWS_115": _NO_RESERVE}),
            },
        ),
    }


def role(service: str, grants: tuple[Grant, ...]) -> Resource:
    """A role that a service may assume for resources of this account only."""
    # Lambda sends no source account when it assumes a role, and Firehose documents none; the scheduler sends it.
    mine = {"StringEqualsIfExists": {"aws:SourceAccount": ref("AWS::AccountId")}}
    return _role({"Service": service}, grants, mine)


def _role(who: dict[str, Value], grants: tuple[Grant, ...], when: dict[str, Any]) -> Resource:
    condition = {"Condition": when} if when else {}
    trust = {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole", **condition}
    return Resource(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": policy([trust]),
            "Policies": [{"PolicyName": "grants", "PolicyDocument": policy([g.statement() for g in grants])}],
        },
    )
