"""`dataflow redrive` and `dataflow reconcile`: what they print, and their one-sentence errors."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from deploy.cli import main
from deploy.stack.actions import dead_letters
from tests.deploy.stack.actions.conftest import Fleet, event
from tests.deploy.stack.actions.conftest import aws as aws
from tests.deploy.stack.actions.conftest import fleet as fleet
from tests.deploy.stack.fake_aws import Aws, install, refused

ROW = b'{"k":"a","t":1700000000000}\n'


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(dead_letters, "_WAIT", 0)

    def run(*arguments: str, code: int = 0) -> str:
        found = main([*arguments, "--name", "fleet"])
        said = capsys.readouterr()
        assert found == code, said
        return said.out + said.err

    return run


def test_redrive(fleet: Fleet, run: Any) -> None:
    assert run("redrive") == "no dead letters\n"
    fleet.bury(event(fleet.land("one", ROW)), event(fleet.land("two", ROW, "unknown")))
    listed = run("redrive", "--list")
    assert "landing/s/one" in listed
    assert "the stream unknown is not declared; there are s: add [streams.unknown]" in listed
    assert "moved back" not in listed
    found = json.loads(run("redrive", "--list", "--json"))
    assert sorted(one["state"] for one in found["dead_letters"]) == ["failed", "undeclared"]
    assert found["moved"] == found["deleted"] == found["left"] == 0
    said = run("redrive", code=1)
    assert "1 moved back to ingest's queue; 0 deleted, as their objects are ingested; 1 left" in said
    assert json.loads(run("redrive", "two", "--json", code=1))["left"] == 1
    assert "no dead letter names 'one'; `dataflow redrive --list` lists them" in run("redrive", "one", code=1)


def test_retry_through_the_deployment(fleet: Fleet, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The object's message goes to the queue, and the note of it to the catalogue; what is gone is said."""
    found = {name: fleet.land(name, ROW) for name in ("one", "two", "gone", "other")}
    for one in found.values():
        fleet.set_aside(one, "it is damaged")
    (one,) = (s for s in fleet.store.quarantined() if s.entry.name.endswith("two"))
    fleet.store.dismiss([one])
    import boto3

    boto3.client("s3").delete_object(Bucket=found["gone"].bucket, Key=found["gone"].key)
    fleet.land("other", ROW + ROW)
    said = retry(capsys, fleet, "one", "two", "gone", "other", "--name", "fleet", code=1)
    assert "landing/s/one: enqueued; to fleet-ingest" in said
    assert "gone is not there any more: upload it again, or dismiss it" in said
    assert f"was replaced since ({len(ROW)} bytes were set aside, it has {2 * len(ROW)})" in said
    sent = [json.loads(body)["Records"][0]["s3"]["object"] for body in fleet.waiting("ingest")]
    assert sorted((o["key"], o["eTag"]) for o in sent) == sorted((found[n].key, found[n].etag) for n in ("one", "two"))
    assert {s.entry.name.rpartition("/")[2]: s.state for s in fleet.store.quarantined()} == {
        "one": "retried", "two": "retried", "gone": "waiting", "other": "waiting",
    }  # fmt: skip
    assert "there is no queue fleat-ingest" in retry(capsys, fleet, "one", "--name", "fleat", code=1)
    assert "landing/s/one: ingested; 1 row, 0 rejected" in retry(capsys, fleet, "one", "--here")
    assert fleet.store.catalogue.snapshot("s").quarantined == 3


def retry(capsys: pytest.CaptureFixture[str], fleet: Fleet, *given: str, code: int = 0) -> str:
    assert main(["quarantine", "retry", fleet.store.url, *given]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_the_deployment_of_a_store() -> None:
    from deploy.stack.actions.quarantine_retries import deployment_of

    assert deployment_of("s3://mesh-data-1-eu/store?table=mesh-catalogue") == "mesh"
    for url in ("s3://mesh-data-1-eu/tenants/a?table=mesh-catalogue", "s3://lake/store?table=mesh-catalogue", "./s"):
        assert deployment_of(url) is None


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Aws:
    return install(monkeypatch)


def answers(function: Aws, *replies: dict[str, Any], failed: bool = False) -> list[dict[str, Any]]:
    """The function's replies, one after the other; the events it was given."""
    left, given = list(replies), []

    def invoke(FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "fleet-reconcile:live"
        given.append(json.loads(Payload))
        reply = {"Payload": io.BytesIO(json.dumps(left.pop(0)).encode())}
        return reply | ({"FunctionError": "Unhandled"} if failed else {})

    function.answers["invoke"] = invoke
    return given


COUNTS = {"listed": 7, "enqueued": 2, "known": 3, "quarantined": 1, "young": 0, "older": 1, "unknown": 0}


def test_reconcile(function: Aws, run: Any) -> None:
    given = answers(function, COUNTS | {"after": None}, COUNTS | {"after": "landing/s/k"})
    said = run("reconcile")
    assert "7 objects listed\n2 enqueued: ingest takes them within minutes\n3 ingested before\n" in said
    assert "1 older than it looks (--since all looks at them)" in said
    assert "young" not in said
    assert "not complete: the function goes on by itself after 'landing/s/k' (--wait follows it)" in run(
        "reconcile", "--since", "2024-03-01", "--quarantined"
    )
    assert given == [{}, {"since": "2024-03-01", "quarantined": True}]


def test_reconcile_is_followed(function: Aws, run: Any) -> None:
    """Run by run: the function does not go on by itself then."""
    first = {"since": "all", "alone": True}
    rest = [first | {"after": after} for after in "ab"]
    replies = [COUNTS | {"listed": 7 * (n + 1), "after": r["after"], "next": r} for n, r in enumerate(rest)]
    given = answers(function, *replies, COUNTS | {"listed": 21, "after": None})
    found = json.loads(run("reconcile", "--wait", "--since", "all", "--json"))
    assert (found["listed"], found["enqueued"], found["complete"], found["runs"]) == (21, 2, True, 3)
    assert given == [first, *rest]


def test_a_function_of_an_earlier_version_goes_on_by_itself(function: Aws, run: Any) -> None:
    answers(function, COUNTS | {"after": "landing/s/k"})
    assert "the function goes on by itself after 'landing/s/k'" in run("reconcile", "--wait")


def test_a_relative_time(function: Aws, run: Any) -> None:
    from datetime import UTC, datetime, timedelta

    given = answers(function, COUNTS | {"after": None})
    run("reconcile", "--since", "-30d")
    since = datetime.fromisoformat(given[0]["since"])
    assert abs(datetime.now(UTC) - timedelta(days=30) - since) < timedelta(minutes=1)


def test_reconcile_fails(function: Aws, run: Any) -> None:
    answers(function, {"errorMessage": "the table is gone."}, failed=True)
    said = run("reconcile", code=1)
    assert said == "dataflow: fleet-reconcile failed: the table is gone; its log is /aws/lambda/fleet-reconcile\n"

    def absent(**_: object) -> None:
        raise refused("ResourceNotFoundException", "Function not found", 404)

    def denied(**_: object) -> None:
        raise refused("AccessDeniedException", "no", 403)

    function.answers["invoke"] = absent
    assert "there is no function fleet-reconcile in this account and region, so no deployment fleet" in run(
        "reconcile", code=1
    )
    function.answers["invoke"] = denied
    assert "cannot invoke the function fleet-reconcile (lambda): permission denied" in run("reconcile", code=1)
    assert "'yesterdya' is not a time; did you mean 'yesterday'?" in run("reconcile", "--since", "yesterdya", code=2)
