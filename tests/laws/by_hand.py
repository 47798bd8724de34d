"""Small questions to the oracle: few columns, a range of microseconds, rows as dicts or tuples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import TYPES
from tests.laws import builders as b


def ask(
    *steps: b.Json, of: list[dict[str, Any]], since: int = 0, until: int = 100, **options: Any
) -> list[dict[str, Any]]:
    return answer(b.graph(*steps), of, key="device", time="ts", since=since, until=until, types=TYPES, **options)


def ask_tuples(*steps: b.Json, of: list[dict[str, Any]], **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ask(*steps, of=of, **options)]


def at(ts: int, device: str = "a", **columns: Any) -> dict[str, Any]:
    return {"device": device, "ts": ts, **columns}


def value_of(expr: b.Json, **columns: Any) -> Any:
    return ask(b.select(x=expr), of=[at(1, **columns)])[0]["x"]


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
