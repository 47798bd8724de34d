"""A broker of MQTT in memory, and a client of it with the methods of paho-mqtt that a feed uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Reason:
    """A reason code of MQTT 5."""

    value: int

    @property
    def is_failure(self) -> bool:
        return self.value >= 128

    def __str__(self) -> str:
        return {0: "Success", 135: "Not authorized", 142: "Session taken over"}.get(self.value, "Unspecified error")


@dataclass
class Session:
    """What a broker keeps for a client: messages of QoS 1 that are not acknowledged, by the ``mid`` of each."""

    waiting: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    """Those that were sent at least once."""

    sent: set[int] = field(default_factory=set)
    """Those that were sent on the connection that is there."""

    client: Client | None = None


@dataclass
class Broker:
    """A broker that lets ``window`` messages be under way."""

    window: int = 20
    sessions: dict[str, Session] = field(default_factory=dict)
    is_away: bool = False
    connects_with: int = 0
    subscribes_with: int = 1
    cut_after: int | None = None
    """After how many messages all connections end."""

    def publish(self, topic: str, payload: str | bytes, qos: int = 1) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        for session in self.sessions.values():
            if qos:
                # The smallest number that is free, as real brokers may use one again at once.
                session.waiting[next(n for n in range(1, 2**16) if n not in session.waiting)] = (topic, data)
            elif session.client is not None:
                session.client.due.append(SimpleNamespace(topic=topic, payload=data, qos=0, mid=0, dup=False))

    def drop(self) -> None:
        """End all connections."""
        for session in self.sessions.values():
            if session.client is not None:
                session.client.is_dropped = True
                session.client, session.sent = None, set()


class Client:
    """A client, which the broker knows by ``name``."""

    on_connect: Callable[..., object]
    on_disconnect: Callable[..., object]
    on_message: Callable[..., object]
    on_subscribe: Callable[..., object]

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker, self.name = broker, name
        self.now = 0.0
        """A clock that goes on with each loop."""

        self.due: list[Any] = []
        self.answers: list[Callable[[], object]] = []
        self.is_dropped = False
        self.session: Session | None = None

    def connect(self) -> None:
        if self.broker.is_away:
            raise ConnectionRefusedError(111, "Connection refused")
        code = Reason(self.broker.connects_with)
        is_present = self.name in self.broker.sessions
        if not code.is_failure:
            self.session = self.broker.sessions.setdefault(self.name, Session())
            if (other := self.session.client) is not None and other is not self:
                other.answers.append(lambda: other.on_disconnect(other, None, None, Reason(142), None))
                other.session = None
            self.session.client, self.session.sent = self, set()
            self.is_dropped = False
        flags = SimpleNamespace(session_present=is_present)
        self.answers.append(lambda: self.on_connect(self, None, flags, code, None))

    def subscribe(self) -> None:
        self.answers.append(lambda: self.on_subscribe(self, None, 1, [Reason(self.broker.subscribes_with)], None))

    def loop(self, timeout: float) -> int:
        self.now += timeout
        if self.is_dropped:
            self.is_dropped, self.session = False, None
            self.on_disconnect(self, None, None, Reason(128), None)
            return 7
        answers, self.answers = self.answers, []
        for answer in answers:
            answer()
        if self.session is None:
            return 4
        due, self.due = self.due, []
        for mid, (topic, payload) in list(self.session.waiting.items()):
            if mid not in self.session.sent and len(self.session.sent) < self.broker.window:
                dup = mid in self.session.delivered
                self.session.sent.add(mid)
                self.session.delivered.add(mid)
                due.append(SimpleNamespace(topic=topic, payload=payload, qos=1, mid=mid, dup=dup))
        for message in due:
            self.on_message(self, None, message)
            if self.broker.cut_after is not None:
                self.broker.cut_after -= 1
                if self.broker.cut_after <= 0:
                    self.broker.cut_after = None
                    self.broker.drop()
                    break
        return 0

    def ack(self, mid: int, qos: int) -> int:
        if self.session is None or self.session.client is not self:
            return 4
        for held in (self.session.sent, self.session.delivered):
            held.discard(mid)
        self.session.waiting.pop(mid, None)
        return 0

    def disconnect(self) -> None:
        if self.session is not None and self.session.client is self:
            self.session.client, self.session.sent = None, set()
        self.session = None
