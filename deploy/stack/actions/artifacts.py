"""The bucket of the functions' code and of large templates, named by content."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from deploy.stack.actions.change_sets import DeployError
from deploy.stack.resources.resource_names import ResourceNames
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault

CODE = "code"
"""The prefix of bundles, each named by its SHA-256."""


def account(access: Access) -> str:
    """The id of the account in use."""
    sts = Client("sts", access)
    return str(sts.call("find out the account", lambda aws: aws.get_caller_identity())["Account"])


def region(access: Access) -> str:
    """The region in use."""
    found = Client("sts", access).boto.meta.region_name
    if not found:
        raise DeployError("no AWS region is set: give --region, or set region in antfold.toml or AWS_DEFAULT_REGION")
    return str(found)


def placed(name: str, kind: str, access: Access) -> ArtifactBucket:
    """One of a deployment's buckets, under the name that ``ResourceNames`` gives it.

    Bucket names are global and these are predictable, so every request requires that the bucket belongs to this
    account: code must never be written to, or read from, a stranger's bucket.
    """
    owner = account(access)
    pattern = ResourceNames(name).bucket(kind)
    return ArtifactBucket(
        pattern.replace("${AWS::AccountId}", owner).replace("${AWS::Region}", region(access)), access, owner
    )


class ArtifactBucket:
    """One bucket, whose objects are written once; ``owner``: the account that it must belong to."""

    def __init__(self, name: str, access: Access, owner: str | None = None) -> None:
        self.name = name
        self._client = Client("s3", access)
        self._bucket = {"Bucket": name} | ({} if owner is None else {"ExpectedBucketOwner": owner})

    def exists(self) -> bool:
        """Whether it exists and this identity may see it."""
        try:
            self._call("find", lambda s3: s3.head_bucket(**self._bucket))
        except ServiceFault as error:
            if error.fault is Fault.MISSING or error.code in ("404", "NoSuchBucket"):
                return False
            if error.code in ("403", "AccessDenied", "Forbidden"):
                raise DeployError(
                    f"the bucket {self.name} belongs to another account, or this identity lacks "
                    "s3:ListBucket on it: choose another name for the deployment, or grant the permission"
                ) from error
            raise
        return True

    def make(self, tags: Mapping[str, str] = MappingProxyType({})) -> None:
        """Create it, private and TLS only, with tags, unless it exists."""
        if self.exists():
            return
        where = self._client.boto.meta.region_name
        # us-east-1 must not be named.
        place = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
        self._call("make", lambda s3: s3.create_bucket(Bucket=self.name, **place))
        closed = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        self._call(
            "close",
            lambda s3: s3.put_public_access_block(**self._bucket, PublicAccessBlockConfiguration=closed),
        )
        secure = {
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{self.name}", f"arn:aws:s3:::{self.name}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }  # fmt: skip
        document = json.dumps({"Version": "2012-10-17", "Statement": [secure]}).replace("arn:aws:", self._partition())
        self._call("close", lambda s3: s3.put_bucket_policy(**self._bucket, Policy=document))

        if tags:
            listed = {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}
            self._call("tag", lambda s3: s3.put_bucket_tagging(**self._bucket, Tagging=listed))

    def _partition(self) -> str:
        return f"arn:{self._client.boto.meta.partition}:"

    def put(self, key: str, data: bytes) -> None:
        """Write an object named by its content, unless it exists."""
        try:
            self._call("look into", lambda s3: s3.head_object(**self._bucket, Key=key))
            return
        except ServiceFault as error:
            if error.fault is not Fault.MISSING:
                raise
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self._call("write to", lambda s3: s3.put_object(**self._bucket, Key=key, Body=data, ChecksumSHA256=digest))

    def get(self, key: str) -> bytes:
        """An object's bytes; ``DeployError`` if it does not exist."""
        try:
            found = self._call("read from", lambda s3: s3.get_object(**self._bucket, Key=key)["Body"].read())
        except ServiceFault as error:
            if error.fault is not Fault.MISSING:
                raise
            raise DeployError(f"{key} is not in the bucket {self.name} any more") from error
        return bytes(found)

    def url(self, key: str) -> str:
        """An object's URL for CloudFormation."""
        meta = self._client.boto.meta
        if "amazonaws.com" not in meta.endpoint_url:  # an emulator
            return f"{meta.endpoint_url}/{self.name}/{key}"
        return f"https://{self.name}.s3.{meta.region_name}.amazonaws.com/{key}"

    def remove(self, step: Callable[[int], None] = lambda _: None) -> bool:
        """Delete it with every version of every object; False if it does not exist. ``step``: objects deleted."""
        if not self.exists():
            return False
        while True:
            page = self._call("list", lambda s3: s3.list_object_versions(**self._bucket))
            found = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if not found:
                break
            self._empty(found)
            step(len(found))
        self._call("remove", lambda s3: s3.delete_bucket(**self._bucket))
        return True

    def _empty(self, found: list[dict[str, str]]) -> None:
        for at in range(0, len(found), 1_000):
            some = found[at : at + 1_000]
            reply = self._call("empty", partial(self._delete, some))
            for error in reply.get("Errors", ()):
                raise DeployError(f"cannot delete {error['Key']} in {self.name}: {error.get('Message', error['Code'])}")

    def _delete(self, some: list[dict[str, str]], s3: Any) -> Any:
        return s3.delete_objects(**self._bucket, Delete={"Objects": some, "Quiet": True})

    def _call(self, verb: str, attempt: Callable[[Any], Any]) -> Any:
        return self._client.call(f"{verb} the bucket {self.name}", attempt)
