"""Topics of an MQTT broker, of one record a message, by paho-mqtt (the extra ``mqtt``); MQTT 5, QoS 1.

The broker keeps a session for each watcher, and in it what is not acknowledged, also while the watcher is away. A
message is acknowledged once it is committed. One whose acknowledgement was lost comes again, with nothing to know it
by: records are in the store at least once, and exactly once where the stream has an id or exact duplicates.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.message_records import on_one_line, with_columns

MQTT_FIELDS = ("topic", "value", "received")
"""What of a message can become a column, beside the levels of its topic: all of the topic, a message that is one value,
the time at which it came."""

CONNECTION = ("username", "password", "ca_certs", "certfile", "keyfile")
"""The settings of a connection, the last three of which are files."""

_LONGEST = 65_535
"""Bytes of a text (MQTT 5, 1.5.4)."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}

_KEEPALIVE = 60

_PATIENCE = 10.0
"""Seconds to wait for the broker's answer."""

_AGAIN = 2.0
"""Seconds between two tries to connect."""

_FULL, _QUIET = 10, 0.05
"""With so many messages waiting, and none for so many seconds, the broker may wait for acknowledgements: many let
twenty messages be under way."""

_TAKEN_OVER = 142
"""The reason code of a session that another client has taken over (MQTT 5, 4.13)."""


