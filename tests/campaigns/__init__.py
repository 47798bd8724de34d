"""Large runs of property tests and attacks, each a command: ``python -m tests.campaigns NAME --examples N``.

A campaign is a module of this folder with a function ``run(budget, seed)`` that returns a ``Report``; ``CAMPAIGNS``
lists them. CI runs each with a small budget, in ``test_campaigns.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

CAMPAIGNS = {
    "arrays": "loops among arrays that end at pages without access, tables of the smallest size",
    "claims": "formulas in CSV, log lines, states merged twice, pickles, records counted, memory",
    "payloads": "requests to workers and their replies: changed, swapped, of another query, forged",
    "states": "kept states damaged, misplaced and forged",
    "kills": "upkeep, ingests and queries killed before drawn steps and at drawn times",
    "soak": "a service for so many seconds: threads, forks, killed workers, failing servers; answers recomputed",
    "feeds": "watchers of feeds killed, brokers started again, connections cut: each numbered record exactly once",
    "luck": "tests that luck could decide, run that many times with fresh seeds, in odd zones",
    "catalogue": "one bit of a catalogue flipped, items deleted and swapped: SQLite, a table in memory, DynamoDB",
    "protocol": "the catalogue's protocol, with upkeep and without: runs of the simulator",
    "files": "point files swapped, repeated, cut, changed, and those of another store",
    "places": "a FIFO, socket, device, folder or link in the place of a file",
    "kernels": "damaged files of the kernel cache, each try a process with a time-out",
    "live": "watchers, followers and deliveries while things fail: runs of the simulator",
    "followed": "answers followed while a store changes, with data: each beside the whole query",
    "upkeep": "queries on a fleet that fails, while compactions, retention, sweeps and ingests run",
    "times": "functions of time in 40 zones, from 1900 to 2261, against the datetime module",
    "reals": "exp, log, sin and the like, that many numbers each, against long doubles and mpmath",
}
"""The name of each campaign, which is its module's, and what it tries."""


@dataclass
class Report:
    """What a campaign tried and what failed.

    ``tried`` counts examples by kind. ``failures`` has one line for each failure: its input, what is right, what came.
    """

    tried: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    """What happened in the examples, where that says whether they mean something."""

    def count(self, kind: str, examples: int = 1) -> None:
        """Add ``examples`` of this kind to those that were tried."""
        self.tried[kind] = self.tried.get(kind, 0) + examples

    def lines(self) -> list[str]:
        """The report as text: one line for each kind, then the failures."""
        width = max([len("examples"), *(len(kind) for kind in {**self.tried, **self.seen})])
        out = [f"{kind:{width}}  {n:>12,}" for kind, n in self.tried.items()]
        out += [f"  {kind:{width}}  {n:>10,}" for kind, n in sorted(self.seen.items())]
        out.append(f"{'examples':{width}}  {sum(self.tried.values()):>12,}")
        out.append(f"{'failures':{width}}  {len(self.failures):>12,}")
        return out + [f"failed: {line}" for line in self.failures]


def campaign(name: str) -> Callable[[int, int], Report]:
    """The function ``run(budget, seed)`` of the campaign ``name``; ``budget`` is about how many examples to try."""
    run: Callable[[int, int], Report] = import_module(f"tests.campaigns.{name}").run
    return run
