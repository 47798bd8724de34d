"""What the parts of a query take: the assumptions of estimates and of the simulation, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Speeds:
    """Seconds of single steps, and rates. deploy/INTERNALS.md lists where each comes from.

    Computing, one vCPU: ``points`` per second; seconds for a file that is opened by itself (``file``) or joined with
    others (``joined``), for the request of one GET (``get``), and to read one file's part of a task (``parse``).

    S3: seconds to the first byte (the median; ``spread`` is the sigma of their logarithms), ``at_once`` GETs of files
    that are opened ahead; ``stream``, bytes per second of one GET after its first byte, and ``network``, those of a
    worker after its first ``burst`` bytes; the most bytes that one GET returns.

    Lambda: seconds of overhead per invocation, and to start a new worker (``cold``); invocations per second that one
    process starts (``rate``).

    The caller: seconds per request to the catalogue, of which a plan takes ``requests`` and one more for each
    ``page_files`` files, of ``page`` seconds; per file, to plan it (``plan``), to ask for it (``ask``) and to check
    that it was read (``check``); and to ``merge`` one partial state.
    """

    points: float = 170e6
    file: float = 0.0012
    joined: float = 0.00009
    get: float = 0.00025
    parse: float = 0.000011

    first_byte: float = 0.03
    spread: float = 0.6
    at_once: int = 16
    stream: float = 90e6
    network: float = 78e6
    burst: float = 300e6
    get_bytes: float = 16e6

    overhead: float = 0.03
    cold: float = 0.5
    rate: float = 520.0

    request: float = 0.01
    requests: int = 6
    page: float = 0.1
    page_files: int = 2_000
    plan: float = 0.000008
    ask: float = 0.000021
    check: float = 0.0000023
    merge: float = 0.002

    @cached_property
    def wait(self) -> float:
        """Seconds to the first byte, on average."""
        return self.first_byte * math.exp(self.spread**2 / 2)

    def planning(self, files: int) -> float:
        """Seconds from the question to the first task."""
        return self.requests * self.request + files / self.page_files * self.page + files * self.plan

    def downloading(self, size: float, burst: float) -> float:
        """Seconds in which a worker downloads ``size`` bytes, ``burst`` of them before its network slows down."""
        return min(size, burst) / self.stream + max(0.0, size - burst) / min(self.stream, self.network)
