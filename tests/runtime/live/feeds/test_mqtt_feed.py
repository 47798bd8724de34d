"""Topics of MQTT that are watched: each message at least once, exactly once where the stream can tell."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime
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
from runtime.live.feeds.mqtt_feed import MqttFeed, MqttTopics, WatcherNote
from runtime.live.feeds.opened_feed import message_format
from runtime.live.stream_watermark import StreamWatermark
from tests.runtime.live.feeds.fake_mqtt import Broker, Client
from tests.runtime.live.feeds.watched import STREAM, Watch, lines, numbers_in

ADDRESS = "mqtt://b/site/#"


class Watching:
    """A watcher of topics, which may end at any time: then another one begins."""

    def __init__(
        self, store: Store, folder: Path, broker: Broker, source: str = ADDRESS, *, name: str = "w", **options: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.watch = Watch(store, folder, format="ndjson", **options)
        chain = SourceChain(store.catalogue, STREAM, name, name)
        note = WatcherNote(chain)
        self.client = Client(broker, note.take())
        self.feed = MqttFeed(
            self.client, MqttTopics.of(source), chain, self.client.connect, self.client.subscribe,
            note.is_mine,            clock=lambda: self.client.now, now=lambda: datetime(2024, 1, 2, tzinfo=UTC),
        )  # fmt: skip
        self.watch.watcher.feed = self.feed
        self.feed.open()

    def look(self) -> list[tuple[str, int]]:
        self.watch.watcher.every = 1.0
        return self.watch.look()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_it_goes_on_where_it_was(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    broker.publish("site/b", lines(2))
    assert watching.look() == [("ingested", 2)]
    watching.feed.close()
    broker.publish("site/a", lines(3))  # nobody is there
    assert Watching(store, tmp_path / "f", broker).look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3]
    assert all(not session.waiting for session in broker.sessions.values())


def test_nothing_is_acknowledged_before_it_is_committed(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    (session,) = broker.sessions.values()
    (piece,) = watching.feed.pieces(1.0)
    assert len(session.waiting) == 1
    watching.feed.committed(piece)
    assert len(session.waiting) == 0


def test_a_broker_that_waits_for_acknowledgements(store: Store, tmp_path: Path, broker: Broker) -> None:
    """It lets twenty messages be under way: several commits in one look, and none that is nearly empty."""
    watching = Watching(store, tmp_path / "f", broker)
    for n in range(105):
        broker.publish("site/a", lines(n))
    assert watching.look() == [("ingested", 20)] * 5 + [("ingested", 5)]
    assert numbers_in(store) == list(range(105))


def test_levels_values_and_times_are_columns(store: Store, tmp_path: Path, broker: Broker) -> None:
    source = "mqtt://b/site/+k/+metric/#?value=reading&received=t&topic=all"
    watching = Watching(store, tmp_path / "f", broker, source, unit=None)
    for topic, payload in [
        ("site/a/temp", "21.5"), ("site/a/temp", '{"reading": 3, "metric": "own"}'), ("site/b/temp/x", "-1e3"),
        ("site/b/temp", "{}"),
    ]:  # fmt: skip
        broker.publish(topic, payload)
    assert watching.look() == [("ingested", 4)]
    found = store.query(df.stream(STREAM).select("metric", "reading", "all"), progress=False)
    rows = zip(*(found[name] for name in ("k", "metric", "reading", "all")), strict=True)
    assert sorted((k, metric, reading or 0, topic) for k, metric, reading, topic in rows) == [
        ("a", "own", 3.0, "site/a/temp"), ("a", "temp", 21.5, "site/a/temp"), ("b", "temp", -1000.0, "site/b/temp/x"),
        ("b", "temp", 0, "site/b/temp"),
    ]  # fmt: skip


def test_messages_of_all_kinds(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1).replace(",", ",\r\n"))
    for payload in ("not JSON", "", b"\xff\xfe", "21.5"):
        broker.publish("site/a", payload)
    broker.publish("site/a", lines(2), qos=0)
    assert watching.look() == [("ingested", 2)]
    (report,) = watching.watch.reports
    assert report.rejected >= 3
    assert numbers_in(store) == [1, 2]


def test_a_broker_that_goes_away_is_waited_for(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    watching.look()
    broker.drop()
    broker.is_away = True
    broker.publish("site/a", lines(2))
    assert watching.look() == [("unreadable", 0)]
    assert watching.watch.reports[0].error == "b:1883: the connection is lost (Unspecified error); it is tried again"
    assert watching.look() == [("unreadable", 0)]
    assert watching.watch.reports[0].error == "b:1883 cannot be reached: Connection refused; it is tried again"
    watching.client.now += 60
    assert watching.look() == []  # it is said once
    broker.is_away = False
    watching.client.now += 60
    assert watching.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


def test_what_was_committed_while_the_connection_went_comes_once(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    (piece,) = watching.feed.pieces(1.0)
    watching.watch.stream.take(piece)
    broker.drop()
    watching.feed.committed(piece)
    broker.publish("site/a", lines(2))
    watching.look()
    watching.look()
    assert numbers_in(store) == [1, 2]
    assert all(not session.waiting for session in broker.sessions.values())


def test_a_session_that_is_gone(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    watching.look()
    broker.drop()
    broker.sessions.clear()
    said = "no longer keeps this watcher's session .* messages that came since 1 were committed may be missing"
    with pytest.raises(IngestError, match=said):
        [watching.look() for _ in range(3)]
    broker.sessions.clear()
    with pytest.raises(IngestError, match=said):
        Watching(store, tmp_path / "f", broker)


def test_another_has_committed_under_the_next_number(store: Store, tmp_path: Path, broker: Broker) -> None:
    """A rolling restart: the old process commits once more while the new one has the session already. What that one
    holds it commits, since nothing of it comes again."""
    old = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    (piece,) = old.feed.pieces(1.0)
    new = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(2))
    assert new.feed.pieces(1.0) is not None
    old.watch.stream.take(piece)
    for _ in range(2):
        new.look()
    assert set(numbers_in(store)) == {1, 2}
    assert all(not session.waiting for session in broker.sessions.values())


def test_an_empty_message_is_no_point(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker, "mqtt://b/site/+k?value=reading&received=t", unit=None)
    broker.publish("site/a", "")
    watching.look()
    broker.publish("site/a", "22.5")
    broker.publish("site/a", "")
    watching.look()
    assert list(store.query(df.stream(STREAM).select("reading"), progress=False)["reading"]) == [22.5]
    assert all(not session.waiting for session in broker.sessions.values())


def test_it_stops_at_once(store: Store, tmp_path: Path, broker: Broker) -> None:
    watching = Watching(store, tmp_path / "f", broker)
    before = watching.client.now
    watching.watch.watcher.stop.set()
    watching.feed.stopping = watching.watch.watcher.stop.is_set
    assert list(watching.feed.pieces(1000.0)) == []
    assert watching.client.now == before


@pytest.mark.parametrize("says", [True, False])
def test_two_of_one_name(store: Store, tmp_path: Path, broker: Broker, says: bool) -> None:
    one = Watching(store, tmp_path / "f", broker)
    if not says:
        broker.drop()  # it ends the first connection without a word
    two = Watching(store, tmp_path / "f", broker)
    broker.publish("site/a", lines(1))
    with pytest.raises(IngestError, match="another watcher of this name has taken over"):
        [one.look() for _ in range(2)]
    assert two.look() == [("ingested", 1)]


def test_a_watcher_keeps_its_name(store: Store, tmp_path: Path) -> None:
    chains = [SourceChain(store.catalogue, STREAM, name) for name in ("w", "w", "other")]
    one, again, other = (WatcherNote(chain).take() for chain in chains)
    assert one == again != other
    with Store(tmp_path / "second", create=True) as second:
        assert WatcherNote(SourceChain(second.catalogue, STREAM, "w")).take() != one


def test_subscriptions_have_clocks_of_their_own(store: Store, tmp_path: Path, broker: Broker) -> None:
    one, two = (Watching(store, tmp_path / "f", broker, name=name) for name in "ab")
    broker.publish("site/a", lines(100))
    one.look()
    two.look()
    broker.publish("site/a", lines(200))
    one.look()
    assert StreamWatermark(store.catalogue, STREAM).at(store.catalogue.order(STREAM).seq) == 100_000_000


def test_refusals(store: Store, tmp_path: Path, broker: Broker) -> None:
    broker.connects_with = 135
    with pytest.raises(IngestError, match="b:1883 refuses the connection: Not authorized"):
        Watching(store, tmp_path / "f", broker)
    broker.connects_with, broker.subscribes_with = 0, 135
    with pytest.raises(IngestError, match="site/# at b:1883: the broker refuses the subscription: Not authorized"):
        Watching(store, tmp_path / "f", broker).look()
    broker.is_away = True
    with pytest.raises(IngestError, match="b:1883 cannot be reached: Connection refused"):
        Watching(store, tmp_path / "f", broker)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mqtt://b", "mqtt://BROKER:1883/TOPIC names topics"),
        ("mqtts:///a", "mqtts://BROKER:8883/TOPIC names topics"),
        ("mqtt://b:port/a", "mqtt://BROKER:1883/TOPIC names topics"),
        ("mqtt://me:secret@b/t", "user and password are in the connection's settings"),
        ("mqtt://b/t?valeu=v", "there is no valeu=v; did you mean 'value'"),
        ("mqtt://b/t?value=", "there is no value="),
        ("mqtt://b/#/t", "'#' is no level of topics"),
        ("mqtt://b/t#", "'t#' is no level of topics"),
        ("mqtt://b/a+", r"'a\+' is no level of topics"),
        ("mqtt://b/a?group=a/b", "the name of a group has no /"),
        ("mqtt://b/a?group=%23", "the name of a group has no /"),
        ("mqtt://b/a?value=a&value=b", "a parameter is given twice"),
        (f"mqtt://b/{'x' * 70_000}", "topics have at most 65,535 bytes"),
        ("mqtt://b/\udc80", "topics have at most 65,535 bytes"),
        ("mqtt://b/+a/+a", "a names two columns"),
        ("mqtt://b/+a?value=a", "a names two columns"),
    ],
)
def test_addresses_that_are_none(source: str, said: str) -> None:
    with pytest.raises(IngestError, match=said):
        MqttTopics.of(source)


def test_addresses() -> None:
    topics = MqttTopics.of("mqtts://b/site/+device/+/#?value=v&group=g")
    assert (topics.host, topics.port, topics.is_secure) == ("b", 8883, True)
    assert topics.subscription == "$share/g/site/+/+/#"
    assert (topics.levels, topics.columns) == ({1: "device"}, {"value": "v"})
    assert MqttTopics.of("mqtt://[::1]:1884/a").host == "::1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "committed"}, "a topic goes on behind what is committed anyway"),
        ({"format": "csv"}, "messages of a topic are records of ndjson, clf, .*, not csv"),
        ({"format": "logfmt", "source": "mqtt://b/+k"}, "become columns of JSON records only"),
        ({"connection": {"user": "x"}}, "no setting user of a connection to MQTT; did you mean 'username'"),
        ({"connection": {"ca_certs": "nothing.pem"}}, "the connection are wrong: ca_certs nothing.pem is no file"),
        ({"source": f"mqtt://{'x' * 70}/t"}, "cannot be reached"),
        ({"source": "mqtt://127.0.0.1:9/t"}, r"127\.0\.0\.1:9 cannot be reached: Connection refused"),
    ],
)
def test_options_that_do_not_fit(store: Store, options: dict[str, Any], said: str) -> None:
    given_ = {"source": ADDRESS, "key": "k", "time": "t", "unit": "s", **options}
    with pytest.raises(IngestError, match=said):
        store.watch(STREAM, given_.pop("source"), until_idle="1s", **given_)


def test_messages_are_json_unless_said_otherwise() -> None:
    assert message_format(ADDRESS, "auto") == "ndjson"
    assert message_format(ADDRESS, "logfmt") == "logfmt"


EVENTS = st.lists(
    st.sampled_from(
        ["publish", "publish", "publish", "look", "look", "restart", "killed", "dropped", "between", "cut"]
    ),
    max_size=25,
)


def history(folder: Path, events: list[str], duplicates: str) -> tuple[list[int], int, int]:
    """The numbers that are in the store after these events, how many were published, and how many acknowledgements may
    be lost."""
    broker, count, lost = Broker(window=3), 0, 0
    options: dict[str, Any] = {"duplicates": duplicates}
    with Store(folder / "store", create=True) as store:
        watching = Watching(store, folder / "f", broker, **options)
        for n, event in enumerate(events):
            if event == "publish":
                broker.publish("site/a", lines(count))
                count += 1
            elif event == "look":
                watching.look()
            elif event == "dropped":
                broker.drop()
            elif event == "cut":  # while messages come
                broker.cut_after = 2
                watching.look()
                broker.cut_after = None
            elif event == "between":  # the connection goes between a commit and its acknowledgement
                _after_commit(watching, broker.drop)
                lost += {"restart", "killed"} & set(
                    events[n + 1 :]
                ) != set()  # if it ends before the connection is back
            else:
                if event == "killed":  # behind a commit, before it is acknowledged
                    _after_commit(watching, _die)
                    lost += 1
                watching.feed.close()
                watching = Watching(store, folder / "f", broker, **options)
        for _ in range(3 + count):  # a session has three messages at a time, and connections are made anew
            watching.look()
        assert all(not session.waiting for session in broker.sessions.values())
        return numbers_in(store), count, lost


class Killed(BaseException):
    """SIGKILL."""


def _die() -> None:
    raise Killed


def _after_commit(watching: Watching, do: Any) -> None:
    take = watching.watch.watcher.take

    def taken(piece: Piece) -> SourceReport:
        report = take(piece)
        do()
        return report

    watching.watch.watcher.take = taken
    with contextlib.suppress(Killed):
        watching.look()
    watching.watch.watcher.take = take


@settings(max_examples=40)
@given(EVENTS)
def test_each_message_exactly_once_where_the_stream_can_tell(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    found, count, _ = history(tmp_path_factory.mktemp("mqtt"), events, "exact")
    assert found == list(range(count))


@settings(max_examples=40)
@given(EVENTS)
def test_each_message_at_least_once(tmp_path_factory: pytest.TempPathFactory, events: list[str]) -> None:
    found, count, lost = history(tmp_path_factory.mktemp("mqtt"), events, "keep")
    assert set(found) == set(range(count))
    assert not lost or max(Counter(found).values(), default=0) <= 1 + lost
    if not lost:
        assert found == list(range(count))  # also if the connection went before the acknowledgement


MUTANTS = {
    "acknowledged as it comes": lambda patch: patch.setattr(MqttFeed, "_came", _acknowledging(MqttFeed._came)),
    "never acknowledged": lambda patch: patch.setattr(Client, "ack", lambda self, mid, qos: 0),
    "what waits is kept when the connection goes": lambda patch: patch.setattr(
        MqttFeed, "_disconnected", _keeping(MqttFeed._disconnected)
    ),
    "nothing is known of what was not acknowledged": lambda patch: patch.setattr(
        MqttFeed, "_came", _forgetting(MqttFeed._came)
    ),
}


def _acknowledging(came: Any) -> Any:
    def mutant(self: Any, client: Any, data: object, message: Any) -> None:
        came(self, client, data, message)
        if message.qos:
            client.ack(message.mid, 1)

    return mutant


def _keeping(disconnected: Any) -> Any:
    def mutant(self: Any, *given: Any) -> None:
        waiting = self._waiting
        disconnected(self, *given)
        self._waiting = waiting

    return mutant


def _forgetting(came: Any) -> Any:
    def mutant(self: Any, *given: Any) -> None:
        self._unacknowledged.clear()
        came(self, *given)

    return mutant


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    MUTANTS[mutant](monkeypatch)
    few = settings(max_examples=300, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    law = test_each_message_at_least_once.hypothesis.inner_test
    with pytest.raises((AssertionError, ExceptionGroup, IngestError)):
        few(given(EVENTS)(lambda events: law(tmp_path_factory, events)))()
