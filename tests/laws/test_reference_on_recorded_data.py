"""The oracle against independent DuckDB results on recorded data, for part of the keys."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import MINUTE
from tests.laws.builders import ALIVE, ROWS, agg, beats, col, extend, fn, graph, group, named, sessions, truncate

Points = list[dict[str, Any]]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def chosen(key: str, one_in: int) -> bool:
    """Whether the key is in the part that is small enough for the oracle."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % one_in == 0


def truth(folder: Path, name: str, table: str, where: Callable[[str], str]) -> list[tuple[Any, ...]]:
    """The truth's own SQL, asked about a part of the keys."""
    duckdb = pytest.importorskip("duckdb", reason="the truths are computed by DuckDB")
    pytest.importorskip("pytz", reason="DuckDB needs it for times with a zone")
    sql = (folder / "truth.sql").read_text()
    start = sql.index(f"create or replace temp view {table}")
    script = (
        "set timezone = 'UTC';"
        + sql[start : sql.index("order by 1;", sql.index(f"view {name} as")) + len("order by 1;")]
    )
    script = (
        where(script).replace("'mesh-heartbeats", f"'{folder}/mesh-heartbeats").replace("'clicks", f"'{folder}/clicks")
    )
    connection = duckdb.connect()
    connection.execute(script)
    rows: list[tuple[Any, ...]] = connection.execute(f"select * from {name}").fetchall()
    return rows


def in_list(column: str, keys: set[str]) -> str:
    return f"{column} in ({', '.join(repr(key) for key in sorted(keys))})"


def test_uptime_of_radio_nodes_by_model(shared_data: Path) -> None:
    points: Points = []
    for path in sorted(shared_data.glob("mesh-heartbeats-*.ndjson.gz")):
        points += [{**p, "ts": us(p["ts"])} for p in lines(path) if chosen(p["node"], 8)]
    by_model = graph(
        beats(15 * MINUTE),
        extend(model=fn("fill_null", col("hw_model"), {"lit": "(none)", "type": "string"})),
        group(
            named(model=col("model")),
            nodes=agg("count_distinct", col("node")),
            alive=agg("duration", ALIVE),
            known=agg("known_time"),
        ),
    )
    since, until = us("2026-05-01T00:00:00+00:00"), us("2026-08-01T00:00:00+00:00")
    found = answer(by_model, points, key="node", time="ts", since=since, until=until, duplicates="exact")
    nodes = in_list("node", {p["node"] for p in points})
    expected = truth(
        shared_data,
        "mesh_uptime_by_model",
        "mesh_points",
        lambda sql: sql.replace("hops:'BIGINT'}));", f"hops:'BIGINT'}}) where {nodes});"),
    )
    assert [tuple(row.values()) for row in found] == expected
    assert len(expected) > 10


def test_sessions_of_clicks_by_device(shared_data: Path) -> None:
    points = [{**p, "ts": p["ts"] * 1_000_000} for p in lines(shared_data / "clicks.ndjson.gz")]
    by_device = graph(
        sessions(gap=30 * MINUTE),
        group(
            named(device=col("device")),
            sessions=ROWS,
            events=agg("sum", col("count")),
            span=agg("sum", col("duration")),
        ),
    )
    times = [p["ts"] for p in points]
    found = answer(by_device, points, key="user_id", time="ts", since=min(times), until=max(times) + 1)
    expected = json.loads((shared_data / "truth.json").read_text())["clicks_sessions"]
    assert [
        {"device": r["device"], "sessions": r["sessions"], "events": r["events"], "span_s": int(r["span"]) // 1_000_000}
        for r in found
        if r["span"] is not None
    ] == expected


def test_revenue_by_month(shared_data: Path) -> None:
    with gzip.open(shared_data / "retail.csv.gz", "rb") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        points: Points = [
            {
                "invoice": row["invoice"],
                "ts": us(row["ts"] + "+00:00"),
                "quantity": int(row["quantity"]),
                "price": float(row["unit_price"]),
            }
            for row in csv.DictReader(text)
            if row["ts"] < "2011-02"
        ]
    by_month = graph(
        group(
            named(month=truncate("1mo")),
            lines=ROWS,
            invoices=agg("count_distinct", col("invoice")),
            net=agg("sum", fn("mul", col("quantity"), col("price"))),
        )
    )
    until = us("2011-02-01T00:00:00+00:00")
    found = answer(by_month, points, key="invoice", time="ts", since=0, until=until)
    expected = json.loads((shared_data / "truth.json").read_text())["retail_by_month"][:2]
    assert [row["month"] for row in found] == [us(e["month"] + "-01T00:00:00+00:00") for e in expected]
    assert [(r["lines"], r["invoices"]) for r in found] == [(e["line_count"], e["invoices"]) for e in expected]
    # Each product is a rounded float; their sum differs from the cents by less than a thousandth of one.
    assert all(
        abs(Decimal(float(r["net"] or 0)) - Decimal(e["net"])) < Decimal("1e-5")
        for r, e in zip(found, expected, strict=True)
    )
