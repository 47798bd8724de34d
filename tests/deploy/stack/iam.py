"""Checks every request of our clients against the IAM statements of the template.

It checks the actions that a request needs, the resources and the conditions; also what KMS-encrypted buckets need of
the key, what the data bucket's policy denies, and that S3 says "missing" only to roles that may list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.exceptions import ClientError

import runtime.aws.client

ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}

Need = tuple[str, str, dict[str, list[str]]]
"""An action, a resource, and what conditions are asked of."""


def filled(value: Any, named: Mapping[str, str]) -> Any:
    """A value of the template; ``named``: resources by "Name" and "Name.Arn"."""
    if isinstance(value, list):
        return [filled(part, named) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return PSEUDO.get(value["Ref"]) or named[value["Ref"]]
    if set(value) == {"Fn::GetAtt"}:
        return named[".".join(value["Fn::GetAtt"])]
    if set(value) == {"Fn::Join"}:
        between, parts = value["Fn::Join"]
        return str(between).join(filled(parts, named))
    if set(value) == {"Fn::Sub"}:
        return re.sub(r"\$\{([^}]+)\}", lambda m: PSEUDO[m[1]], value["Fn::Sub"])
    return {name: filled(part, named) for name, part in value.items()}


def _holds(kind: str, key: str, wanted: Any, context: Mapping[str, list[str]]) -> bool:
    found, wants = context.get(key, []), wanted if isinstance(wanted, list) else [wanted]
    match kind:
        case "Null":
            return (not found) == (wanted == "true")
        case "StringEquals" | "ArnEquals":
            return any(f in wants for f in found)
        case "Bool":
            return any(f == wanted for f in found)
        case "StringLike":
            return any(fnmatchcase(f, w) for f in found for w in wants)
        case "ForAllValues:StringLike":
            return all(any(fnmatchcase(f, w) for w in wants) for f in found)
    raise AssertionError(f"a condition that is not judged here: {kind}")


def applies(statement: Mapping[str, Any], need: Need) -> bool:
    """Whether a statement speaks of what is needed."""
    action, resource, context = need
    actions, resources = statement["Action"], statement["Resource"]
    return (
        any(fnmatchcase(action, a) for a in ([actions] if isinstance(actions, str) else actions))
        and any(fnmatchcase(resource, r) for r in ([resources] if isinstance(resources, str) else resources))
        and all(
            _holds(kind, key, wanted, context)
            for kind, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


@dataclass
class Iam:
    """``roles``: the statements of each function's role; ``denials``: those of bucket policies. ``who``: the role that
    asks now, None for somebody who may do everything. ``used``: what was allowed. ``key`` encrypts what is written;
    ``sealed``: the key of every object that was written under another one than the first."""

    roles: Mapping[str, list[dict[str, Any]]]
    denials: list[dict[str, Any]]
    key: str
    who: str | None = None
    used: set[tuple[str, str]] = field(default_factory=set)
    sealed: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.first = self.key

    def key_of(self, operation: str, given: Mapping[str, Any]) -> str:
        """The key that a request to S3 needs: that of the object, or the present one."""
        if operation not in ("GetObject", "HeadObject"):
            return self.key
        return self.sealed.get((given["Bucket"], given["Key"]), self.first)

    @contextmanager
    def acting(self, who: str | None) -> Iterator[None]:
        before, self.who = self.who, who
        try:
            yield
        finally:
            self.who = before

    def may(self, need: Need) -> bool:
        if any(applies(s, need) for s in self.denials):
            return False
        return self.who is None or any(applies(s, need) for s in self.roles[self.who])

    def check(self, service: str, operation: str, given: Mapping[str, Any]) -> None:
        for need in needs(service, operation, given, self.key_of(operation, given)):
            if not self.may(need):
                detail = {"Code": "AccessDenied", "Message": f"{self.who} may not {need[0]} on {need[1]}"}
                raise ClientError({"Error": detail, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation)
            if self.who is not None:
                self.used.add((self.who, need[0]))
        if operation == "PutObject" and self.key != self.first:
            self.sealed.setdefault((given["Bucket"], given["Key"]), self.key)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make = runtime.aws.client._make

        def made(service: str, *rest: Any) -> Any:
            client = make(service, *rest)
            events = client.meta.events

            def asked(params: Mapping[str, Any], model: Any, **_: object) -> None:
                self.check(service, model.name, params)

            def answered(parsed: dict[str, Any], context: Mapping[str, Any], **_: object) -> None:
                bucket = context.get("s3_redirect", {}).get("bucket", "")
                listed = ("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": [""]})
                if parsed["ResponseMetadata"]["HTTPStatusCode"] == 404 and not self.may(listed):
                    parsed["ResponseMetadata"]["HTTPStatusCode"] = 403
                    parsed["Error"] = {"Code": "AccessDenied", "Message": "Access Denied"}

            events.register(f"provide-client-params.{service}", asked)
            for name in ("GetObject", "HeadObject") if service == "s3" else ():
                events.register(f"after-call.s3.{name}", answered)
            return client

        monkeypatch.setattr(runtime.aws.client, "_make", made)


def needs(service: str, operation: str, given: Mapping[str, Any], key: str) -> Iterator[Need]:
    """What a request needs to be allowed."""
    if service == "s3":
        yield from _s3_needs(operation, given, key)
    elif service == "dynamodb":
        yield from _table_needs(operation, given)
    elif service == "lambda":
        action = {"Invoke": "lambda:InvokeFunction"}.get(operation, f"lambda:{operation}")
        name = str(given["FunctionName"])  # with its version or alias, or the whole ARN
        yield action, name if name.startswith("arn:") else f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}", {}
    elif service == "sqs":
        name = str(given["QueueUrl"]).rpartition("/")[2]
        yield f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", {}
    elif service == "cloudwatch":
        for name in given["AlarmNames"]:
            yield f"cloudwatch:{operation}", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}", {}
    elif service == "sns":
        yield f"sns:{operation.removesuffix('Batch')}", str(given["TopicArn"]), {}  # PublishBatch needs sns:Publish
        yield from ((f"kms:{action}", key, {}) for action in ("GenerateDataKey", "Decrypt"))
    elif service == "kms":
        yield f"kms:{operation}", str(given["KeyId"]), {}
    else:
        raise AssertionError(f"{service} is asked, and not judged here")


def _s3_needs(operation: str, given: Mapping[str, Any], key: str) -> Iterator[Need]:
    bucket = f"arn:aws:s3:::{given['Bucket']}"
    where = f"{bucket}/{given.get('Key', '')}"
    if operation in ("GetObject", "HeadObject"):
        yield "s3:GetObjectVersion" if "VersionId" in given else "s3:GetObject", where, {}
        yield "kms:Decrypt", key, {}
    elif operation == "PutObject":
        conditions = {"s3:if-none-match": [given["IfNoneMatch"]]} if "IfNoneMatch" in given else {}
        yield "s3:PutObject", where, {"s3:ObjectCreationOperation": ["true"], **conditions}
        yield "kms:GenerateDataKey", key, {}
    elif operation == "ListObjectsV2":
        yield "s3:ListBucket", bucket, {"s3:prefix": [given.get("Prefix", "")]}
    elif operation == "ListObjectVersions":
        yield "s3:ListBucketVersions", bucket, {"s3:prefix": [given.get("Prefix", "")]}
    elif operation == "DeleteObject":
        yield "s3:DeleteObjectVersion" if "VersionId" in given else "s3:DeleteObject", where, {}
    else:
        raise AssertionError(f"s3:{operation} is asked, and not judged here")


def _table_needs(operation: str, given: Mapping[str, Any]) -> Iterator[Need]:
    def need(action: str, table: str, partition: Mapping[str, str], **more: list[str]) -> Need:
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"
        return f"dynamodb:{action}", arn, {"dynamodb:LeadingKeys": [partition["S"]], **more}

    if operation == "TransactWriteItems":
        for item in given["TransactItems"]:
            ((kind, request),) = item.items()
            action = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}.get(kind, "ConditionCheckItem")
            partition = request.get("Item", request.get("Key"))["pk"]
            yield need(action, request["TableName"], partition, **{"dynamodb:EnclosingOperation": [operation]})
    elif operation == "GetItem":
        yield need("GetItem", given["TableName"], given["Key"]["pk"])
    elif operation == "Query":
        yield need("Query", given["TableName"], given["ExpressionAttributeValues"][":p"])
    else:
        yield f"dynamodb:{operation}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{given.get('TableName')}", {}


def statements(template: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The grants of every function, by its kind."""
    resources, found = template["Resources"], {}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Function":
            role = resources[resource["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
            found[name.lower()] = filled([s for p in role["Policies"] for s in p["PolicyDocument"]["Statement"]], named)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]
