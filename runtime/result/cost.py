"""The cost of a query on Lambda: prices, the usage that invocations report, and the bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Prices:
    """Prices in dollars, from AWS's list for us-east-1 in 2026 (first tier, without the free tier).

    Sources: the pages "AWS Lambda Pricing" and "Amazon S3 pricing" (S3 Standard), whose figures have been stable for
    years; other regions cost up to a quarter more. Transfer between Lambda and S3 in one region is free; transfer out
    of AWS (the result, to the caller) is not counted.
    """

    gb_second: Mapping[str, float]
    """By architecture: one second of run time with a GB (2**30 bytes) of configured memory."""
    invocation: float
    get: float
    put: float


US_EAST_1 = Prices({"arm64": 0.0000133334, "x86_64": 0.0000166667}, 0.20 / 1e6, 0.0004 / 1e3, 0.005 / 1e3)

VCPU_MB = 1_769
"""Megabytes of memory at which a function has one full vCPU."""


@dataclass(frozen=True)
class Worker:
    """The size of a function: megabytes of memory, and its architecture (``x86_64`` or ``arm64``)."""

    memory: int = VCPU_MB
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Used:
    """Usage that invocations report: how many report, billed seconds (each rounded up to a millisecond), GB-seconds and
    their price, S3 GETs and PUTs, bytes read from S3, and how many others they invoked in turn, without throttled ones.
    """

    reported: int = 0
    seconds: float = 0.0
    gb_seconds: float = 0.0
    compute: float = 0.0
    gets: int = 0
    puts: int = 0
    bytes: int = 0
    invoked: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.reported + other.reported,
            self.seconds + other.seconds,
            self.gb_seconds + other.gb_seconds,
            self.compute + other.compute,
            self.gets + other.gets,
            self.puts + other.puts,
            self.bytes + other.bytes,
            self.invoked + other.invoked,
        )

    @classmethod
    def of(cls, seconds: float, worker: Worker, gets: int = 0, puts: int = 0, read: int = 0) -> Used:
        """The usage of one invocation of ``worker`` that ran for ``seconds``."""
        billed = math.ceil(seconds * 1_000) / 1_000
        size = billed * worker.memory / 1_024
        return cls(1, billed, size, size * US_EAST_1.gb_second[worker.architecture], gets, puts, read)

    @classmethod
    def from_dict(cls, fields: Any) -> Used:
        """The usage in a reply; ValueError, KeyError or TypeError if it is malformed."""
        if not all(0 <= fields[name] < math.inf for name in asdict(cls())):
            raise ValueError("the reported usage is negative or impossibly large")
        return cls(**{name: type(kind)(fields[name]) for name, kind in asdict(cls()).items()})


@dataclass(frozen=True)
class Cost:
    """The cost of a query: invocations (workers and relays), those of them that reported nothing (failed, lost and
    overtaken ones); billed seconds, GB-seconds, GETs, PUTs, bytes read, and dollars.

    For the silent ones ``dollars`` includes only the invocation itself: how long they ran is unknown. The start-up time
    of new workers (INIT) is billed, too, but only AWS's logs have it: it is not in ``dollars``.
    """

    invocations: int
    silent: int
    seconds: float
    gb_seconds: float
    gets: int
    puts: int
    bytes: int
    dollars: float

    @classmethod
    def of(cls, used: Used, invocations: int) -> Cost:
        """The bill for ``invocations`` with the usage they reported."""
        invocations += used.invoked
        dollars = used.compute + invocations * US_EAST_1.invocation
        dollars += used.gets * US_EAST_1.get + used.puts * US_EAST_1.put
        silent = max(0, invocations - used.reported)
        return cls(invocations, silent, used.seconds, used.gb_seconds, used.gets, used.puts, used.bytes, dollars)

    def __str__(self) -> str:
        text = (
            f"${self.dollars:.4f}: {self.invocations:,} invocations, {self.seconds:,.1f} s billed "
            f"({self.gb_seconds:,.1f} GB-s), {self.gets:,} GETs, {self.bytes:,} bytes read"
        )
        return f"{text}; {self.silent:,} reported nothing and may cost more" if self.silent else text


def summed_cost(costs: Iterable[Cost | None]) -> Cost | None:
    """The cost of several queries; None if all were computed here."""
    some = [cost for cost in costs if cost is not None]
    if not some:
        return None
    return Cost(*(sum(getattr(cost, f.name) for cost in some) for f in fields(Cost)))
