"""A topic of Kafka that is watched: each message exactly once, however watchers end, share it, or lose their places."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.errors import IngestError
from runtime.ingest.report import SourceReport
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.kafka_feed import KafkaFeed, KafkaTopic
from runtime.live.feeds.opened_feed import message_format
from runtime.live.stream_watermark import StreamWatermark
from tests.runtime.live.feeds.fake_kafka import LIBRARY, Consumer, Topic
from tests.runtime.live.feeds.watched import STREAM, Watch, lines, numbers_in

ADDRESS = "kafka://b:9092/t"


class Watching:
    """A watcher of a topic, which may end at any time: then another one begins."""

    def __init__(self, store: Store, folder: Path, topic: Topic, source: str = ADDRESS, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.watch = Watch(store, folder, format="ndjson")
        self.consumer = Consumer(topic)
        self.feed = KafkaFeed(
            self.consumer, LIBRARY, KafkaTopic.of(source),
            lambda part: SourceChain(store.catalogue, STREAM, part, part), clock=lambda: self.consumer.now, **options,
        )  # fmt: skip
        self.watch.watcher.feed = self.feed

    def look(self) -> list[tuple[str, int]]:
        self.watch.watcher.every = 1.0
        return self.watch.look()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def topic() -> Topic:
    return Topic.of(2)


def test_each_partition_goes_on_where_it_was(store: Store, tmp_path: Path, topic: Topic) -> None:
    topic.produce(0, lines(1, 2).splitlines()[0])
    topic.produce(1, lines(2))
    watching = Watching(store, tmp_path / "f", topic)
    assert watching.look() == [("ingested", 1), ("ingested", 1)]
    topic.produce(1, lines(3))
    assert Watching(store, tmp_path / "f", topic).look() == [("ingested", 1)]
    assert watching.look() == []  # the other was faster
    assert numbers_in(store) == [1, 2, 3]
    topic.produce(1, lines(4))
    assert watching.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4]
    assert [r.name for r in watching.watch.reports] == ["t[1] 2..2"]


def test_what_messages_may_be(store: Store, tmp_path: Path, topic: Topic) -> None:
    pretty = '{\n "k": "a",\r\n "t": 1,\n "n": 1\n}\n'
    for value in (pretty, None, "not JSON", "", lines(2) + lines(3), b"\xff\xfe", lines(4)):
        topic.produce(0, value)
    watching = Watching(store, tmp_path / "f", topic)
    assert watching.look()[0][0] == "ingested"
    assert numbers_in(store) in ([1, 4], [1, 2, 3, 4])
    (report,) = watching.watch.reports
    assert report.rejected >= 2
    topic.produce(0, None)  # only that a key was deleted
    watching.look()
    assert watching.feed._partitions[0].next == 8
    assert Watching(store, tmp_path / "f", topic).look() == []


def test_fields_of_messages_are_columns(store: Store, tmp_path: Path, topic: Topic) -> None:
    topic.produce(0, '{"n": 1}', key=b"a", time=5_000)
    topic.produce(0, "{ }", key="ä".encode(), time=6_000)
    topic.produce(0, '{"n": 3, "k": "own"}', key=b"a", time=7_000)
    topic.produce(0, '{"n": 4}', key=b"\xff", time=8_000)  # a key that is no text: the record has none
    source = f"{ADDRESS}?key=k&timestamp=t&partition=p&offset=o"
    watching = Watching(store, tmp_path / "f", topic, source)
    assert watching.look() == [("ingested", 3)]
    assert [*store.query(df.stream(STREAM).select("n", "p", "o"), progress=False)][:1] == [
        ("a", 1, 0, 0, 5_000_000_000)
    ]
    assert sorted(set(store.query(df.stream(STREAM).group_by("k").agg(n=df.count()), progress=False)["k"])) == [
        "a", "own", "ä",
    ]  # fmt: skip


def test_from_the_end(store: Store, tmp_path: Path, topic: Topic) -> None:
    topic.produce(0, lines(1))
    watching = Watching(store, tmp_path / "f", topic, skips=True)
    watching.look()
    topic.produce(0, lines(2))
    assert Watching(store, tmp_path / "f", topic, skips=True).look() == [("ingested", 1)]  # that is where it began
    topic.messages.append([])
    topic.low.append(0)
    topic.produce(2, lines(3))  # a partition that is new has no end to begin at
    watching.consumer.now += 60.0
    watching.look()
    watching.look()
    assert numbers_in(store) == [2, 3]


def test_messages_that_are_gone_before_they_were_read(store: Store, tmp_path: Path, topic: Topic) -> None:
    for n in range(4):
        topic.produce(0, lines(n))
    watching = Watching(store, tmp_path / "f", topic)
    watching.look()
    for n in range(4, 9):
        topic.produce(0, lines(n))
    topic.low[0] = 6
    said = r"partition 0 of t: the messages 4 to 5, which were not read yet, are no longer there"
    for one in (watching, Watching(store, tmp_path / "f", topic)):
        with pytest.raises(IngestError, match=said):
            one.look()
    assert numbers_in(store) == [0, 1, 2, 3]


def test_a_topic_that_was_created_anew(store: Store, tmp_path: Path, topic: Topic) -> None:
    for n in range(4):
        topic.produce(0, lines(n))
    watching = Watching(store, tmp_path / "f", topic)
    watching.look()
    del topic.messages[0][1:]
    with pytest.raises(IngestError, match="ends at message 1, but 4 were read: it was deleted and created anew"):
        watching.look()


def test_a_broker_that_is_away_is_waited_for(store: Store, tmp_path: Path, topic: Topic) -> None:
    watching = Watching(store, tmp_path / "f", topic)
    topic.produce(0, lines(1))
    assert watching.look() == [("ingested", 1)]
    topic.is_away = True
    assert watching.look() == [("unreadable", 0)]
    assert watching.watch.reports[0].error == "topic t at b:9092: connection refused; it is tried again"
    assert watching.look() == []  # it is said once
    topic.is_away = False
    topic.produce(0, lines(2))
    assert watching.look() == [("ingested", 1)]
    topic.is_away = True
    with pytest.raises(IngestError, match="b:9092 cannot be asked for topic t: Broker transport failure"):
        Watching(store, tmp_path / "f", topic).look()


def test_partitions_have_clocks_of_their_own(store: Store, tmp_path: Path, topic: Topic) -> None:
    topic.produce(0, lines(100))
    topic.produce(1, lines(50))
    Watching(store, tmp_path / "f", topic).look()
    topic.produce(0, lines(200))
    topic.produce(1, lines(60))
    Watching(store, tmp_path / "f", topic).look()
    assert StreamWatermark(store.catalogue, STREAM).at(store.catalogue.order(STREAM).seq) == 100_000_000
    topic.produce(1, lines(150))
    Watching(store, tmp_path / "f", topic).look()
    assert StreamWatermark(store.catalogue, STREAM).at(store.catalogue.order(STREAM).seq) == 150_000_000


def test_a_group_shares_the_partitions(store: Store, tmp_path: Path, topic: Topic) -> None:
    one, two = (Watching(store, tmp_path / "f", topic, f"{ADDRESS}?group=loaders") for _ in range(2))
    one.consumer.share(0, 1)
    for n in range(4):
        topic.produce(n % 2, lines(n))
    one.look()
    one.consumer.share(0)
    two.consumer.share(1)
    for n in range(4, 8):
        topic.produce(n % 2, lines(n))
    assert (one.look(), two.look()) == ([("ingested", 2)], [("ingested", 2)])
    assert numbers_in(store) == list(range(8))


def test_a_group_that_begins_at_the_end(store: Store, tmp_path: Path, topic: Topic) -> None:
    topic.produce(0, lines(1))
    watching = Watching(store, tmp_path / "f", topic, f"{ADDRESS}?group=loaders", skips=True)
    watching.consumer.share(0, 1)
    watching.look()
    topic.messages.append([])
    topic.low.append(0)
    topic.produce(2, lines(2))
    topic.produce(0, lines(3))
    watching.consumer.share(0, 1, 2)  # a partition that is new has no end to begin at
    watching.look()
    assert numbers_in(store) == [2, 3]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("kafka://b:9092", "BROKER:9092/TOPIC names a topic"),
        ("kafka://b:9092/a/b", "BROKER:9092/TOPIC names a topic"),
        ("kafka://me:secret@b/t", "user and password are in the connection's settings"),
        ("kafka://b/t?kye=k", "there is no kye=k; did you mean 'key'"),
        ("kafka://b/t?key=", "there is no key="),
    ],
)
def test_addresses_that_are_none(source: str, said: str) -> None:
    with pytest.raises(IngestError, match=said):
        KafkaTopic.of(source)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "committed"}, "a topic goes on behind what is committed anyway"),
        ({"format": "csv"}, "messages of a topic are records of ndjson, clf, .*, not csv"),
        ({"format": "logfmt", "source": f"{ADDRESS}?key=k"}, "become columns of JSON records only"),
        ({"connection": {"sasl.pasword": "x"}}, 'cannot be asked for topic t: .*No such configuration property: "sasl'),
        ({"source": "a/folder", "connection": {"a": "b"}}, "only a feed of kafka://, .* has settings of a connection"),
    ],
)
def test_options_that_do_not_fit(store: Store, options: dict[str, Any], said: str) -> None:
    given_ = {"source": ADDRESS, "key": "k", "time": "t", "unit": "s", **options}
    with pytest.raises(IngestError, match=said):
        store.watch(STREAM, given_.pop("source"), until_idle="1s", **given_)


def test_nobody_is_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.live.feeds import kafka_feed

    monkeypatch.setattr(kafka_feed, "_PATIENCE", 0.2)
    with pytest.raises(IngestError, match=r"127\.0\.0\.1:9 cannot be asked for topic t"):
        store.watch(STREAM, "kafka://127.0.0.1:9/t", key="k", time="t", unit="s")
    assert not logging.getLogger("antfold.kafka").propagate


def test_messages_are_json_unless_said_otherwise() -> None:
    assert message_format(ADDRESS, "auto") == "ndjson"
    assert message_format(ADDRESS, "logfmt") == "logfmt"
    assert message_format("folder", "auto") == "auto"


EVENTS = st.lists(
    st.tuples(st.sampled_from(["produce", "produce", "look", "restart", "killed", "other", "away", "grow"]),
              st.integers(0, 2)),
    max_size=25,
)  # fmt: skip


@settings(max_examples=30)
@given(EVENTS)
def test_each_message_exactly_once(tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]) -> None:
    folder, topic, count = tmp_path_factory.mktemp("kafka"), Topic.of(2), 0
    with Store(folder / "store", create=True) as store:
        both = [Watching(store, folder / "f", topic) for _ in range(2)]
        both[1].consumer.is_ready = False
        for kind, which in events:
            if kind == "produce":
                topic.produce(which % len(topic.messages), lines(count))
                count += 1
            elif kind == "look":
                both[0].look()
            elif kind == "other":
                both[1].look()
            elif kind == "restart":
                both[which % 2] = Watching(store, folder / "f", topic)
            elif kind == "killed":  # behind the commit, before the feed knows of it
                _killed(both[0])
                both[0] = Watching(store, folder / "f", topic)
            elif kind == "away":
                topic.is_away = True
                for watching in both:
                    if watching.feed._looked is not None:
                        watching.look()
                topic.is_away = False
            elif len(topic.messages) < 3:
                topic.messages.append([])
                topic.low.append(0)
        last = Watching(store, folder / "f", topic)
        last.look()
        assert numbers_in(store) == list(range(count))


def _killed(watching: Watching) -> None:
    """Ends with the first commit."""

    class Killed(BaseException):
        """SIGKILL."""

    take = watching.watch.watcher.take

    def taken(piece: Piece) -> SourceReport:
        take(piece)
        raise Killed

    watching.watch.watcher.take = taken
    with contextlib.suppress(Killed):
        watching.look()


MUTANTS = {
    "the position is one too far": lambda patch: patch.setattr(
        SourceChain, "position", lambda self, offset, of=SourceChain.position: of(self, offset=offset + 1)
    ),
    "nothing is known of the position": lambda patch: patch.setattr(
        kafka_partition(), "reload", lambda self: setattr(self, "number", self.chain.reached().number)
    ),
    "messages that another committed are not left out": lambda patch: patch.setattr(
        KafkaFeed, "taken", lambda self, piece: setattr(piece.acknowledges, "number", piece.number)
    ),
}


def kafka_partition() -> Any:
    from runtime.live.feeds.kafka_feed import _Partition

    return _Partition


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    MUTANTS[mutant](monkeypatch)
    few = settings(max_examples=300, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    law = test_each_message_exactly_once.hypothesis.inner_test
    with pytest.raises((AssertionError, ExceptionGroup, IngestError)):
        few(given(EVENTS)(lambda events: law(tmp_path_factory, events)))()
