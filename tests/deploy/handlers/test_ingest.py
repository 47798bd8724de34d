"""Ingest of landing objects: exactly once whatever the messages; failures are isolated and accounted for."""

from __future__ import annotations

import io
import json
import random
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import boto3
import pytest

from deploy.handlers import ingest, landing
from deploy.handlers.environment import EnvironmentFault
from deploy.handlers.ingest import RecordBatch, handler
from deploy.handlers.logs import Invocation
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.errors import FormatError
from runtime.store import Store
from tests.deploy.handlers.deployed import (
    STORE,
    STREAM,
    Context,
    Lines,
    T,
    batch,
    event,
    failures,
    land,
    numbers,
    records,
)
from tests.runtime.faults import Faults, s3_error

POISON = b"\x00\x01\x02 secret"


def take(*bodies: str, received: int = 1, context: Context | None = None) -> list[str]:
    """Have the function take these messages; the ids of those that are to come again."""
    return failures(handler(batch(*bodies, received=received), context or Context()))


def sources() -> list[tuple[str, int, str | None]]:
    found = Store(STORE).catalogue.sources("s")
    return sorted((s.name, s.rows_committed, s.quarantined) for s in found)


def test_a_batch_of_which_one_is_poison(deployed: Store, lines: Callable[[], Lines]) -> None:
    """It comes again, and at the second time goes into quarantine; the others are committed at once."""
    good, bad, more = land("in/s/a", records(1, 2)), land("in/s/b", POISON), land("in/other/c", records(3))
    bodies = [event(good), event(bad), event(more)]
    assert take(*bodies) == ["m1"]
    assert (numbers(), numbers("other")) == (Counter([1, 2]), Counter([3]))
    (line,) = lines().of("failed")
    assert (line["object"], line["error"], line["level"]) == ("s3://landing/in/s/b", "IngestError", "error")
    assert take(bodies[1], received=2) == []
    logged = lines()
    (line,) = logged.of("quarantined")
    assert "is not Arrow IPC, CSV, JSON or Parquet" in line["message"]
    assert logged.metric("SourcesQuarantined", Stream="s") == logged.metric("SourcesQuarantined") == 1
    found = sources()
    assert found[0] == ("s3://landing/in/s/a", 2, None)
    assert found[1][0] == "s3://landing/in/s/b"
    assert "is not Arrow IPC, CSV, JSON or Parquet" in str(found[1][2])
    # What came in is what was committed, rejected, or set aside.
    entries = [e for s in ("s", "other") for e in deployed.catalogue.sources(s)]
    assert sum(e.bytes for e in entries) == len(records(1, 2)) + len(POISON) + len(records(3))
    assert deployed.catalogue.snapshot("s").quarantined == 1


