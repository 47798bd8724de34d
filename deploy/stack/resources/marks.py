"""What every resource has that can have it: the deployment's tags, and the boundary of roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deploy.stack.resources.cloudformation import Resource, Value
from deploy.stack.settings import TAG, StackSettings

TAGGED = frozenset(
    f"AWS::{name}"
    for name in (
        "CloudWatch::Alarm",
        "CloudWatch::Dashboard",
        "DynamoDB::Table",
        "IAM::Role",
        "KMS::Key",
        "KinesisFirehose::DeliveryStream",
        "Lambda::EventSourceMapping",
        "Lambda::Function",
        "Logs::LogGroup",
        "S3::Bucket",
        "SNS::Topic",
        "SQS::Queue",
    )
)
"""The types of resources that have tags, as CloudFormation's schemas say."""


def tags(settings: StackSettings) -> dict[str, str]:
    """The tags of the stack and of all its resources."""
    return {**settings.tags, TAG: settings.name}


def marked(settings: StackSettings, table: Mapping[str, Resource]) -> dict[str, Resource]:
    """The resources with tags and boundary."""
    listed = [{"Key": name, "Value": value} for name, value in sorted(tags(settings).items())]
    bound = {"PermissionsBoundary": settings.permissions_boundary} if settings.permissions_boundary else {}
    found = {}
    for name, resource in table.items():
        more: dict[str, Value] = {"Tags": listed} if resource.type in TAGGED else {}
        more |= bound if resource.type == "AWS::IAM::Role" else {}
        found[name] = replace(resource, properties={**resource.properties, **more})
    return found
