"""Buckets, the table, and the KMS keys that encrypt and sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.stack.resources.cloudformation import Resource, Value, arn, policy, ref, sub
from deploy.stack.resources.resource_names import LANDING, STORE, ResourceNames
from deploy.stack.settings import CREATED, StackSettings
from runtime.catalogue.stores.dynamodb import PARTITION, SORT

_NO_LOG = {
    "CKV_AWS_18": "CloudTrail's data events record reads, if an account enables them; access logs in another "
    "bucket would cost more than the points."
}
KEYS = ("antfold: points, catalogue, logs and alerts", "antfold: signs kernels and named queries")
"""The descriptions of the keys created here."""

KEYS_OF = "antfold:keys"
"""Under which the template's metadata says which keys it uses."""

_ROOT = sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")


def key(settings: StackSettings) -> Value:
    """The ARN of the key that encrypts data."""
    return settings.kms_key or arn("Key")


def former_keys(settings: StackSettings) -> tuple[Value, ...]:
    """The ARNs of the keys that only older objects are encrypted with."""
    return tuple(arn("Key") if former == CREATED else former for former in settings.former_kms_keys)


def keys_of(settings: StackSettings) -> dict[str, Any]:
    """Which keys a template uses, for the deployments that follow it: ``deployed_keys`` reads it."""
    return {"now": settings.kms_key or CREATED, "former": list(settings.former_kms_keys)}


