"""A seeded fleet of trucks as in TSBS IoT, with its irregularities: missing and late rows, null fields."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

MODELS = {"F-150": (2000.0, 15.0), "G-2000": (5000.0, 19.0), "H-2": (1500.0, 12.0)}
FLEETS = ["East", "West", "North", "South"]
START = 1_704_067_200
"""2024-01-01, in seconds."""

MISSING, LATE, NULL = 0.1, 0.3, 0.1
LATE_ROWS = 200
"""How many rows a late one may come after."""


@dataclass(frozen=True)
class Trucks:
    """Rows in the order in which they arrive; a field that is not there was not reported."""

    readings: list[Row]
    diagnostics: list[Row]


def trucks(seed: int, count: int = 16, days: int = 3, step: int = 60) -> Trucks:
    """What ``count`` trucks reported in ``days`` days, every ``step`` seconds."""
    rng = random.Random(seed)
    readings: list[Row] = []
    diagnostics: list[Row] = []
    for i in range(count):
        _drive(rng, f"truck_{i}", days * 86_400, step, readings, diagnostics)
    return Trucks(_received(rng, readings), _received(rng, diagnostics))


def _drive(rng: random.Random, name: str, seconds: int, step: int, readings: list[Row], diagnostics: list[Row]) -> None:
    model = rng.choice(list(MODELS))
    capacity, nominal = MODELS[model]
    tags = {"name": name, "fleet": rng.choice(FLEETS), "model": model}
    fuel, load, velocity, status = rng.random(), rng.random() * capacity, 0.0, 0
    driving, until, broken = False, 0, 0
    latitude, longitude = rng.uniform(-60, 60), rng.uniform(-180, 180)
    for t in range(0, seconds, step):
        if t >= until:
            driving = not driving
            until = t + int(rng.expovariate(1 / (4 * 3600 if driving else 3600)))
            load = rng.random() * capacity if rng.random() < 0.7 else load
        if broken <= t and rng.random() < 0.0005:
            broken = t + int(rng.expovariate(1 / 3600))
        # Some of the time it stands in line, rolling a little.
        velocity = (
            max(0.0, min(100.0, velocity + rng.uniform(-8, 8.5)))
            if driving and t >= broken
            else rng.choice([0.0, 0.0, 1.5])
        )
        status = rng.randint(1, 5) if t < broken else 0 if rng.random() < 0.9 else 1
        fuel = fuel - 0.0006 if driving else fuel
        fuel = 1.0 if fuel < 0.02 else fuel
        latitude, longitude = latitude + rng.uniform(-0.01, 0.01), longitude + rng.uniform(-0.01, 0.01)
        used = rng.uniform(0.5, 1.5) * nominal if velocity > 0 else 0.0
        ts = START + t
        readings.append(
            {
                "ts": ts,
                **tags,
                "latitude": latitude,
                "longitude": longitude,
                "velocity": velocity,
                "fuel_consumption": used,
            }
        )
        diagnostics.append({"ts": ts, **tags, "fuel_state": fuel, "current_load": load, "status": status})


def _received(rng: random.Random, rows: list[Row]) -> list[Row]:
    kept = [row for row in rows if rng.random() >= MISSING]
    kept.sort(key=lambda row: row["ts"])
    order = [i + (rng.uniform(0, LATE_ROWS) if rng.random() < LATE else 0.0) for i in range(len(kept))]
    arrived = [kept[i] for i in sorted(range(len(kept)), key=order.__getitem__)]
    return [{n: v for n, v in row.items() if n in ("name", "ts") or rng.random() >= NULL} for row in arrived]
