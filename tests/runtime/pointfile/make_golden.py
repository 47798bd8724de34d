"""Writes the golden files of the current version: `python -m tests.runtime.pointfile.make_golden`.

A golden file never changes after a release: later versions add files and must read the old ones. The script refuses to
overwrite one. Beside each file are its contents as JSON lines, with hexadecimal floats, since JSON has no NaN and not
every reader keeps -0.0.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np

from operators.types import DECIMALS, Type
from runtime.columns import Column, Points
from runtime.pointfile import PointFile, encode, sort_points
from runtime.pointfile.layout import VERSION
from tests.runtime.pointfile.cases import DAY, START, column, file_rows, text_column

FOLDER = Path(__file__).parent / "golden"


def fleet() -> tuple[Points, int]:
    """Devices with jitter, a state that rarely changes, a walk in decimals, a constant; several blocks."""
    rng = np.random.default_rng(11)
    n = 400
    device = np.repeat(np.arange(8), n // 8)
    time = START + np.tile(np.arange(n // 8) * 60_000, 8) * 1000 + rng.integers(0, 4000, n) * 1000
    columns = {
        "status": text_column([("up", "down", "degraded")[v] for v in np.cumsum(rng.random(n) < 0.01) % 3]),
        "firmware": text_column(["1.0.2" if d < 4 else "1.1.0" for d in device]),
        "temp": Column(Type.FLOAT, np.round(np.cumsum(rng.normal(0, 0.4, n)), 1)),
        "alarm": Column(Type.BOOL, (rng.random(n) < 0.5).astype(np.uint8)),
        "boots": Column(Type.INT, np.sort(rng.integers(0, 5, n))),
    }
    return Points(text_column([f"device-{d}" for d in device]), time, columns), 180


def extremes() -> tuple[Points, int]:
    """An integer key, every type, nulls, and the values at the edges of each type."""
    n = 40
    floats: list[object] = [0.0, -0.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1 + 0.2, None]
    payload = np.array([0x7FF8DEADBEEF0001, 0x7FF0000000000001], np.uint64).view(np.float64)
    columns = {
        "bool": column(Type.BOOL, [None, True, False, True] * (n // 4)),
        "int": column(Type.INT, [2**63 - 1, -(2**63), None, 0, -1] * (n // 5)),
        "float": column(Type.FLOAT, floats * (n // 8)),
        "nan": Column(Type.FLOAT, np.resize(payload, n)),
        "string": text_column(["", "ä", None, "\U0001f41c", "a\x00b"] * (n // 5)),
        "time": column(Type.TIME, [-(2**63), 2**63 - 1] * (n // 2)),
        "duration": column(Type.DURATION, [None] * n),
        "constant": column(Type.DURATION, [-1] * n),
        "": column(Type.INT, [i * 1000 for i in range(n)]),
    }
    key = column(Type.INT, [(-(2**63), 2**63 - 1, 0, -7)[i % 4] for i in range(n)])
    return Points(key, START + np.arange(n, dtype=np.int64) // 3, columns), 16


def one_point() -> tuple[Points, int]:
    """The smallest file: one point, no columns."""
    return Points(text_column(["only"]), np.array([START]), {}), 32768


def clocks() -> tuple[Points, int]:
    """Times and counters that tick: on lines, with distances of whole bytes, of parts of bytes, and of none."""
    rng = np.random.default_rng(12)
    n = 600
    ticks = np.tile(np.arange(n // 3), 3)
    period = np.repeat([60_000, 300_000, 1_000], n // 3)
    columns = {
        "exact": Column(Type.INT, ticks * period + 7),
        "byte": Column(Type.INT, ticks * period + rng.integers(0, 256, n)),
        "bits": Column(Type.DURATION, (ticks * period + rng.integers(0, 7000, n)) * 1000),
        "late": column(Type.TIME, [None if i % 9 == 0 else int(t) * 1000 for i, t in enumerate(ticks * period)]),
    }
    time = START + (ticks * period + rng.integers(0, 900, n)) * 1000
    return Points(text_column([k for k in "abc" for _ in range(n // 3)]), time, columns), 250


def decimals() -> tuple[Points, int]:
    """Decimals of every number of places: amounts, steps, repeats, nulls, and the edges of 64 bits."""
    rng = np.random.default_rng(13)
    n = 300
    units = np.cumsum(rng.integers(-500, 700, n))
    columns = {f"of {kind.places}": Column(kind, units * 10 ** (kind.places or 0) // 100) for kind in DECIMALS}
    edges: list[object] = [Decimal(2**63 - 1).scaleb(-2), Decimal(-(2**63)).scaleb(-2), None, Decimal("-0.01")]
    columns |= {
        "edges": column(DECIMALS[2], edges * (n // 4)),
        "repeated": Column(DECIMALS[4], np.repeat(units[::100], 100)),
        "whole": Column(DECIMALS[9], np.arange(n) * 10**9),
        "null": column(DECIMALS[3], [None] * n),
    }
    return Points(text_column([f"account-{i % 3}" for i in range(n)]), START + np.arange(n) * 60_000_000, columns), 120


CASES = {"fleet": fleet, "extremes": extremes, "one-point": one_point, "clocks": clocks, "decimals": decimals}


def shown(file: PointFile) -> list[str]:
    """A file's description and rows as lines of JSON."""
    about = {
        "day": file.day,
        "key": [file.key_name, file.key_type.value],
        "time": file.time_name,
        "schema": {name: kind.value for name, kind in file.schema.items()},
        "blocks": [[int(v) for v in block] for block in file.blocks.tolist()],
    }

    def plain(value: object) -> object:
        return value.hex() if isinstance(value, bytes) else str(value) if isinstance(value, Decimal) else value

    return [json.dumps(about), *(json.dumps([plain(v) for v in row]) for row in file_rows(file))]


def main() -> None:
    """Write the files that are not there yet."""
    FOLDER.mkdir(exist_ok=True)
    for name, case in CASES.items():
        path = FOLDER / f"v{VERSION}-{name}.points"
        if not path.exists():
            points, block_rows = case()
            data = encode(sort_points(points), key="device", time="ts", day=DAY, block_rows=block_rows)
            file = PointFile.open(lambda o, n, data=data: data[o : o + n], len(data), path.name)  # type: ignore[misc]
            path.write_bytes(data)
            path.with_suffix(".jsonl").write_text("\n".join(shown(file)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
