"""`KeyValueTable`: the table under the protocol (SQLite, DynamoDB, a simulated one in tests).

The protocol (``protocol.py``) consists of generators that yield the requests below and receive the replies, so the same
steps run against a real table (``run``) and, one request at a time, in the simulator.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from operators.errors import DataflowError, Portable
from runtime.errors import StoreError

Item = tuple[int, bytes]
"""The number and the body of an item."""

Row = tuple[str, int, bytes]
"""A sort key, and the number and the body of the item there."""

Heads = dict[str, tuple[int, str]]
"""For each stream the last acknowledged commit, and the hash of its record."""


class WriteCondition(Enum):
    """The condition of a ``Put`` or ``Check`` on the existing item."""

    ALWAYS = "always"
    ABSENT = "absent"
    BELOW = "below"
    """Absent, or its ``number`` is less than the given ``bound``."""
    EQUAL = "equal"
    """Present with ``number`` equal to ``bound``."""


@dataclass(frozen=True)
class Get:
    """Read one item, strongly; the reply is an ``Item`` or None."""

    partition: str
    sort: str


@dataclass(frozen=True)
class Query:
    """Read the items of a partition with ``low <= sort < high``; the reply is a list of ``Row`` in sort order.

    Strong per item but *not* atomic over the items: rows of one transaction may be seen in part. ``last`` returns only
    the greatest one.
    """

    partition: str
    low: str = ""
    high: str = "\x7f"
    last: bool = False


@dataclass(frozen=True)
class KeyScan:
    """As ``Query``, for many rows: the reply is (the first ``head`` bytes of every body, the rest of every body).

    Both are joined in sort order, so that reading a million rows does not create a million objects.
    """

    query: Query
    head: int

    def split(self, rows: Sequence[Row]) -> tuple[bytes, bytes]:
        """The reply for these rows, for tables that cannot do it faster."""
        bodies = [body for _, _, body in rows]
        return b"".join([body[: self.head] for body in bodies]), b"".join([body[self.head :] for body in bodies])


@dataclass(frozen=True)
class Put:
    """Write one item if the condition holds; later conditions refer to ``number``."""

    partition: str
    sort: str
    body: bytes
    when: WriteCondition = WriteCondition.ALWAYS
    bound: int = 0
    number: int = 0


@dataclass(frozen=True)
class Check:
    """A condition of a transaction on an item that it does not write."""

    partition: str
    sort: str
    when: WriteCondition
    bound: int = 0


@dataclass(frozen=True)
class Transact:
    """Write all items or, when a condition fails, none (then ``ConditionFailed``); at most ``KeyValueTable.most``
    items.

    Durable when the reply (None) arrives. ``OutcomeUnknown``: it may have happened, or may still happen.
    """

    items: Sequence[Put | Check]


@dataclass(frozen=True)
class GetHeads:
    """Read the heads that lie beside the table; the reply is ``Heads``, or None if the table keeps none."""


@dataclass(frozen=True)
class PutHead:
    """Record durably beside the table that ``stream`` has reached commit ``seq``; never goes back."""

    stream: str
    seq: int
    hash: str


Request = Get | Query | KeyScan | Transact | GetHeads | PutHead
R = TypeVar("R")
Steps = Generator[Request, Any, R]


class ConditionFailed(Portable, Exception):
    """A transaction was refused: the positions in ``Transact.items`` whose condition did not hold."""

    def __init__(self, failed: Sequence[int]) -> None:
        super().__init__(f"conditions {list(failed)} did not hold")
        self.failed = tuple(failed)


class OutcomeUnknown(StoreError):
    """A request whose reply was lost: its outcome is unknown, so nothing may be deleted because of it."""


class KeyValueTable(Protocol):
    """Items by (partition, sort) with conditional transactions; safe to use from several threads and processes."""

    most: int
    """The most items of one transaction."""

    def get(self, request: Get) -> Item | None:
        """Answer a ``Get``."""
        ...

    def query(self, request: Query) -> list[Row]:
        """Answer a ``Query``."""
        ...

    def scan(self, request: KeyScan) -> tuple[bytes, bytes]:
        """Answer a ``KeyScan``."""
        ...

    def transact(self, request: Transact) -> None:
        """Carry out a ``Transact``."""
        ...

    def heads(self) -> Heads | None:
        """Answer ``GetHeads``."""
        ...

    def put_head(self, request: PutHead) -> None:
        """Carry out ``PutHead``."""
        ...

    def problems(self) -> list[str]:
        """Damage of the table itself, below its items; each problem is one sentence."""
        ...

    def close(self) -> None:
        """Release open resources."""
        ...


def holds(when: WriteCondition, bound: int, number: int | None) -> bool:
    """Whether a condition holds for an item with this ``number`` (None: there is no item)."""
    match when:
        case WriteCondition.ALWAYS:
            return True
        case WriteCondition.ABSENT:
            return number is None
        case WriteCondition.BELOW:
            return number is None or number < bound
        case WriteCondition.EQUAL:
            return number == bound


def run(table: KeyValueTable, steps: Steps[R]) -> R:
    """Run the steps of a protocol against a table and return their result."""
    reply: Any = None
    failure: Exception | None = None
    while True:
        try:
            request = steps.send(reply) if failure is None else steps.throw(failure)
        except StopIteration as end:
            result: R = end.value
            return result
        reply, failure = None, None
        try:
            match request:
                case Get():
                    reply = table.get(request)
                case Query():
                    reply = table.query(request)
                case KeyScan():
                    reply = table.scan(request)
                case Transact():
                    table.transact(request)
                case GetHeads():
                    reply = table.heads()
                case PutHead():
                    table.put_head(request)
        except (ConditionFailed, DataflowError) as error:
            failure = error


def get(partition: str, sort: str) -> Steps[Item | None]:
    """The step that reads one item."""
    item: Item | None = yield Get(partition, sort)
    return item


def query(partition: str, low: str = "", high: str = "\x7f", *, last: bool = False) -> Steps[list[Row]]:
    """The step that reads a range of a partition."""
    rows: list[Row] = yield Query(partition, low, high, last)
    return rows


def scan(partition: str, low: str, high: str, head: int) -> Steps[tuple[bytes, bytes]]:
    """The step that reads a range of a partition as two byte strings."""
    parts: tuple[bytes, bytes] = yield KeyScan(Query(partition, low, high), head)
    return parts


def transact(items: Sequence[Put | Check]) -> Steps[None]:
    """The step that writes some items, or raises ``ConditionFailed`` or ``OutcomeUnknown``."""
    yield Transact(items)
