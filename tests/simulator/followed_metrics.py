"""Metrics to follow, the law graphs and the examples, and points of the streams that they ask."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import dataflow as df
from runtime.testing.oracle.strategies import BASE, GAP, KEY, TIME
from tests.laws.graphs import GRAPHS

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MAY = 1_777_593_600_000_000
"""2026-05-01, in which the examples' calendar has holidays and updates."""

STEPS = (0, 0, 1, MINUTE, GAP - 1, GAP, GAP + 1, 31 * MINUTE, HOUR, 5 * HOUR, DAY)

EXAMPLES = (
    "mesh_uptime", "mesh_reliability", "clicks_sessions", "clicks_events", "retail_by_month", "retail_ledger",
    "tsbs_iot",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A stream: its key column and keys, and the values of its other columns; each is null now and then."""

    key: str
    keys: tuple[Any, ...]
    columns: Mapping[str, tuple[Any, ...]]
    begin: int = MAY
    time: str = "ts"

    def points(self, dice: random.Random, newest: int) -> list[dict[str, Any]]:
        """Points up to a day after ``newest``; in one of three cases some that are late, by up to a month."""
        found, now = [], newest
        for _ in range(dice.randint(1, 7)):
            now += dice.choice(STEPS)
            late = dice.choice((0, 0, GAP, HOUR, DAY, 30 * DAY)) if dice.random() < 0.3 else 0
            found.append(self._point(dice, max(self.begin, now - late)))
        return found

    def first(self) -> list[dict[str, Any]]:
        """A point with every column, long before all others, which fixes the types."""
        values = {name: next(v for v in of if v is not None) for name, of in self.columns.items()}
        return [{self.key: self.keys[0], self.time: self.begin - 40 * DAY, **values}]

    def _point(self, dice: random.Random, at: int) -> dict[str, Any]:
        values = {name: dice.choice(of) if dice.random() < 0.85 else None for name, of in self.columns.items()}
        return {self.key: dice.choice(self.keys), self.time: at, **values}

    def table(self, points: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """The points as an ingest takes them."""
        return {name: [point[name] for point in points] for name in (self.key, self.time, *self.columns)}


TRUCK = {"fleet": ("East", "West"), "model": ("F-150", "G-2000", "H-2")}
INVOICES = ("536365", "536366", "C536379")
NAMES = ("truck_0", "truck_1", "truck_2")
SOURCES = {
    "s": Source(
        KEY, ("a", "b", "c", "ö"),
        {
            "temp": (0.5, -0.0, 0.1, 0.2, -3.25, 21.5, 30.0, 1e16), "n": (-7, 0, 1, 2, 3, 10, 2**53 + 1),
            "ok": (True, False), "status": ("up", "down", "degraded"), "firmware": ("1.2.0", "2.0", "ä", ""),
        },
        BASE, TIME,
    ),
    "mesh": Source("node", ("n1", "n2", "n3", "n4"), {"hw_model": ("HELTEC_V3", "RAK4631", "TBEAM")}),
    "clicks": Source(
        "user_id", ("u1", "u2", "u3"),
        {
            "action": ("search for item", "search for destination", "interaction item image", "clickout item"),
            "device": ("mobile", "desktop"), "platform": ("DE", "BR"), "reference": ("1", "2", "3"),
        },
    ),
    "retail": Source("invoice", INVOICES, {"quantity": (6, -1, 12), "unit_price": (2.55, 0.125)}),
    "purchases": Source(
        "customer", ("17850", "13047", "unknown"),
        {
            "invoice": INVOICES, "country": ("France", "Norway"), "quantity": (6, -1, 12),
            "unit_price": (2.5, 0.125, 4.25),
        },
    ),
    "readings": Source(
        "name", NAMES,
        {
            "latitude": (1.5, 72.25), "longitude": (7.5, -3.25), "velocity": (0.0, 0.5, 60.5),
            "fuel_consumption": (9.5, 25.0), "elevation": (1.0, 250.5), **TRUCK,
        },
    ),
    "diagnostics": Source(
        "name", NAMES,
        {"fuel_state": (0.05, 0.5, 1.0), "current_load": (100.5, 1900.0, 4950.0), "status": (0, 1, 2), **TRUCK},
    ),
}  # fmt: skip


@cache
def metrics() -> dict[str, tuple[str, df.Stream]]:
    """The stream and the metric, by name."""
    from dataflow.metrics.inner_answers import streams_in

    found = {f"law {name}": ("s", df.from_json(json.dumps(graph))) for name, graph in sorted(GRAPHS.items())}
    for module in EXAMPLES:
        for name, value in vars(import_module(f"dataflow.examples.{module}")).items():
            if isinstance(value, df.Stream) and len(streams := set(streams_in(value.steps))) == 1:
                found[f"{module}:{name}"] = (*streams, value)  # type: ignore[assignment]
    return found