def deployed_keys(template: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a deployed template, the present one first; none if it has no buckets. ``CREATED``: its own."""
    said = template.get("Metadata", {}).get(KEYS_OF)
    if said is not None:
        return (str(said["now"]), *map(str, said["former"]))
    bucket = template.get("Resources", {}).get("DataBucket")  # of a version that did not write them down
    if bucket is None:
        return ()
    rules = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    given = rules[0]["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    return (given if isinstance(given, str) else CREATED,)


def storage(settings: StackSettings) -> dict[str, Resource]:
    """The resources, by logical id."""
    places = ResourceNames(settings.name)
    # Once created, it stays: objects are encrypted with it, and a second one would need its alias.
    created = not settings.kms_key or CREATED in settings.former_kms_keys
    own = {"Key": _key(), "KeyAlias": _alias(places, "", "Key")} if created else {}
    return {
        **own,
        "SigningKey": _signing_key(),
        "SigningKeyAlias": _alias(places, "signing", "SigningKey"),
        "DataBucket": _bucket(settings, "data", _DATA_RULES),
        "DataBucketPolicy": _bucket_policy(places, "DataBucket", "data", _once(places)),
        "LandingBucket": _bucket(
            settings,
            "landing",
            _landing_rules(settings),
            after=("QueuePolicy",),  # S3 checks the permission to send when the notification is set
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "Event": "s3:ObjectCreated:*",
                        "Queue": arn("Queue"),
                        "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": f"{LANDING}/"}]}},
                    }
                ]
            },
        ),
        "LandingBucketPolicy": _bucket_policy(places, "LandingBucket", "landing", []),
        "Table": _table(settings),
    }


def _rule(name: str, prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"Id": name, "Status": "Enabled", "Prefix": prefix, **more}


_OLD: dict[str, Any] = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
_CUT: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
_DATA_RULES = [
    # spill/ is not needed after its query; one day is S3's minimum.
    _rule("spill", f"{STORE}/spill/", ExpirationInDays=1, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    # Cache entries can be recomputed, and no role deletes them.
    _rule("cache", f"{STORE}/cache/", ExpirationInDays=30, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    _rule("carry", f"{STORE}/carry/", ExpirationInDays=30, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    _rule("replaced", **_OLD, **_CUT, ExpiredObjectDeleteMarker=True),
]


def _landing_rules(settings: StackSettings) -> list[dict[str, Any]]:
    rules = [_rule("replaced", **_OLD, **_CUT)]
    if settings.landing_days is not None:
        rules.append(_rule("arrived", f"{LANDING}/", ExpirationInDays=settings.landing_days))
    return rules


def _bucket(
    settings: StackSettings, kind: str, rules: list[dict[str, Any]], after: tuple[str, ...] = (), **more: Any
) -> Resource:
    seal = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key(settings)}
    return Resource(
        "AWS::S3::Bucket",
        {
            "BucketName": sub(ResourceNames(settings.name).bucket(kind)),
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    # One KMS call for many objects.
                    {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": seal}
                ]
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": rules},
            **more,
        },
        keep=True,
        after=after,
        skips=_NO_LOG,
    )


def _bucket_policy(places: ResourceNames, name: str, kind: str, more: list[dict[str, Any]]) -> Resource:
    secure = {
        "Sid": "OnlyOverTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [places.bucket_arn(kind), places.bucket_arn(kind, "*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return Resource(
        "AWS::S3::BucketPolicy", {"Bucket": ref(name), "PolicyDocument": policy([secure, *more])}, keep=True
    )


def _once(places: ResourceNames) -> list[dict[str, Any]]:
    """No object may be replaced: a PUT without ``If-None-Match`` is denied, for every sender.

    ``s3:ObjectCreationOperation`` is false for the parts of a multipart upload, which have no such header; its
    completion must have it.
    """
    return [
        {
            "Sid": "OnlyNewObjects",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": [places.bucket_arn("data", "*")],
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        }
    ]


def _table(settings: StackSettings) -> Resource:
    return Resource(
        "AWS::DynamoDB::Table",
        {
            "TableName": ResourceNames(settings.name).table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in (PARTITION, SORT)],
            "KeySchema": [
                {"AttributeName": PARTITION, "KeyType": "HASH"},
                {"AttributeName": SORT, "KeyType": "RANGE"},
            ],
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key(settings)},
            "DeletionProtectionEnabled": True,
        },
        keep=True,
    )


def _key() -> Resource:
    return Resource(
        "AWS::KMS::Key",
        {
            "Description": KEYS[0],
            "EnableKeyRotation": True,
            "PendingWindowInDays": 30,
            "KeyPolicy": policy(key_statements()),
        },
        keep=True,
        skips={
            "CKV_AWS_33": "The principal * is limited to this account through DynamoDB, as in AWS's own key for tables."
        },
    )


def key_statements() -> list[dict[str, Any]]:
    """What the key's policy must allow; ``Resource: *`` is the key itself."""
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"]
    logs = sub("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*")
    return [
        _key_statement("ByPolicies", {"AWS": _ROOT}, ["kms:*"]),
        _key_statement(
            "ByTheTable",
            {"AWS": "*"},
            [*use, "kms:DescribeKey", "kms:CreateGrant"],
            {
                "StringEquals": {
                    "kms:CallerAccount": ref("AWS::AccountId"),
                    "kms:ViaService": sub("dynamodb.${AWS::Region}.amazonaws.com"),
                }
            },
        ),
        _key_statement(
            "ByTheLogs",
            {"Service": sub("logs.${AWS::Region}.amazonaws.com")},
            [*use, "kms:DescribeKey"],
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        ),
        # Through SNS, KMS does not see whose alarm it is; the topic's policy restricts the account.
        _key_statement("ByAlarms", {"Service": "cloudwatch.amazonaws.com"}, ["kms:Decrypt", "kms:GenerateDataKey*"]),
    ]


def _signing_key() -> Resource:
    return Resource(
        "AWS::KMS::Key",
        {
            "Description": KEYS[1],
            "KeySpec": "HMAC_256",
            "KeyUsage": "GENERATE_VERIFY_MAC",
            "PendingWindowInDays": 30,
            "KeyPolicy": policy([_key_statement("ByPolicies", {"AWS": _ROOT}, ["kms:*"])]),
        },
        keep=True,
        skips={"CKV_AWS_7": "KMS does not rotate HMAC keys; a new key would invalidate all signatures."},
    )


def _key_statement(
    name: str, who: dict[str, Any], actions: list[str], when: dict[str, Any] | None = None
) -> dict[str, Any]:
    condition = {"Condition": when} if when else {}
    return {"Sid": name, "Effect": "Allow", "Principal": who, "Action": actions, "Resource": "*", **condition}


def _alias(places: ResourceNames, kind: str, name: str) -> Resource:
    return Resource("AWS::KMS::Alias", {"AliasName": places.alias(kind), "TargetKeyId": ref(name)}, keep=True)
