"""What is checked before anything is created: the account's concurrency, and keys that must not be forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.stack.actions.change_sets import DeployError
from deploy.stack.actions.preflight import UNRESERVED, check_concurrency, with_former_keys
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.template import kept, template
from deploy.stack.settings import CREATED, StackSettings
from runtime.aws.access import Access
from tests.deploy.stack.fake_aws import Aws, install, refused

HERE = Access(region="eu-west-1")
SMALL = StackSettings(worker_concurrency=2, ingest_concurrency=2, query_concurrency=2)
WANTED = sum(f.concurrency for f in functions(SMALL))


def account(monkeypatch: pytest.MonkeyPatch, limit: int, free: int, **reserved: int) -> Aws:
    """An account; ``reserved``: by the kinds of functions that are deployed."""
    aws = install(monkeypatch)

    def concurrency(FunctionName: str) -> Any:  # noqa: N803
        kind = FunctionName.removeprefix("antfold-")
        if kind not in reserved:
            raise refused("ResourceNotFoundException", "no such function", 404)
        return {"ReservedConcurrentExecutions": reserved[kind]} if reserved[kind] else {}

    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": free}
    aws.answers = {
        "get_account_settings": lambda: {"AccountLimit": limits},
        "get_function_concurrency": concurrency,
    }
    return aws


def test_what_others_reserve_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch, 1_000, UNRESERVED + WANTED)
    check_concurrency(SMALL, HERE)
    account(monkeypatch, 1_000, UNRESERVED + WANTED - 1)
    taken = 1_000 - UNRESERVED - WANTED + 1
    with pytest.raises(DeployError, match=f"limit is 1,000 in eu-west-1, of which other functions reserve {taken:,},"):
        check_concurrency(SMALL, HERE)


def test_an_update_has_what_it_reserves_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is not reserved by others is its own."""
    now = {f.name: f.concurrency for f in functions(SMALL)}
    account(monkeypatch, UNRESERVED + WANTED, UNRESERVED, **now)
    check_concurrency(SMALL, HERE)
    with pytest.raises(DeployError, match="set worker_concurrency to 2 or less, set reserve = false"):
        check_concurrency(replace(SMALL, worker_concurrency=3), HERE)
    # A new function of a newer version, and one without a reservation.
    account(monkeypatch, UNRESERVED + WANTED, UNRESERVED + now.pop("query"), worker=now["worker"], ingest=0)
    with pytest.raises(DeployError, match="would reserve"):
        check_concurrency(SMALL, HERE)


@pytest.mark.parametrize("limit", [10, 50])
def test_accounts_with_a_low_quota(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Nothing can be reserved there; the message names both ways out, and the first one is open."""
    account(monkeypatch, limit, limit)
    with pytest.raises(DeployError, match=r"set reserve = false .*, or request a higher limit") as caught:
        check_concurrency(SMALL, HERE)
    assert "to -" not in str(caught.value)
    shared = replace(SMALL, reserve=False)
    check_concurrency(shared, HERE)
    with pytest.raises(DeployError, match=f"set worker_concurrency to {limit - 4} or less, or request"):
        check_concurrency(replace(shared, worker_concurrency=800), HERE)
    check_concurrency(replace(shared, worker_concurrency=limit - 4), HERE)
    account(monkeypatch, limit, 5)
    with pytest.raises(DeployError, match="set ingest_concurrency and worker_concurrency to 2, or request"):
        check_concurrency(shared, HERE)


def test_another_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = account(monkeypatch, 1_000, 1_000)

    def denied(**_: object) -> Any:
        raise refused("AccessDeniedException", "not for you", 403)

    aws.answers["get_function_concurrency"] = denied
    with pytest.raises(Exception, match="permission denied"):
        check_concurrency(SMALL, HERE)


OTHER = "arn:aws:kms:eu-west-1:111122223333:key/0ab1"
MORE = "arn:aws:kms:eu-west-1:111122223333:key/0ab2"


def follow(*keys: str | None) -> tuple[StackSettings, list[list[str]]]:
    """The settings after deployments with these keys, and what each one had to add."""
    settings, told = StackSettings(kms_key=keys[0]), []
    for given in keys[1:]:
        settings, added = with_former_keys(StackSettings(kms_key=given), template(settings))
        told.append(list(added))
    return settings, told


def test_no_key_is_forgotten() -> None:
    assert follow(None, None) == (StackSettings(), [[]])
    settings, told = follow(None, OTHER, MORE, MORE, None, OTHER)
    assert told == [[CREATED], [OTHER, CREATED], [OTHER, CREATED], [MORE, OTHER], [CREATED, MORE]]
    assert settings.former_kms_keys == (CREATED, MORE)
    # What the file names already is not told again.
    said = StackSettings(kms_key=MORE, former_kms_keys=(OTHER, MORE))
    assert with_former_keys(said, template(StackSettings(kms_key=OTHER))) == (
        replace(said, former_kms_keys=(OTHER,)), [],
    )  # fmt: skip


def test_the_key_of_the_deployment_stays_in_its_template() -> None:
    """Left out, it would be a key of nobody, and its alias in the way of the next one."""
    for keys in ((None, OTHER), (None, OTHER, MORE), (OTHER, None), (OTHER, None, OTHER)):
        found = template(follow(*keys)[0])["Resources"]
        assert {"Key", "KeyAlias"} <= set(found), keys
        assert found["Key"] == template(StackSettings())["Resources"]["Key"]
    assert "Key" not in template(follow(OTHER, MORE)[0])["Resources"]


def test_the_keys_of_templates_of_another_age() -> None:
    """Of a version that did not write them down, and of a deployment that was removed but for its data."""
    for given, expected in ((None, [CREATED]), (OTHER, [OTHER])):
        before = template(StackSettings(kms_key=given))
        for old in (kept(before), {k: v for k, v in before.items() if k != "Metadata"}):
            assert with_former_keys(StackSettings(kms_key=MORE), old)[1] == expected
    assert with_former_keys(StackSettings(), {"Resources": {}}) == (StackSettings(), [])
