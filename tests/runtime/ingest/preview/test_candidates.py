"""Which fields are proposed as key and time, and in which unit."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

import runtime

S = 1_700_000_000
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def found(records: list[dict[str, Any]]) -> dict[str, Any]:
    content = "".join(json.dumps(r) + "\n" for r in records).encode()
    return dict(runtime.preview(io.BytesIO(content)).options)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_units(unit: str, factor: int) -> None:
    records = [{"sensor": f"s{n % 2}", "when": (S + n) * factor, "n": n} for n in range(8)]
    assert found(records) == {"key": "sensor", "time": "when", "unit": unit}
    records = [r | {"when": r["when"] + 0.5} for r in records] if unit == "s" else records
    assert found(records)["unit"] == unit


@pytest.mark.parametrize(
    ("fields", "key", "time"),
    [
        ({"id": ["e1", "e2", "e3"], "user": ["a", "b", "a"], "ts": DAYS}, "user", "ts"),
        ({"status": ["a", "b", "a"], "host": ["x", "x", "x"], "t": [S, S + 1, S + 2]}, "host", "t"),
        ({"updated_at": DAYS[:1] * 3, "time": DAYS, "k": ["a"] * 3}, "k", "time"),
        ({"bytes": [S, S + 5, S + 9], "ts": [S, S + 1, S + 2], "device_id": [5, 6, 5]}, "device_id", "ts"),
        ({"deviceId": [S + 1, S + 2, S + 1], "ts": [S, S + 1, S + 2]}, "deviceId", "ts"),
        ({"uid": ["p", "q", "r"], "ts": [S, S + 1, S + 2]}, "uid", "ts"),
        ({"site": ["p", "q", "p"], "date": DAYS[:1] * 3, "clock": ["13:05", "13:06", "13:07"]}, "site", "date,clock"),
        ({"dropoff_time": DAYS, "pickup_time": DAYS[:2] + DAYS[:1], "k": ["a", "b", "a"]}, "k", "pickup_time"),
        ({"ship_date": [*DAYS * 7, None], "order_date": DAYS[:2] * 11, "k": ["a"] * 22}, "k", "order_date"),
        ({"id": [f"r{n}" for n in range(22)], "side": ["a", "b"] * 11, "ts": DAYS[:2] * 11}, "side", "ts"),
        ({"account": ["a", "b", None, None], "site": ["x", "y", "x", "y"], "ts": [*DAYS, *DAYS[:1]]}, "site", "ts"),
        ({"a,b": ["p", "q", "p"], "x|y": ["p", "q", "p"], "z": ["p", "q", "p"], "ts": [S, S + 1, S + 2]}, "z", "ts"),
    ],
)  # fmt: skip
def test_names_and_values(fields: dict[str, list[Any]], key: str, time: str) -> None:
    records = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    options = found(records)
    assert (options["key"], options["time"]) == (key, time)


def test_a_source_without_keys_has_one_for_all_of_it() -> None:
    assert found([{"ts": S + n, "temp": n % 3, "x": n / 7} for n in range(9)]) == {
        "time": "ts", "unit": "s", "key_value": "{stem}",
    }  # fmt: skip
