"""One content counts once, whoever ingests it and under whatever names; what is known is not read again."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from deploy.handlers import landing, object_sources
from deploy.handlers.events import landed
from deploy.handlers.ingest import RecordBatch, handler
from deploy.handlers.landing import looked_up
from deploy.handlers.logs import Invocation
from deploy.handlers.object_sources import known_object, state_of, unquarantine
from operators.types import Type
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.catalogue import SourceEntry, StreamSchema, new_attempt
from runtime.errors import StoreError
from runtime.store import Store
from tests.deploy.handlers.deployed import STREAM, Context, T, batch, event, failures, land, numbers, records
from tests.runtime.faults import Faults

POISON = b"\x00\x01\x02"


def take(*bodies: str, received: int = 1) -> list[str]:
    return failures(handler(batch(*bodies, received=received), Context()))


def with_tag(notice: dict[str, Any], etag: str) -> dict[str, Any]:
    """The notice of the same object under another ETag, as SSE-KMS gives the same content each time it is put."""
    return {**notice, "object": {**notice["object"], "eTag": etag}}


@pytest.fixture
def any_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 that has the object under every ETag."""
    real = landing.LandedFile.__init__

    def made(file: landing.LandedFile, client: Client, found: Any) -> None:
        here = looked_up(client, replace(found, etag="", size=None))
        real(file, client, replace(found, etag=here.etag))

    monkeypatch.setattr(landing.LandedFile, "__init__", made)


def test_the_same_file_under_two_etags(deployed: Store, any_tag: None) -> None:
    notice = land("in/s/a", records(1, 2))
    for tag in ("first", "second", "first"):
        assert take(event(with_tag(notice, tag))) == []
    assert numbers() == Counter([1, 2])
    snapshot = deployed.catalogue.snapshot("s")
    assert (snapshot.sources, snapshot.total_rows, len(deployed.catalogue.sources("s"))) == (1, 2, 1)
    assert deployed.catalogue.audit("s") == []


