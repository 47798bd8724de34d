"""A stream of Kinesis that is watched: each record exactly once, in order, however shards change and watchers end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

import dataflow as df
from runtime import Store
from runtime.errors import IngestError, StoreError
from runtime.live.feeds.kinesis_stream import KinesisAddress
from runtime.live.feeds.opened_feed import message_format
from runtime.live.stream_watermark import StreamWatermark
from tests.runtime.live.feeds.fake_bucket import refused
from tests.runtime.live.feeds.fake_kinesis import FakeStream
from tests.runtime.live.feeds.watched import STREAM, lines, numbers_in
from tests.runtime.live.feeds.watched_kinesis import ADDRESS, WatchingKinesis

HOUR = 3_600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "f"


def test_each_shard_goes_on_where_it_was(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    for n in range(5):
        stream.put(lines(n), shard=n)
    watching = WatchingKinesis(store, folder, stream)
    assert watching.look() == [("ingested", 3), ("ingested", 2)]
    stream.put(lines(5), shard=1)
    assert WatchingKinesis(store, folder, stream).look() == [("ingested", 1)]
    assert watching.look(2) == []  # the other was faster
    stream.put(lines(6), shard=1)
    assert watching.look(2) == [("ingested", 1)]
    assert numbers_in(store) == list(range(7))


def test_fields_of_records_are_columns(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    stream.now = 5.0  # of 1970, so that it fits in seconds, too
    shard = stream.put('{"n": 1, "t": 1}', key="ä")
    stream.put('{"n": 2, "t": 2, "k": "own"}', key="a")
    stream.put("{ }", key="a")
    source = f"{ADDRESS}?key=k&timestamp=t&shard=shard&sequence=s&region=us-east-1"
    WatchingKinesis(store, folder, stream, source).look()
    found = store.query(df.stream(STREAM).select("n", "shard", "s"), progress=False)
    records = stream.shards[shard].records
    assert sorted(map(str, found["s"])) == [str(record.sequence) for record in records]
    assert set(found["shard"]) == {shard}
    assert sorted(store.query(df.stream(STREAM).group_by("k").agg(n=df.count()), progress=False)["k"]) == [
        "a", "own", "ä",
    ]  # fmt: skip


def test_children_begin_once_their_parents_have_ended(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    one, two = stream.open_shards()
    for n in range(8):
        stream.put(lines(n), shard=0)
    three, _ = stream.split(one)
    for n in range(8, 10):
        stream.put(lines(n), shard=1)
    five = stream.merge(two, three)
    stream.put(lines(10, key="m"), shard=1)
    watching = WatchingKinesis(store, folder, stream)
    names: list[str] = []
    for _ in range(6):
        watching.look()
        names += [r.name.partition("]")[0].partition("[")[2] for r in watching.watch.reports if r.committed]
    assert numbers_in(store) == list(range(11))
    assert [n for i, n in enumerate(names) if n not in names[:i]] == [one, three, five]
    assert WatchingKinesis(store, folder, stream).look(3) == []


def test_a_closed_shard_does_not_hold_back_the_watermark(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    one, _ = stream.open_shards()
    stream.put(lines(50), shard=0)
    stream.put(lines(100), shard=1)
    watching = WatchingKinesis(store, folder, stream)
    watching.look()
    mark = StreamWatermark(store.catalogue, STREAM)
    assert mark.at(store.catalogue.order(STREAM).seq) == 50_000_000
    stream.split(one)
    watching.look(2)
    assert mark.at(store.catalogue.order(STREAM).seq) == 100_000_000


def test_from_the_end(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    stream.put(lines(0), shard=0)
    stream.split(stream.open_shards()[0])
    stream.put(lines(1), shard=0)
    stream.now += 1
    watching = WatchingKinesis(store, folder, stream, skips=True)
    watching.look()
    stream.put(lines(2), shard=0)
    watching = WatchingKinesis(store, folder, stream, skips=True)  # that is where it began
    assert watching.look() == [("ingested", 1)]
    child = stream.split(stream.open_shards()[0])[0]
    stream.put(lines(3), shard=stream.open_shards().index(child))  # a shard that is new has no end to begin at
    watching.look(3)
    assert numbers_in(store) == [2, 3]


def test_iterators_that_expire(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    watching = WatchingKinesis(store, folder, stream)
    watching.look()
    for n in range(7):
        stream.put(lines(n))
        stream.expire_iterators()
        watching.look(2)
    assert numbers_in(store) == list(range(7))
    assert all(report.error is None for report in watching.watch.reports)


def test_what_passes_is_waited_for_and_said_once(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    watching = WatchingKinesis(store, folder, stream)
    stream.put(lines(1))
    watching.look()
    for failure, said in (
        (refused(400, "ProvisionedThroughputExceededException"), "ProvisionedThroughputExceededException"),
        (EndpointConnectionError(endpoint_url="https://kinesis.local"), "kinesis.local cannot be reached"),
        (refused(400, "ExpiredTokenException"), "expired"),
    ):
        stream.failures.extend([failure] * 40)
        assert watching.look(3) == [("unreadable", 0)]
        assert said in str(watching.watch.reports[0].error)
        assert str(watching.watch.reports[0].error).endswith("; it is tried again")
        stream.failures.clear()
        assert watching.look(2) == []
    stream.lost = 2
    stream.put(lines(2))
    watching.look(4)
    assert numbers_in(store) == [1, 2]


def test_records_that_are_gone_before_they_were_read(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    stream.put(lines(1))
    watching = WatchingKinesis(store, folder, stream)
    watching.look()
    stream.put(lines(2))
    stream.now += 25 * HOUR
    stream.put(lines(3))
    said = (
        r"shardId-0+ of stream s: records that arrived from 2023-11-14T22:13:\d\dZ on, which were not read yet, may no"
    )
    for one in (watching, WatchingKinesis(store, folder, stream)):
        with pytest.raises(IngestError, match=said):
            one.look(3)
    assert numbers_in(store) == [1]


def test_a_shard_without_records_for_long_is_no_loss(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    stream.put(lines(1), shard=0)
    watching = WatchingKinesis(store, folder, stream)
    for _ in range(10):
        watching.look()
        stream.now += 5 * HOUR
        stream.expire_iterators()
    WatchingKinesis(store, folder, stream).look()
    stream.now += 20 * HOUR
    stream.put(lines(2), shard=0)
    stream.put(lines(3), shard=1)
    WatchingKinesis(store, folder, stream).look()
    assert numbers_in(store) == [1, 2, 3]
    stream.now += 50 * HOUR
    stream.put(lines(4), shard=1)
    with pytest.raises(IngestError, match="may no longer be there"):
        WatchingKinesis(store, folder, stream).look()


def test_a_watcher_that_is_too_slow(store: Store, folder: Path) -> None:
    """What is dropped between two requests is noticed, too."""
    stream = FakeStream.of(1)
    for n in range(9):
        stream.put(lines(n))
        stream.now += 10
    stream.most, watching = 1, WatchingKinesis(store, folder, stream)
    stream.now += 24 * HOUR - 85

    def slow(seconds: float) -> None:
        stream.now += 2

    watching.feed._sleep = slow
    assert watching.look() == [("ingested", 1)]
    stream.now += 20
    with pytest.raises(IngestError, match="may no longer be there"):
        watching.look()
    assert numbers_in(store) == [1]


def test_a_shard_that_is_gone_before_it_was_read(store: Store, folder: Path) -> None:
    stream = FakeStream.of(2)
    stream.put(lines(1), shard=0)
    watching = WatchingKinesis(store, folder, stream)
    watching.look()
    stream.merge(*stream.open_shards())
    stream.now += 25 * HOUR
    stream.put(lines(2))
    with pytest.raises(IngestError, match="shardId-000000000000 of stream s: records that arrived"):
        WatchingKinesis(store, folder, stream).look()


def test_shards_that_are_forgotten_after_they_were_read(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    watching = WatchingKinesis(store, folder, stream)
    for n in range(12):
        stream.put(lines(n), shard=0)
        stream.split(stream.open_shards()[0])
        watching.look(3)
        stream.merge(*stream.open_shards())
        watching.look(3)
        stream.now += 8 * HOUR
    watching.look(2)
    assert numbers_in(store) == list(range(12))
    assert len(watching.feed._begun.starts) < 12


def test_a_stream_that_was_created_anew(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    stream.put(lines(1))
    watching = WatchingKinesis(store, folder, stream)
    watching.look()
    stream.is_gone = True
    with pytest.raises(IngestError, match="there is no stream s, or a shard of it is gone"):
        watching.look(2)
    anew = FakeStream.of(1)
    anew.created += 1
    anew.put(lines(2))
    with pytest.raises(IngestError, match="stream s was deleted and created anew"):
        WatchingKinesis(store, folder, anew).look()
    assert numbers_in(store) == [1]


def test_aggregates_are_refused(store: Store, folder: Path) -> None:
    stream = FakeStream.of(1)
    stream.put(b"\xf3\x89\x9a\xc2 and more")
    with pytest.raises(IngestError, match="is an aggregate of the Kinesis Producer Library"):
        WatchingKinesis(store, folder, stream).look()


def test_a_stream_without_records_makes_none_in_the_store(store: Store, folder: Path) -> None:
    WatchingKinesis(store, folder, FakeStream.of(1)).look(3)
    assert store.catalogue.streams() == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("kinesis://", "names a stream of Kinesis"),
        ("kinesis://a/b", "names a stream of Kinesis"),
        ("kinesis://s?kye=k", "there is no kye=k; did you mean 'key'"),
        ("kinesis://s?region=", "there is no region="),
        ("kinesis://s?key=a&key=b", "given twice"),
    ],
)
def test_addresses_that_are_none(source: str, said: str) -> None:
    with pytest.raises(IngestError, match=said):
        KinesisAddress.of(source)


GIVEN = {"key": "k", "time": "t", "unit": "s", "until_idle": "1s", "every": "300ms"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "committed"}, "a topic goes on behind what is committed anyway"),
        ({"format": "csv"}, "messages of a topic are records of ndjson, clf, .*, not csv"),
        ({"format": "logfmt", "source": f"{ADDRESS}?key=k"}, "become columns of JSON records only"),
        ({"connection": {"a": "b"}}, "only a feed of kafka://, .* has settings of a connection"),
        ({"source": "kinesis://none"}, "there is no stream none"),
    ],
)
def test_options_that_do_not_fit(store: Store, aws: None, options: dict[str, Any], said: str) -> None:
    given_ = {"source": ADDRESS, **GIVEN, **options}
    with pytest.raises(IngestError, match=said):
        store.watch(STREAM, given_.pop("source"), **given_)
    assert message_format(ADDRESS, "auto") == "ndjson"


def test_no_credentials(store: Store, aws: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        with pytest.raises(StoreError, match="there are no AWS credentials"):
            store.watch(STREAM, ADDRESS, **GIVEN)


def test_a_stream_of_aws(store: Store, aws: None) -> None:
    """By boto3: the shapes of requests and replies."""
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=3)
    for n in range(30):
        kinesis.put_record(StreamName="s", Data=b'{"t": %d, "n": %d}' % (n, n), PartitionKey=f"d{n % 5}")
    assert store.watch(STREAM, f"{ADDRESS}?key=k&region=us-east-1", **GIVEN).rows == 30
    for n in range(30, 40):
        kinesis.put_record(StreamName="s", Data=b'{"t": %d, "n": %d}' % (n, n), PartitionKey=f"d{n % 5}")
    assert store.watch(STREAM, f"{ADDRESS}?key=k", **GIVEN).rows == 10
    assert numbers_in(store) == list(range(40))
    assert sorted(set(store.query(df.stream(STREAM).group_by("k").agg(n=df.count()), progress=False)["k"])) == [
        f"d{n}" for n in range(5)
    ]  # fmt: skip
    store.watch("q", f"{ADDRESS}?key=k", start="end", **GIVEN)
    kinesis.put_record(StreamName="s", Data=b'{"t": 1, "n": 1}', PartitionKey="d")
    assert store.watch("q", f"{ADDRESS}?key=k", start="end", **GIVEN).rows == 1