def test_the_object_is_named_before_work_on_it(
    deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that runs out of time or memory writes nothing more."""

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    body = event(land("in/s/it's large", records(1)))
    for work in ("ingest", "looked_up"):
        with monkeypatch.context() as patch:
            patch.setattr(ingest, work, killed)
            with pytest.raises(Killed):
                take(body)
        (begun,) = lines().of("begun")
        assert (begun["object"], begun["stream"]) == ("s3://landing/in/s/it's large", "s")
        assert (begun["bytes"], begun["received"]) == (len(records(1)), 1)


def test_a_message_about_several_objects(deployed: Store) -> None:
    """It is done when all of them are; those that can be are committed at once."""
    body = event(land("in/s/a", POISON), land("in/s/b", records(1)))
    assert take(body) == ["m0"]
    assert numbers() == Counter([1])
    assert take(body, received=2) == []
    assert numbers() == Counter([1])


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_an_archive(deployed: Store, lines: Callable[[], Lines]) -> None:
    """Its files are sources; it is done when all of them are, and not read again."""
    body = event(land("in/s/a.zip", zipped(x=records(1, 2), y=records(3))))
    assert take(body) == []
    assert [line["object"] for line in lines().of("ingested")] == [
        "s3://landing/in/s/a.zip/x",
        "s3://landing/in/s/a.zip/y",
    ]
    assert take(body) == []
    assert [line["object"] for line in lines().of("already ingested")] == ["s3://landing/in/s/a.zip"]
    assert numbers() == Counter([1, 2, 3])


def test_an_archive_of_which_one_is_poison(deployed: Store) -> None:
    body = event(land("in/s/a.zip", zipped(x=records(1), y=POISON, z=records(2))))
    assert take(body) == ["m0"]
    assert numbers() == Counter([1, 2])
    assert take(body, received=2) == []
    name, rows, quarantined = sources()[0]
    assert (name, rows) == ("s3://landing/in/s/a.zip", 0)
    assert "1 of 3 inputs were not ingested" in str(quarantined)
    assert numbers() == Counter([1, 2])


def test_poison_first_in_a_new_stream(deployed: Store) -> None:
    """And the keys that come then may be of any type."""
    assert take(event(land("in/s/a", POISON)), received=2) == []
    assert take(event(land("in/s/b", b'{"k":5,"t":%d,"n":9}' % T))) == []
    assert numbers() == Counter([9])


def test_quarantine_needs_the_same_error_twice(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    body = event(land("in/s/a", records(1)))
    real, raised = ingest.ingest, ["one error", "another error"]

    def failing(*args: Any, **options: Any) -> Any:
        if raised:
            raise ingest.IngestError(raised.pop(0))
        return real(*args, **options)

    monkeypatch.setattr(ingest, "ingest", failing)
    assert take(body, received=2) == ["m0"]
    assert deployed.catalogue.streams() == []
    raised.append("just once")
    assert take(body, received=2) == []
    assert numbers() == Counter([1])


def test_a_quarantined_object_may_come_again(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once what was wrong is put right: here the unit of its times, which the deployment did not declare."""
    monkeypatch.setenv("ANTFOLD_STREAMS", json.dumps({"s": {"key": "k", "time": "t"}}))
    body = event(land("in/s/a", records(1)))
    assert take(body, received=2) == take(body, received=2) == []  # its duplicate makes no second record
    assert deployed.catalogue.snapshot("s").quarantined == 1
    monkeypatch.setenv("ANTFOLD_STREAMS", json.dumps({"s": STREAM}))
    assert take(body) == []
    assert numbers() == Counter([1])
    assert deployed.catalogue.snapshot("s").quarantined == 0


@pytest.mark.parametrize("seed", range(5))
def test_duplicated_and_reordered(deployed: Store, seed: int) -> None:
    dice = random.Random(seed)
    landed = [land(f"in/s/{i}", records(2 * i, 2 * i + 1)) for i in range(4)]
    bodies = [event(one) for one in landed for _ in range(dice.randint(1, 3))] + [
        event(landed[0], landed[2], landed[2])
    ]
    dice.shuffle(bodies)
    cut = dice.randrange(len(bodies))
    assert take(*bodies[:cut]) == take(*bodies[cut:]) == []
    assert numbers() == Counter(range(8))
    assert deployed.catalogue.audit("s") == []


def test_the_same_object_in_two_invocations_at_once(deployed: Store) -> None:
    bodies = [event(land(f"in/s/{i}", records(i))) for i in range(3)]
    replies: list[list[str]] = []
    threads = [threading.Thread(target=lambda: replies.append(take(*bodies))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [[], [], []]
    assert numbers() == Counter(range(3))


def test_what_is_the_same_source(deployed: Store) -> None:
    """Equal content is one source, under whatever keys and however often it is put; other content is another."""
    take(event(land("in/s/a", records(1))), event(land("in/s/b", records(1))), event(land("in/s/a", records(1))))
    assert numbers() == Counter([1])
    take(event(land("in/s/a", records(2))))
    assert numbers() == Counter([1, 2])
    assert [e.id for e in deployed.catalogue.sources("s")] == sorted(sha256(records(n)).hexdigest() for n in (1, 2))


def test_replaced_before_it_was_read(deployed: Store) -> None:
    """With versions both are ingested; without, the first is set aside, for nothing is left of it."""
    old, new = land("in/s/a", records(1)), land("in/s/a", records(2))
    assert take(event(old), event(new)) == ["m0"]
    assert take(event(old), received=2) == []
    assert numbers() == Counter([2])
    assert "was replaced before it was ingested" in str(sources()[1][2] or sources()[0][2])
    boto3.client("s3").put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    old, new = land("in/s/b", records(3)), land("in/s/b", records(4))
    assert take(event(new), event(old)) == []
    assert numbers() == Counter([2, 3, 4])


def test_replaced_while_it_is_read(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never half of one and half of the other; what took its place is ingested on its own."""
    monkeypatch.setattr(landing, "PIECE", 64)
    real = landing.LandedFile._next
    replaced: list[str] = []

    def replacing(file: landing.LandedFile) -> bytes:
        if file._at and not replaced:
            replaced.append(event(land("in/s/a", records(*range(20, 30)))))
        return real(file)

    monkeypatch.setattr(landing.LandedFile, "_next", replacing)
    assert take(event(land("in/s/a", records(*range(10))))) == ["m0"]
    assert numbers() == Counter()
    assert take(*replaced) == []
    assert numbers() == Counter(range(20, 30))


def test_deleted_before_it_was_read(deployed: Store) -> None:
    body = event(land("in/s/a", records(1)))
    boto3.client("s3").delete_object(Bucket="landing", Key="in/s/a")
    assert take(body) == ["m0"]
    assert take(body, received=2) == []
    assert "was deleted before" in str(sources()[0][2])


def test_keys_as_s3_writes_them(deployed: Store) -> None:
    keys = ["in/s/a b+c%20ü=/x.json", "in/s/2024/03/01/00/😀", "in/s/%2F"]
    assert take(*(event(land(key, records(i))) for i, key in enumerate(keys))) == []
    assert [name for name, _, _ in sources()] == sorted(f"s3://landing/{key}" for key in keys)
    bridge = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "landing"}, "object": {"key": keys[0], "size": len(records(0))}},
    }
    assert take(json.dumps(bridge)) == []  # its key is not encoded; and without an ETag, it is looked up
    assert numbers() == Counter(range(3))


def test_what_is_no_object(deployed: Store, lines: Callable[[], Lines]) -> None:
    removed = event({"bucket": {"name": "landing"}, "object": {"key": "in/s/a"}}, name="ObjectRemoved:Delete")
    folder = event(land("in/s/", b""))
    test = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"})
    assert take(test, removed, folder) == []
    assert take("not JSON", "{}", "[1]", '{"Records":[{"eventName":"ObjectCreated:Put"}]}') == ["m0", "m1", "m2", "m3"]
    assert len(lines().of("not an event")) == 4
    with pytest.raises(FormatError, match="connect this function to the queue"):
        handler({"Records": [{"s3": {}}]}, Context())


def test_of_no_stream(deployed: Store, lines: Callable[[], Lines]) -> None:
    """Not lost: it comes again until somebody declares the stream, or ends among the dead letters."""
    bodies = [event(land(key, records(1))) for key in ("in/unknown/a", "elsewhere/s/a", "in/s")]
    assert take(*bodies, received=9) == ["m0", "m1", "m2"]
    assert all("belongs to no stream of this deployment" in line["message"] for line in lines().of("failed"))


def test_too_large(deployed: Store) -> None:
    one = RecordBatch(Invocation(), deployed, Client("s3", Access()), max_bytes=50)
    bodies = [event(land("in/s/a", records(*range(9)))), event(land("in/s/b", records(1)))]
    assert failures(one.answer(batch(*bodies)["Records"])) == []
    assert numbers() == Counter([1])
    assert "over the limit of 50" in str(sources()[0][2])


def test_rejected_rows_are_counted(deployed: Store, lines: Callable[[], Lines]) -> None:
    assert take(event(land("in/s/a", records(1) + b'{"k":"d","n":5,"secret":"payload"}\nsecret\n' + records(2)))) == []
    logged = lines()
    assert (logged.metric("RowsIngested", Stream="s"), logged.metric("RowsRejected", Stream="s")) == (2, 2)
    assert logged.metric("RowsIngested") == 2
    (line,) = logged.of("ingested")
    assert (line["rows"], line["rejected"], line["level"]) == (2, 2, "warning")
    assert "payload" not in json.dumps(logged.all)


def test_no_payload_in_the_log(deployed: Store, lines: Callable[[], Lines]) -> None:
    """An error may quote what was sent; the log does not."""
    take(event(land("in/s/a", b"temperature of the reactor, 451\n1,2\n")))
    (line,) = lines().of("failed")
    assert "has no column 'k' (--key) and 't' (--time); its first line has '...', '...' (" in line["message"]


def test_when_time_runs_out(deployed: Store, lines: Callable[[], Lines]) -> None:
    bodies = [event(land(f"in/s/{i}", records(i))) for i in range(4)]
    assert take(*bodies, context=Context(100, 100, 5)) == ["m2", "m3"]
    assert numbers() == Counter([0, 1])
    assert len(lines().of("no time left")) == 2
    assert take(*bodies[2:]) == []
    assert numbers() == Counter(range(4))


def test_a_reply_that_is_lost_after_the_commit(deployed: Store) -> None:
    body = event(land("in/s/a", records(1)))
    store = Store(STORE)
    faults = Faults(store.catalogue.table.client)  # type: ignore[attr-defined]
    faults.lose("TransactWriteItems", 2)
    s3 = Client("s3", Access())
    assert failures(RecordBatch(Invocation(), store, s3).answer(batch(body)["Records"])) == []
    assert faults.waits
    assert take(body, received=2) == []
    assert numbers() == Counter([1])
    assert len(deployed.catalogue.sources("s")) == 1


def test_throttled_and_cut_reads(deployed: Store) -> None:
    body = event(land("in/s/a", records(*range(5))))
    s3 = Client("s3", Access())
    faults = Faults(s3)
    faults.refuse("GetObject", s3_error(503, "SlowDown"), s3_error(500, "InternalError"))
    faults.lose("GetObject")
    assert failures(RecordBatch(Invocation(), deployed, s3).answer(batch(body)["Records"])) == []
    assert len(faults.waits) == 3
    assert numbers() == Counter(range(5))


def test_a_fault_of_the_deployment_is_not_the_objects(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it comes: denied, no table, other settings than the stream's. Nothing goes into quarantine."""
    assert take(event(land("in/s/a", records(1)))) == []
    body = event(land("in/s/b", records(2)))
    s3 = Client("s3", Access())
    Faults(s3).refuse("GetObject", *(s3_error(403, "AccessDenied") for _ in range(2)))
    for received in (1, 5):
        assert failures(RecordBatch(Invocation(), deployed, s3).answer(batch(body, received=received)["Records"])) == [
            "m0"
        ]
    other = json.dumps({"s": STREAM | {"key": "device"}})
    monkeypatch.setenv("ANTFOLD_STREAMS", other)
    assert take(body, received=5) == ["m0"]
    monkeypatch.setenv("ANTFOLD_STREAMS", json.dumps({"s": STREAM}))
    monkeypatch.setenv("ANTFOLD_STORE", "s3://lake/store?table=no-such-table")
    assert take(body, received=5) == ["m0"]
    monkeypatch.setenv("ANTFOLD_STORE", STORE)
    assert take(body, received=5) == []
    assert numbers() == Counter([1, 2])
    assert deployed.catalogue.snapshot("s").quarantined == 0
    monkeypatch.delenv("ANTFOLD_LANDING")
    with pytest.raises(EnvironmentFault, match="ANTFOLD_LANDING is not set"):
        take(body)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.nightly)])
def test_killed_anywhere(deployed: Store, step: int) -> None:
    """At one request after the other, before it or after it; then the messages come again, to another process."""
    store, s3 = Store(STORE), Client("s3", Access())
    left, point = [0], [""]

    def killing(event_name: str, **_: object) -> None:
        if event_name.startswith(point[0]):
            left[0] -= 1
            if left[0] == -1:
                raise Killed

    for client in (s3, store.objects.client, store.catalogue.table.client):  # type: ignore[attr-defined]
        for hook in ("before-send", "response-received"):
            client.boto.meta.events.register_first(f"{hook}.{client.service}", killing)
    rounds = 0
    tried = range(0, 1_000, step)
    for n in tried:
        bodies = [event(land(f"in/s/{n}-{i}", records(10 * n + i))) for i in range(2)]
        left[0], point[0] = n, "before-send" if n % 2 else "response-received"
        try:
            RecordBatch(Invocation(), store, s3).answer(batch(*bodies)["Records"])
        except Killed:
            rounds += 1
        finally:
            done = left[0] >= 0
        assert take(*bodies, received=2) == []
        if done:
            break
    assert rounds >= 60 // step
    assert numbers() == Counter(10 * k + i for k in tried[: n // step + 1] for i in range(2))
    assert deployed.catalogue.audit("s") == []
    assert deployed.catalogue.snapshot("s").quarantined == 0