@dataclass(frozen=True)
class MqttTopics:
    """What ``mqtt://broker:1883/site/+device/+metric?value=reading&group=loaders`` names.

    ``filter`` is that of MQTT, ``levels`` are names of columns by the number of a topic's level, ``columns`` by
    ``MQTT_FIELDS``.
    """

    host: str
    port: int
    is_secure: bool
    filter: str
    levels: Mapping[int, str]
    columns: Mapping[str, str]
    group: str | None

    @classmethod
    def of(cls, source: str) -> MqttTopics:
        """From its address; IngestError for a wrong one."""
        scheme, _, rest = source.partition("://")
        place, _, query = rest.partition("?")
        broker, _, topics = place.partition("/")
        try:
            parts = urlsplit(f"//{broker}")
            host, port = parts.hostname, parts.port or _PORTS[scheme]
        except ValueError:
            host, port = None, 0
        if not host or not topics or "@" in broker:
            raise IngestError(
                f"{scheme}://BROKER:{_PORTS[scheme]}/TOPIC names topics, got {source!r}; user and password are in the "
                "connection's settings (--connection FILE)."
            )
        pairs = parse_qsl(query, keep_blank_values=True)
        given, known = dict(pairs), (*MQTT_FIELDS, "group")
        if len(given) < len(pairs):
            raise IngestError(f"{source}: a parameter is given twice.")
        for name, value in pairs:
            if name not in known or not value:
                raise IngestError(
                    f"{source}: there is no {name}={value}; {meant(name, known, 'known')} are {', '.join(known)}."
                )
        group = given.pop("group", None)
        if group is not None and set(group) & set("/+#"):
            raise IngestError(f"{source}: the name of a group has no /, + and #.")
        parts_ = topics.split("/")
        for i, level in enumerate(parts_):
            if ("#" in level and (level != "#" or i < len(parts_) - 1)) or "+" in level[1:]:
                raise IngestError(
                    f"{source}: {level!r} is no level of topics: + alone, or with the name of a column (+device), is "
                    "any one level, # at the end all that follow."
                )
        levels = {i: level[1:] for i, level in enumerate(parts_) if level.startswith("+") and level != "+"}
        names = [*levels.values(), *given.values()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise IngestError(f"{source}: {min(twice)} names two columns.")
        found = "/".join("+" if level.startswith("+") else level for level in parts_)
        if "\0" in found or not _is_text(found) or len(f"$share/{group or ''}/{found}".encode()) > _LONGEST:
            raise IngestError(f"{source[:200]}: topics have at most {_LONGEST:,} bytes, and no NUL.")
        return cls(host, port, scheme == "mqtts", found, levels, given, group)

    @property
    def subscription(self) -> str:
        """What is subscribed to: with a group, a part of the messages (MQTT 5, 4.8.2)."""
        return self.filter if self.group is None else f"$share/{self.group}/{self.filter}"

    def __str__(self) -> str:
        return f"{self.filter} at {self.host}:{self.port}"


@dataclass
class _Waiting:
    """A message that is not committed yet; ``mid`` is what to acknowledge it by, None for QoS 0. An empty one, which
    clears a retained message, is no record."""

    mid: int | None
    record: bytes | None


class MqttFeed:
    """The messages of topics. ``client`` is a ``paho.mqtt.client.Client`` or has the methods of one; ``connect``
    connects it, ``subscribe`` subscribes it; ``is_mine`` says whether no other process has taken its session;
    ``is_json``: records are JSON objects, else lines."""

    ended = is_behind = False
    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        client: Any,
        topics: MqttTopics,
        chain: SourceChain,
        connect: Callable[[], object],
        subscribe: Callable[[], object],
        is_mine: Callable[[], bool],
        *,
        is_json: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._topics, self._chain = client, topics, chain
        self._connect, self._subscribe, self._is_mine = connect, subscribe, is_mine
        self._is_json, self._clock, self._now = is_json, clock, now
        self._names = {name: i for i, name in topics.levels.items()} | {
            name: of for of, name in topics.columns.items() if of != "value"
        }
        reached = chain.reached()
        self._number = reached.number
        self.messages = 0 if reached.position is None else int(reached.position["messages"])
        """Messages that are committed."""

        self._waiting: list[_Waiting] = []
        self._unacknowledged: set[int] = set()
        """Messages that were committed while the connection was gone: they come again, by the same ``mid``."""

        self._size = 0
        self._is_connected = self._was_connected = False
        self._connection = 0
        self._next_try = float("-inf")
        self._failed: IngestError | None = None
        self._trouble: str | None = None
        self._said: str | None = None
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_message, client.on_subscribe = self._came, self._subscribed

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        while True:
            self._receive(until)
            if self._failed is not None:
                raise self._failed
            if self._trouble is not None and self._trouble != self._said:  # said once, until messages come again
                self._said = self._trouble
                name = str(self._topics)
                yield Piece(BytesInput(Path(name), name, data=b""), error=f"{self._trouble}; it is tried again")
            self._trouble = None
            if self._waiting:
                self._said = None
                yield self._piece()
            if self._clock() >= until or not self._is_connected or self.stopping():
                return

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        if piece.position is None:
            return
        assert isinstance(piece.acknowledges, tuple)
        connection, count = piece.acknowledges
        done, self._waiting = self._waiting[:count], self._waiting[count:]
        self._number, self.messages = piece.number, int(piece.position["messages"])
        self._size = sum(len(message.record or b"") for message in self._waiting)
        for message in done:
            if message.mid is not None:
                is_there = connection == self._connection and self._is_connected
                if not is_there or self._client.ack(message.mid, 1) != 0:
                    self._unacknowledged.add(message.mid)

    def taken(self, piece: Piece) -> None:
        """See ``Feed``. What waits was delivered to this process: if it has the session still, it commits that itself,
        also what the other process has committed already, which cannot be known."""
        reached = self._chain.reached()
        assert reached.position is not None
        self._number, self.messages = reached.number, int(reached.position["messages"])

    def close(self) -> None:
        """See ``Feed``."""
        self._client.disconnect()

    def open(self) -> None:
        """Connect, and wait for the broker's answer. IngestError if there is none, or it refuses."""
        until = self._clock() + _PATIENCE
        self._try_to_connect()
        while self._failed is None and self._trouble is None and not self._is_connected and self._clock() < until:
            self._client.loop(_QUIET)
        if not self._is_connected or self._failed is not None:
            said = self._trouble or f"{self._topics.host}:{self._topics.port} does not answer"
            raise self._failed or IngestError(f"{said}.")

    # ---- the connection

    def _receive(self, until: float) -> None:
        """Let messages come until there are enough for a piece."""
        last = self._clock()
        while self._failed is None and self._size < MOST_BYTES and (left := until - self._clock()) > 0:
            if self.stopping():
                return
            if not self._is_connected and self._clock() >= self._next_try:
                self._try_to_connect()
                if self._trouble is not None or self._failed is not None:
                    return
            before = len(self._waiting)
            if self._client.loop(min(left, _QUIET)) != 0 and not self._is_connected:
                return
            if len(self._waiting) != before:
                last = self._clock()
            elif before >= _FULL and self._clock() - last >= _QUIET:
                return

    def _try_to_connect(self) -> None:
        self._next_try = self._clock() + _PATIENCE  # for its answer
        if self._was_connected and not self._is_mine():
            self._failed = self._taken_over()
            return
        try:
            self._connect()
        except (OSError, ValueError) as error:  # ValueError: a name that can be none of a machine
            place = f"{self._topics.host}:{self._topics.port}"
            if isinstance(error, ssl.SSLCertVerificationError):
                self._trouble = f"{place}: the broker's certificate is not accepted: {error.verify_message}"
            else:
                said = getattr(error, "strerror", None) or str(error)
                self._trouble = f"{place} cannot be reached: {said}"
            self._next_try = self._clock() + _AGAIN

    def _connected(self, client: Any, data: object, flags: Any, reason: Any, properties: object) -> None:
        if reason.is_failure:
            said = f"{self._topics.host}:{self._topics.port} refuses the connection: {reason}"
            if self._was_connected:
                self._trouble = said
            else:
                self._failed = IngestError(f"{said}.")
            return
        if self._number and not flags.session_present:
            self._failed = IngestError(
                f"{self._topics}: the broker no longer keeps this watcher's session (it was restarted without what it "
                "keeps, or keeps sessions for a shorter time than the watcher was away): messages that came since "
                f"{self.messages:,} were committed may be missing. To go on without them, watch under another "
                "--watch-name."
            )
            return
        self._connection += 1
        self._is_connected = self._was_connected = True
        self._subscribe()

    def _subscribed(self, client: Any, data: object, mid: int, reasons: Any, properties: object) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._failed = IngestError(f"{self._topics}: the broker refuses the subscription: {refused[0]}.")

    def _disconnected(self, client: Any, data: object, flags: object, reason: Any, properties: object) -> None:
        self._is_connected, self._next_try = False, float("-inf")
        if getattr(reason, "value", reason) == _TAKEN_OVER:
            self._failed = self._taken_over()
        elif self._was_connected:
            self._trouble = f"{self._topics.host}:{self._topics.port}: the connection is lost ({reason})"
        else:
            wants = "a certificate (certfile and keyfile in --connection FILE)"
            self._trouble = (
                f"{self._topics.host}:{self._topics.port} ended the connection without an answer: it may ask for "
                + (wants if self._topics.is_secure else "TLS (mqtts://)")
            )
        # What is not acknowledged comes again; messages of QoS 0 do not.
        self._waiting = [message for message in self._waiting if message.mid is None]
        self._size = sum(len(message.record or b"") for message in self._waiting)

    def _taken_over(self) -> IngestError:
        return IngestError(
            f"{self._topics}: another watcher of this name has taken over. Watchers beside each other share the "
            "messages with &group=NAME, each under a --watch-name of its own."
        )

    # ---- messages

    def _came(self, client: Any, data: object, message: Any) -> None:
        mid = message.mid if message.qos else None
        if mid is not None and mid in self._unacknowledged:
            self._unacknowledged.discard(mid)
            if message.dup:
                self._client.ack(mid, 1)
                return
        record = self._record(message.topic, message.payload) if message.payload else None
        self._waiting.append(_Waiting(mid, record))
        self._size += len(record or b"")

    def _record(self, topic: str, payload: bytes) -> bytes:
        """The record on one line."""
        if not self._is_json:
            return payload
        text, levels = on_one_line(payload), topic.split("/")

        def value_of(name: str) -> object:
            of = self._names[name]
            if isinstance(of, int):
                return levels[of] if of < len(levels) else None
            return topic if of == "topic" else self._now().isoformat()

        value = self._topics.columns.get("value")
        if value is not None and not text.startswith(b"{"):
            text = orjson.dumps({value: _value(text)})
        return with_columns(text, self._names, value_of)

    def _piece(self) -> Piece:
        """The messages that wait as the next source."""
        number, count = self._number + 1, len(self._waiting)
        name = f"{self._topics.filter} {self.messages + 1}..{self.messages + count}"
        data = b"".join(b"%s\n" % message.record for message in self._waiting if message.record is not None)
        given = BytesInput(Path(name), name, identity=self._chain.identity(number), data=data)
        position = self._chain.position(messages=self.messages + count)
        return Piece(given, self._chain, number, position, acknowledges=(self._connection, count))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(text: bytes) -> object:
    """A message that is one value: of JSON, else a text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.decode(errors="replace")


@dataclass
class WatcherNote:
    """A note in the catalogue: by which name the broker knows a watcher, so that it goes on with its session, and which
    process has it now; not every broker says that another has taken a session over."""

    chain: SourceChain
    process: str = field(default_factory=lambda: secrets.token_hex(8))

    def take(self) -> str:
        """The name, which is this process's from now on."""
        made = f"antfold-{secrets.token_hex(8)}"
        self.chain.catalogue.change_note(
            self._name, lambda held: {"client": (held or {}).get("client", made), "process": self.process}
        )
        return str(self._held["client"])

    def is_mine(self) -> bool:
        """Whether no other process has taken it since."""
        return bool(self._held["process"] == self.process)

    @property
    def _name(self) -> str:
        return f"MQTT client of {self.chain.stream}\n{self.chain.name}"

    @property
    def _held(self) -> Mapping[str, Any]:
        held = self.chain.catalogue.note(self._name)
        assert held is not None
        return held


def open_mqtt(
    source: str,
    connection: Mapping[str, str],
    chains: Callable[[str], Callable[[str], SourceChain]],
    *,
    is_json: bool,
    skips: bool,
) -> MqttFeed:
    """The topics that ``source`` names; ``connection``: see ``CONNECTION``; ``chains`` gives the chain of the feed by
    the name that it has by itself."""
    topics = MqttTopics.of(source)
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties
        from paho.mqtt.subscribeoptions import SubscribeOptions
    except ImportError:
        raise IngestError("MQTT needs paho-mqtt: pip install 'antfold[mqtt]'.") from None
    if (topics.columns or topics.levels) and not is_json:
        raise IngestError(f"{source}: topics and values become columns of JSON records only.")
    for name in connection:
        if name not in CONNECTION:
            raise IngestError(
                f"there is no setting {name} of a connection to MQTT; {meant(name, CONNECTION, 'known')} are "
                f"{', '.join(CONNECTION)}."
            )
    chain = chains(f"mqtt {topics.host}:{topics.port}")(topics.subscription)
    note = WatcherNote(chain)
    client = Client(CallbackAPIVersion.VERSION2, note.take(), protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    client.connect_timeout = _PATIENCE
    if connection.get("username"):
        client.username_pw_set(connection["username"], connection.get("password"))
    files = {name: connection.get(name) for name in CONNECTION[2:]}
    for name, file in files.items():
        if file and not Path(file).is_file():
            raise IngestError(f"{topics}: the settings of the connection are wrong: {name} {file} is no file.")
    if topics.is_secure or any(files.values()):
        try:
            client.tls_set(files["ca_certs"], files["certfile"], files["keyfile"])
        except (OSError, ValueError) as error:
            raise IngestError(f"{topics}: the settings of the connection are wrong: {error}.") from None
    kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    kept.SessionExpiryInterval, kept.ReceiveMaximum = 0xFFFFFFFF, 0xFFFF  # for ever; as many as there may be
    # Retained messages once, with a new subscription; from the end, none.
    options = SubscribeOptions(qos=1, retainHandling=2 if skips else 1)
    feed = MqttFeed(
        client, topics, chain,
        lambda: client.connect(topics.host, topics.port, _KEEPALIVE, clean_start=False, properties=kept),
        lambda: client.subscribe(topics.subscription, options=options), note.is_mine,
        is_json=is_json,
    )  # fmt: skip
    feed.open()
    return feed
