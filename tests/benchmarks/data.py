"""The rows that all engines are measured on: drawn once, from a seed, sorted by (device, event time).

Every device reports once a minute. Each engine gets the same rows in its best form, so a difference in speed is due to
the engine, not the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MICROS = 1_000_000
MINUTE = 60 * MICROS
START = 1_709_251_200 * MICROS  # 2024-03-01T00:00:00Z

STATUSES = ("up", "degraded", "down")
FIRMWARES = tuple(f"{major}.{minor}.{patch}" for major in (1, 2) for minor in (0, 4, 7) for patch in (0, 3))

# What a changing status changes to: `up` is left for `degraded` rather than `down`, and mostly returned to.
_FIRST_TARGET = np.array([1, 0, 0], dtype=np.int8)
_SECOND_TARGET = np.array([2, 2, 1], dtype=np.int8)
_FIRST_SHARE = np.array([0.6, 0.8, 0.8])


@dataclass(frozen=True, slots=True)
class Shape:
    """What the data looks like.

    `points` is rounded down to whole devices x minutes. `temp_step` is the standard deviation of a one-minute step of
    the temperature in degrees; the walk is pulled back so that it keeps a spread of `temp_spread` around 20 degrees
    (`temp_step == temp_spread` makes neighbouring values independent). `gaps` is the share of the points after which
    a device falls silent for some ten minutes: 0 in the runs that are reported, above 0 where answers are compared,
    so that sessions and outages occur at all.
    """

    points: int = 20_000_000
    devices: int = 10_000
    seed: int = 20240301
    jitter_ms: int = 2_000
    change: float = 0.01
    temp_step: float = 0.5
    temp_spread: float = 5.0
    gaps: float = 0.0

    @property
    def minutes(self) -> int:
        """Minutes covered: each device has one point in each (but for the gaps)."""
        return max(1, self.points // self.fleet)

    @property
    def fleet(self) -> int:
        """Devices in the data: fewer than asked for in a very small run, so that each still has a history."""
        return max(1, min(self.devices, self.points // 50))

    @property
    def since(self) -> int:
        """Start of the query range, in microseconds UTC."""
        return START

    @property
    def until(self) -> int:
        """End of the query range (exclusive), in microseconds UTC."""
        return START + self.minutes * MINUTE


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The rows as arrays of equal length, sorted by (device, time).

    `device`, `status` and `firmware` are codes (int32, int8, int8) into the three name tuples; `ts` is int64
    microseconds UTC in whole milliseconds; `temp` is float64 with one decimal.
    """

    device: NDArray[np.int32]
    ts: NDArray[np.int64]
    status: NDArray[np.int8]
    firmware: NDArray[np.int8]
    temp: NDArray[np.float64]
    devices: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of points."""
        return len(self.ts)

    def to_arrow(self) -> pa.Table:
        """The same rows as an Arrow table: dictionary strings, `ts` as int64 microseconds."""
        return pa.table(
            {
                "device": _strings(self.device, self.devices, pa.int32()),
                "ts": pa.array(self.ts),
                "status": _strings(self.status, STATUSES, pa.int8()),
                "firmware": _strings(self.firmware, FIRMWARES, pa.int8()),
                "temp": pa.array(self.temp),
            }
        )


def draw(shape: Shape) -> Telemetry:
    """Draw the telemetry of `shape`; the same shape always gives the same rows."""
    rng = np.random.default_rng(shape.seed)
    fleet, minutes = shape.fleet, shape.minutes
    names = tuple(f"device-{number:05d}" for number in range(fleet))

    # Half a minute off the full minute, so that no jitter moves a point out of the query range.
    jitter = rng.integers(-shape.jitter_ms, shape.jitter_ms, size=(fleet, minutes), endpoint=True, dtype=np.int64)
    clock = START + MINUTE // 2 + np.arange(minutes, dtype=np.int64) * MINUTE
    ts = jitter * 1_000 + clock
    del jitter

    firmware = np.repeat(rng.integers(0, len(FIRMWARES), size=fleet, dtype=np.int8), minutes)
    status = _statuses(rng, shape)
    temp = _temperatures(rng, shape)
    device = np.repeat(np.arange(fleet, dtype=np.int32), minutes)
    telemetry = Telemetry(device, ts.ravel(), status.ravel(), firmware, temp.ravel(), names)
    return telemetry if shape.gaps == 0.0 else _with_gaps(rng, shape, telemetry)


def _statuses(rng: np.random.Generator, shape: Shape) -> NDArray[np.int8]:
    """Codes into STATUSES, (devices, minutes); each point differs from the one before with probability `change`."""
    fleet, minutes = shape.fleet, shape.minutes
    status = np.zeros((fleet, minutes), dtype=np.int8)
    now = rng.choice(np.arange(3, dtype=np.int8), size=fleet, p=(0.9, 0.07, 0.03))
    for minute in range(minutes):
        changing = np.flatnonzero(rng.random(fleet) < shape.change)
        old = now[changing]
        first = rng.random(len(changing)) < _FIRST_SHARE[old]
        now[changing] = np.where(first, _FIRST_TARGET[old], _SECOND_TARGET[old])
        status[:, minute] = now
    return status


def _temperatures(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """Degrees with one decimal, (devices, minutes): a random walk pulled back to 20."""
    fleet, minutes = shape.fleet, shape.minutes
    pull = float(np.sqrt(1.0 - (shape.temp_step / shape.temp_spread) ** 2))
    temp = np.empty((fleet, minutes))
    offset = rng.normal(0.0, shape.temp_spread, size=fleet)
    for minute in range(minutes):
        offset = pull * offset + rng.normal(0.0, shape.temp_step, size=fleet)
        temp[:, minute] = offset
    np.add(temp, 20.0, out=temp)
    np.multiply(temp, 10.0, out=temp)
    np.rint(temp, out=temp)
    # Dividing (not multiplying by 0.1) gives the float64 nearest to the decimal, the one a JSON parser would give.
    np.divide(temp, 10.0, out=temp)
    return temp


def _with_gaps(rng: np.random.Generator, shape: Shape, full: Telemetry) -> Telemetry:
    """Leave out stretches of some ten points each, and every point of one device in a hundred but the first."""
    starts = np.flatnonzero(rng.random(full.rows) < shape.gaps)
    lengths = rng.geometric(0.1, size=len(starts))
    edges = np.zeros(full.rows + 1, dtype=np.int32)
    np.add.at(edges, starts, 1)
    np.add.at(edges, np.minimum(starts + lengths, full.rows), -1)
    keep = np.cumsum(edges[:-1]) == 0
    first = np.append(True, full.device[1:] != full.device[:-1])
    keep &= full.device % 100 != 99
    keep |= first
    return Telemetry(
        full.device[keep], full.ts[keep], full.status[keep], full.firmware[keep], full.temp[keep], full.devices
    )


def _strings(codes: NDArray[np.integer], names: tuple[str, ...], index: pa.DataType) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, type=index), pa.array(names))
