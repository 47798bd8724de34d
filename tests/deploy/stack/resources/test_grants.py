"""Least privilege, derived from the template; every rule catches a template that breaks it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.resources import function_resources as functions_
from deploy.stack.resources.cloudformation import Grant
from deploy.stack.resources.grants import Grants
from deploy.stack.resources.template import template
from deploy.stack.settings import ScheduleSettings, StackSettings, load

SETTINGS = load(Path(__file__).resolve().parents[2] / "golden" / "antfold.toml")
TOPIC = "arn:aws:sns:eu-west-1:444455556666:changes"
DELIVERING = replace(
    SETTINGS,
    schedules=(
        *SETTINGS.schedules,
        *(ScheduleSettings(f"q{n}", "rate(5 minutes)", deliver=to) for n, to in enumerate(("alerts", TOPIC, TOPIC))),
    ),
)
"""The same with schedules that deliver changes."""

DELETES = re.compile(r"Delete|Abort|Remove|PutLifecycle|PutBucketVersioning|BatchWrite|UpdateTimeToLive")
REMOVALS = {
    ("Ingest", "sqs:DeleteMessage"): "takes news that is dealt with from the queue; no data is in it",
    ("FirehoseRole", "s3:AbortMultipartUpload"): "gives up an upload of its own that was never finished",
    ("Sweep", "s3:DeleteObject"): "it removes what no commit names any more, after its grace",
    ("Sweep", "s3:DeleteObjectVersion"): "what was erased must not come back from older versions",
    (
        "Query",
        "s3:DeleteObject",
    ): "what it kept of a delivery goes once it is delivered; only where a schedule delivers",
}
STARS = {
    "objects below a prefix": re.compile(r"arn:\$\{AWS::Partition\}:s3:::[^*/]+/[^*]+/\*"),
    "the streams of one log": re.compile(r"arn:\$\{AWS::Partition\}:logs:[^*]+:log-group:/aws/lambda/[^*/]+:\*"),
    "the streams of Firehose's log": re.compile(
        r"arn:\$\{AWS::Partition\}:logs:[^*]+:log-group:/aws/kinesisfirehose/[^*/]+:log-stream:\*"
    ),
}
"""The only stars that a resource may have, and only at its end."""

WHOLE_STORE = {"Query": "a named query may be of any stream, and its kernels, states and answers lie beside them"}

WHOLE_BUCKET = {
    "Ingest": "an object that was deleted before it was read must look missing, not denied; the bucket has no others",
    "Query": "a partial state that is not cached must look missing, not denied; names are listed, nothing is read",
    "FirehoseRole": "its documentation asks for it; the bucket has nothing but what it delivered, and what comes there",
}

EXPECTED = {
    "Worker": {
        "s3:GetObject", "s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey", "kms:VerifyMac",
        "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Ingest": {
        "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:PutObject", "dynamodb:GetItem", "dynamodb:Query",
        "dynamodb:PutItem", "dynamodb:ConditionCheckItem", "sqs:ReceiveMessage", "sqs:DeleteMessage",
        "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility", "kms:Decrypt", "kms:GenerateDataKey",
        "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Query": {
        "s3:GetObject", "s3:ListBucket", "s3:PutObject", "dynamodb:GetItem", "dynamodb:Query",
        "lambda:InvokeFunction", "lambda:GetFunctionConfiguration", "sns:Publish", "kms:Decrypt", "kms:GenerateDataKey",
        "kms:VerifyMac", "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Reconcile": {
        "s3:ListBucket", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem",
        "sqs:SendMessage", "sqs:GetQueueAttributes", "cloudwatch:DescribeAlarms", "lambda:InvokeFunction",
        "kms:Decrypt", "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Compact": {
        "s3:GetObject", "s3:PutObject", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem",
        "dynamodb:ConditionCheckItem", "lambda:InvokeFunction", "kms:Decrypt", "kms:GenerateDataKey",
        "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Retain": {
        "s3:GetObject", "s3:ListBucket", "s3:PutObject", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem",
        "dynamodb:ConditionCheckItem", "lambda:InvokeFunction", "kms:Decrypt", "kms:GenerateDataKey",
        "logs:CreateLogStream", "logs:PutLogEvents",
    },
    "Sweep": {
        "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject",
        "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "kms:Decrypt", "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
}  # fmt: skip


def roles(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The statements of every role, by the function or the role that has them."""
    by_role: dict[str, list[dict[str, Any]]] = {}
    for name, resource in found["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            parts = {"AssumeRolePolicyDocument", "Policies", "Tags", "PermissionsBoundary"}  # no managed policies
            assert set(resource["Properties"]) <= parts
            by_role[name] = [s for p in resource["Properties"]["Policies"] for s in p["PolicyDocument"]["Statement"]]
    for name, resource in found["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            by_role[name] = by_role.pop(resource["Properties"]["Role"]["Fn::GetAtt"][0])
    return by_role


def named(resource: Any) -> str:
    """A resource of a statement as text."""
    if isinstance(resource, dict):
        (kind, value), *_ = resource.items()
        return value if kind == "Fn::Sub" else f"<{value if kind == 'Ref' else value[0]}>"
    return str(resource)


def findings(found: dict[str, Any]) -> list[str]:
    """Everything in a template that breaks least privilege."""
    wrong: list[str] = []
    users: dict[str, list[str]] = {}
    for name, resource in found["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            users.setdefault(resource["Properties"]["Role"]["Fn::GetAtt"][0], []).append(name)
    wrong += [f"{role} is shared by {who}" for role, who in users.items() if len(who) > 1]
    if wrong:
        return wrong
    for who, statements in roles(found).items():
        for statement in statements:
            wrong += [f"{who}: {problem}" for problem in _statement_findings(who, statement)]
    wrong += list(_bucket_findings(found))
    return wrong


def _statement_findings(who: str, statement: dict[str, Any]) -> Iterator[str]:
    if statement["Effect"] != "Allow" or {"NotAction", "NotResource"} & set(statement):
        yield "a statement that is no plain grant"
    for action in statement["Action"]:
        if "*" in action:
            yield f"wild action {action}"
        if DELETES.search(action) and (who, action) not in REMOVALS:
            yield f"deletes: {action}"
        if who == "Worker" and action.startswith("dynamodb:"):
            yield f"the catalogue: {action}"
        if action in ("dynamodb:PutItem", "dynamodb:ConditionCheckItem"):
            condition = statement.get("Condition", {})
            if condition.get("StringEquals") != {"dynamodb:EnclosingOperation": "TransactWriteItems"}:
                yield f"{action} outside a transaction"
        if action.startswith("dynamodb:"):
            keys = statement.get("Condition", {})
            if keys.get("Null") != {"dynamodb:LeadingKeys": "false"} or "ForAllValues:StringLike" not in keys:
                yield f"{action} on other stores"
        prefixes = statement.get("Condition", {}).get("StringLike", {})
        if (
            action in ("s3:ListBucket", "s3:ListBucketVersions")
            and "s3:prefix" not in prefixes
            and who not in WHOLE_BUCKET
        ):
            yield "lists a whole bucket"
    for resource in map(named, statement["Resource"]):
        if "*" in resource and not any(pattern.fullmatch(resource) for pattern in STARS.values()):
            yield f"wild resource {resource}"
        if resource.endswith("/store/*") and who not in WHOLE_STORE:
            yield f"all of the store: {resource}"


def _bucket_findings(found: dict[str, Any]) -> Iterator[str]:
    policies = {
        r["Properties"]["Bucket"]["Ref"]: r["Properties"]["PolicyDocument"]["Statement"]
        for r in found["Resources"].values()
        if r["Type"] == "AWS::S3::BucketPolicy"
    }
    for name, resource in found["Resources"].items():
        if resource["Type"] != "AWS::S3::Bucket":
            continue
        closed = resource["Properties"].get("PublicAccessBlockConfiguration", {})
        if sorted(closed.values()) != [True] * 4:
            yield f"{name} may be public"
        denied = [s for s in policies.get(name, ()) if s["Effect"] == "Deny"]
        if not any(s["Condition"].get("Bool") == {"aws:SecureTransport": "false"} for s in denied):
            yield f"{name} without TLS"
        if name == "DataBucket" and not any(
            s["Action"] == "s3:PutObject" and s["Condition"].get("Null") == {"s3:if-none-match": "true"} for s in denied
        ):
            yield f"{name}: objects may be replaced"


def test_nothing_is_found() -> None:
    assert findings(template(SETTINGS)) == []


def test_what_each_function_may_do() -> None:
    """All of it: a new grant is listed here, too."""
    found = roles(template(SETTINGS))
    for who, expected in EXPECTED.items():
        assert {action for s in found[who] for action in s["Action"]} == expected


def test_every_exception_is_needed() -> None:
    found = roles(template(DELIVERING))
    granted = {(who, action) for who, statements in found.items() for s in statements for action in s["Action"]}
    assert set(REMOVALS) <= granted
    resources = [named(r) for statements in found.values() for s in statements for r in s["Resource"]]
    for pattern in STARS.values():
        assert any(pattern.fullmatch(r) for r in resources)
    flat = [(who, s, named(r)) for who, statements in found.items() for s in statements for r in s["Resource"]]
    assert {who for who, _, resource in flat if resource.endswith("/store/*")} == set(WHOLE_STORE)
    assert {who for who, s, _ in flat if "s3:ListBucket" in s["Action"] and "Condition" not in s} == set(WHOLE_BUCKET)


def test_only_the_sweeper_deletes() -> None:
    deleting = {
        function.name
        for function in functions_.functions(SETTINGS)
        for grant in function.grants
        for action in grant.actions
        if DELETES.search(action) and action != "sqs:DeleteMessage"
    }
    assert deleting == {"sweep"}
    assert deletes("Sweep") == {"store/data/*", "store/rejects/*", "store/cache/*", "store/carry/*"}


def deletes(who: str, settings: StackSettings = SETTINGS) -> set[str]:
    statements = roles(template(settings))[who]
    return {named(r).partition("/")[2] for s in statements if "s3:DeleteObject" in s["Action"] for r in s["Resource"]}


def writes(who: str, settings: StackSettings = SETTINGS) -> set[str]:
    statements = roles(template(settings))[who]
    return {named(r).partition("/")[2] for s in statements if "s3:PutObject" in s["Action"] for r in s["Resource"]}


def test_where_each_writes() -> None:
    assert writes("Worker") == {"store/spill/*"}
    assert writes("Ingest") == {"store/data/*", "store/rejects/*"}
    assert writes("Query") == {"store/spill/*", "store/results/*", "store/cache/*", "store/carry/*"}
    assert writes("Reconcile") == writes("Sweep") == set()
    assert writes("Compact") == writes("Retain") == {"store/data/*"}
    assert writes("FirehoseRole") == {"landing/*", "errors/*"}


def test_where_a_schedule_delivers() -> None:
    """The query function may keep and forget deliveries, note how far they came, and publish to the topics named; no
    other role may more than before."""
    whole = template(DELIVERING)
    assert findings(whole) == []
    before, after = roles(template(SETTINGS)), roles(whole)
    assert {who for who in after if after[who] != before[who]} == {"Query"}
    actions = {action for s in after["Query"] for action in s["Action"]}
    assert actions - EXPECTED["Query"] == {"s3:DeleteObject", "dynamodb:PutItem"}
    assert writes("Query", DELIVERING) - writes("Query") == {"store/deliveries/*"}
    assert (deletes("Query", DELIVERING), deletes("Query")) == ({"store/deliveries/*"}, set())
    (topics,) = [s["Resource"] for s in after["Query"] if "sns:Publish" in s["Action"]]
    assert list(map(named, topics)) == ["<Alerts>", TOPIC]
    (put,) = [s["Condition"] for s in after["Query"] if "dynamodb:PutItem" in s["Action"]]
    (leading,) = put["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert named(leading) == "fleet-data-${AWS::AccountId}-${AWS::Region}/store|NOTE"


def test_a_tenant_reads_its_own_and_nothing_else() -> None:
    found = roles(template(SETTINGS))["TenantAcme"]
    assert {action for s in found for action in s["Action"]} == {
        "s3:GetObject", "s3:ListBucket", "dynamodb:GetItem", "dynamodb:Query", "kms:Decrypt",
    }  # fmt: skip
    (objects,) = [s["Resource"] for s in found if "s3:GetObject" in s["Action"]]
    assert [named(r).partition("/")[2] for r in objects] == ["tenants/acme/*"]
    (listed,) = [s["Condition"] for s in found if "s3:ListBucket" in s["Action"]]
    assert listed == {"StringLike": {"s3:prefix": ["tenants/acme/*"]}}
    (read,) = [s["Condition"] for s in found if "dynamodb:Query" in s["Action"]]
    (leading,) = read["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    # The '|' at its end: "acme" must not read what is of "acme.eu".
    assert named(leading) == "fleet-data-${AWS::AccountId}-${AWS::Region}/tenants/acme|*"


def test_key_policies_give_strangers_nothing() -> None:
    """The one principal "*" is held to this account and to DynamoDB; "*" as a resource is the key itself."""
    for resource in template(SETTINGS)["Resources"].values():
        if resource["Type"] != "AWS::KMS::Key":
            continue
        for statement in resource["Properties"]["KeyPolicy"]["Statement"]:
            if statement["Principal"] == {"AWS": "*"}:
                assert set(statement["Condition"]["StringEquals"]) == {"kms:CallerAccount", "kms:ViaService"}
            elif statement["Sid"] == "ByAlarms":  # the topic is held to alarms of this account
                (alarms, _) = template(SETTINGS)["Resources"]["AlertsPolicy"]["Properties"]["PolicyDocument"][
                    "Statement"
                ]
                assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
            elif "Service" in statement["Principal"]:
                assert statement["Condition"]


def adding(role: str, *grants: Grant) -> Callable[[pytest.MonkeyPatch], None]:
    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        own = getattr(Grants, role)
        monkeypatch.setattr(Grants, role, lambda self, *given: (*own(self, *given), *grants))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (adding("worker", Grant(("s3:*",), ("arn",))), "Worker: wild action s3:*"),
        (adding("query", Grant(("s3:Get*",), ("arn",))), "Query: wild action s3:Get*"),
        (adding("ingest", Grant(("sns:Publish",), ("*",))), "Ingest: wild resource *"),
        (
            adding("worker", Grant(("s3:GetObject",), ("arn:${AWS::Partition}:s3:::b/*",))),
            "Worker: wild resource arn:${AWS::Partition}:s3:::b/*",
        ),
        (
            adding("worker", Grant(("s3:GetObject",), ("arn:${AWS::Partition}:s3:::b/store/*",))),
            "Worker: all of the store: arn:${AWS::Partition}:s3:::b/store/*",
        ),
        (adding("worker", Grant(("dynamodb:GetItem",), ("arn",))), "Worker: the catalogue: dynamodb:GetItem"),
        (adding("ingest", Grant(("s3:DeleteObject",), ("arn",))), "Ingest: deletes: s3:DeleteObject"),
        (adding("query", Grant(("dynamodb:DeleteItem",), ("arn",))), "Query: deletes: dynamodb:DeleteItem"),
        (adding("query", Grant(("sqs:DeleteMessage",), ("arn",))), "Query: deletes: sqs:DeleteMessage"),
        (
            adding("ingest", Grant(("dynamodb:PutItem",), ("arn",))),
            "Ingest: dynamodb:PutItem outside a transaction",
        ),
        (adding("tenant", Grant(("dynamodb:Query",), ("arn",))), "TenantAcme: dynamodb:Query on other stores"),
        (adding("reconcile", Grant(("s3:ListBucket",), ("arn",))), "Reconcile: lists a whole bucket"),
        (adding("sweep", Grant(("s3:ListBucketVersions",), ("arn",))), "Sweep: lists a whole bucket"),
        (adding("compact", Grant(("s3:DeleteObject",), ("arn",))), "Compact: deletes: s3:DeleteObject"),
        (adding("retain", Grant(("s3:DeleteObjectVersion",), ("arn",))), "Retain: deletes: s3:DeleteObjectVersion"),
    ],
)
def test_a_grant_too_many_is_found(
    change: Callable[[pytest.MonkeyPatch], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)
    assert says in findings(template(SETTINGS))


def test_a_bucket_that_is_open_is_found() -> None:
    whole = template(SETTINGS)

    def broken(change: Callable[[dict[str, Any]], object]) -> list[str]:
        copied = copy.deepcopy(whole)
        change(copied["Resources"])
        return findings(copied)

    statements = ("Properties", "PolicyDocument", "Statement")

    def without(resources: dict[str, Any], name: str, number: int) -> None:
        resources[name][statements[0]][statements[1]][statements[2]].pop(number)

    closed = "PublicAccessBlockConfiguration"
    assert broken(lambda r: r["DataBucket"]["Properties"][closed].update(BlockPublicPolicy=False)) == [
        "DataBucket may be public"
    ]
    assert broken(lambda r: r["LandingBucket"]["Properties"].pop(closed)) == ["LandingBucket may be public"]
    assert broken(lambda r: without(r, "DataBucketPolicy", 0)) == ["DataBucket without TLS"]
    assert broken(lambda r: r.pop("LandingBucketPolicy")) == ["LandingBucket without TLS"]
    assert broken(lambda r: without(r, "DataBucketPolicy", 1)) == ["DataBucket: objects may be replaced"]
    shared = broken(lambda r: r["Worker"]["Properties"].update(Role={"Fn::GetAtt": ["IngestRole", "Arn"]}))
    assert shared == ["IngestRole is shared by ['Ingest', 'Worker']"] or shared == [
        "IngestRole is shared by ['Worker', 'Ingest']"
    ]


def test_roles_are_taken_on_by_their_own() -> None:
    for name, resource in template(SETTINGS)["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        (trust,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        principal = trust["Principal"]
        if name.startswith("Tenant"):
            assert principal["AWS"] in {t.principal for t in SETTINGS.tenants.values()}
        else:  # a caller that names an account must name this one
            assert set(principal) == {"Service"}
            assert trust["Condition"] == {"StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