def test_two_etags_at_once(deployed: Store, any_tag: None) -> None:
    notice = land("in/s/a", records(*range(20)))
    replies: list[list[str]] = []
    bodies = [event(with_tag(notice, f"tag {n}")) for n in range(4)]
    threads = [threading.Thread(target=lambda b=body: replies.append(take(b))) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [[]] * 4
    assert numbers() == Counter(range(20))


def test_by_hand_and_by_the_function(deployed: Store) -> None:
    deployed.ingest("s", io.BytesIO(records(1)), progress=False, **STREAM)  # type: ignore[arg-type]
    assert take(event(land("in/s/a", records(1))), event(land("in/s/b", records(2)))) == []
    (again,) = deployed.ingest("s", io.BytesIO(records(2)), progress=False).sources
    assert again.status == "already ingested"
    assert numbers() == Counter([1, 2])


def test_what_its_name_gives_its_rows(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices may report the same; one device's report counts once, wherever it lies."""
    by_name = {"s": {"key": "k", "key_value": "{stem}", "time": "t", "unit": "ms"}}
    monkeypatch.setenv("ANTFOLD_STREAMS", json.dumps(by_name))
    data = b'{"t":%d,"n":1}\n' % T
    assert take(*(event(land(f"in/s/{key}", data)) for key in ("one.json", "two.json", "again/one.json"))) == []
    assert numbers() == Counter([1, 1])
    assert {e.name for e in deployed.catalogue.sources("s")} == {
        "s3://landing/in/s/one.json", "s3://landing/in/s/two.json",
    }  # fmt: skip


def test_what_is_known_is_not_read_again(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    body = event(land("in/s/a", records(1)))
    assert take(body) == []
    s3 = Client("s3", Access())
    faults = Faults(s3)
    one = RecordBatch(Invocation(), deployed, s3)
    assert failures(one.answer(batch(body)["Records"])) == []
    assert faults.sent["GetObject"] == 0
    assert numbers() == Counter([1])


def test_without_its_alias(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read again, found known by its content, and has its alias then."""
    body = event(land("in/s/a", records(1)))
    (found,) = landed(body)

    def lost(*_: object) -> None:
        raise StoreError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(type(deployed.catalogue), "put_alias", lost)
        assert take(body) == []
    assert known_object(deployed.catalogue, "s", found) is None
    assert take(body) == []
    known = known_object(deployed.catalogue, "s", found)
    assert known is not None
    assert known.id == sha256(records(1)).hexdigest()
    assert numbers() == Counter([1])


def test_what_earlier_versions_ingested(deployed: Store) -> None:
    """It is known by its place, and stays so."""
    body = event(land("in/s/a", records(1)))
    (found,) = landed(body)
    schema = StreamSchema("k", Type.STRING, "t", {"n": Type.INT}, unit="ms")
    old = SourceEntry(found.identity, found.name, 10, 0, 0)
    deployed.catalogue.commit("s", schema, old, [], new_attempt())
    assert take(body) == []
    assert numbers() == Counter()
    assert state_of(deployed.catalogue, "s", found) == "known"
    assert [e.id for e in deployed.catalogue.sources("s")] == [found.identity]


def test_what_was_taken_back_stays_so(deployed: Store, any_tag: None) -> None:
    """Whether its alias is there or not; an explicit ingest takes it again."""
    notice = land("in/s/a", records(1))
    assert take(event(notice)) == []
    deployed.undo("s", sha256(records(1)).hexdigest())
    assert take(event(notice), event(with_tag(notice, "other")), event(land("in/s/b", records(1)))) == []
    assert numbers() == Counter()
    (found,) = landed(event(notice))
    assert state_of(deployed.catalogue, "s", found) == "known"
    deployed.ingest("s", io.BytesIO(records(1)), progress=False)
    assert numbers() == Counter([1])


def test_the_same_poison_twice(deployed: Store, any_tag: None) -> None:
    """It is in quarantine once; a file that was mended and put under the same key is taken."""
    notice = land("in/s/a", POISON)
    for tag in ("first", "second"):
        assert take(event(with_tag(notice, tag)), received=2) == []
    assert take(event(land("in/s/b", POISON)), received=2) == []
    assert deployed.catalogue.snapshot("s").quarantined == 1
    (found,) = landed(event(with_tag(notice, "first")))
    assert state_of(deployed.catalogue, "s", found) == "quarantined"
    assert take(event(land("in/s/a", records(1)))) == []
    assert numbers() == Counter([1])
    assert deployed.catalogue.snapshot("s").quarantined == 1


def test_what_was_dismissed_from_quarantine(deployed: Store, any_tag: None) -> None:
    """Its record was taken back: its messages are done, and it does not come again."""
    notice = land("in/s/a", POISON)
    assert take(event(notice), received=2) == []
    unquarantine(deployed.catalogue, "s", sha256(POISON).hexdigest())
    assert take(event(notice), event(with_tag(notice, "other"))) == []
    snapshot = deployed.catalogue.snapshot("s")
    assert (snapshot.quarantined, snapshot.sources) == (0, 0)
    (found,) = landed(event(notice))
    assert state_of(deployed.catalogue, "s", found) == "known"


def test_set_aside_unread_and_taken_later(deployed: Store) -> None:
    """An object over the limit is set aside by its place; once it can be read, its record is taken back."""
    body = event(land("in/s/a", records(1, 2, 3)))
    small = RecordBatch(Invocation(), deployed, Client("s3", Access()), max_bytes=10)
    for _ in range(2):
        assert failures(small.answer(batch(body)["Records"])) == []
    assert deployed.catalogue.snapshot("s").quarantined == 1
    for _ in range(2):
        assert take(body) == []
        snapshot = deployed.catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.sources) == (0, 1)
    assert numbers() == Counter([1, 2, 3])
    assert deployed.catalogue.audit("s") == []


def test_a_large_object_is_read_twice(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are not kept while they are hashed."""
    monkeypatch.setattr(object_sources, "KEPT", 10)
    s3 = Client("s3", Access())
    faults = Faults(s3)
    one = RecordBatch(Invocation(), deployed, s3)
    assert failures(one.answer(batch(event(land("in/s/a", records(1, 2))))["Records"])) == []
    assert faults.sent["GetObject"] == 2
    assert numbers() == Counter([1, 2])
