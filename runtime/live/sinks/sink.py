"""What every sink is: something that the changes of an answer are delivered to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.errors import QueryError

Event = Mapping[str, Any]
"""A change of a row, or an edge of an alert, as JSON; ``id`` names it, the same whenever it is delivered."""


class SinkUnavailable(QueryError):
    """A sink that takes nothing now: the delivery is tried again, after so many seconds if the sink asked for it."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Delivery:
    """Events that are delivered together, in order. ``position`` is what the sink said of itself before the first try;
    with ``is_again``, a try was begun before, and may have been taken."""

    id: str
    events: tuple[Event, ...]
    position: Any = None
    is_again: bool = False

    def lines(self) -> bytes:
        """The events as JSON, one a line."""
        return b"".join(b"%s\n" % as_json(event) for event in self.events)

    def parts(self, most: int, most_bytes: int) -> Iterator[tuple[str, Sequence[Event]]]:
        """The events in parts of at most so many, and so many bytes (or one event), each with an id: the same parts
        whenever it is called."""
        part: list[Event] = []
        size = number = 0
        for event in self.events:
            length = len(as_json(event)) + 1
            if part and (len(part) == most or size + length > most_bytes):
                number += 1
                yield f"{self.id}/{number}", part
                part, size = [], 0
            part.append(event)
            size += length
        if part:
            yield f"{self.id}/{number + 1}", part


def as_json(event: Any) -> bytes:
    """JSON on one line."""
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class EventSink(Protocol):
    """Where events go. It is used by one thread."""

    def position(self) -> Any:
        """What the sink wants to know of itself when a delivery is tried again, as JSON."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """Take the events, durably on return. ``SinkUnavailable`` if it should be tried again, QueryError if that is
        of no use."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...
