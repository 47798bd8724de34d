"""Recorded data, ingested in any order and grouping, against independent results: every row, exactly."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from deploy.metric_file import load_metric
from runtime import Store

EXAMPLES = Path(df.__file__).parent / "examples"
SPAN = {"since": "2026-05-01", "until": "2026-08-01"}


@pytest.fixture(scope="session")
def truth(shared_data: Path) -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads((shared_data / "truth.json").read_text())
    return loaded


def metric(name: str) -> df.Stream:
    return load_metric(str(EXAMPLES / name))


def rows(result: Any) -> list[dict[str, Any]]:
    return [dict(zip(result.columns, row, strict=True)) for row in result]


def mesh_rows(result: Any) -> list[dict[str, Any]]:
    return sorted(
        (
            {"model": r["hw_model"] or "(none)", "nodes": r["nodes"], "alive_us": r["alive"], "known_us": r["known"]}
            for r in rows(result)
        ),
        key=lambda r: str(r["model"]),
    )


def mesh_pieces(shared_data: Path, folder: Path, order: str) -> list[list[Path]]:
    """The four files as groups that are ingested one call each."""
    files = sorted(shared_data.glob("mesh-heartbeats-*.ndjson.gz"))
    if order == "backwards, one by one":
        return [[f] for f in reversed(files)]
    if order == "all at once":
        return [files]
    lines = [line for f in files for line in gzip.decompress(f.read_bytes()).splitlines(keepends=True)]
    # Fifty interleaved pieces: every one has points of the whole time.
    pieces = [folder / f"piece-{i}.ndjson" for i in range(50)]
    for i, piece in enumerate(pieces):
        piece.write_bytes(b"".join(lines[i::50]))
    return [pieces]


@pytest.mark.parametrize(
    ("order", "duplicates"),
    [
        ("all at once", "keep"),
        ("backwards, one by one", "exact"),
        ("fifty interleaved pieces", "exact"),
    ],
)
def test_mesh(shared_data: Path, truth: dict[str, Any], tmp_path: Path, order: str, duplicates: str) -> None:
    store = Store(tmp_path / "store", create=True)
    for group in mesh_pieces(shared_data, tmp_path, order):
        store.ingest("mesh", *map(str, group), key="node", time="ts", unit="iso", duplicates=duplicates)
    result = store.query(metric("mesh_uptime.py"), **SPAN)
    assert mesh_rows(result) == sorted(truth["mesh_uptime_by_model"], key=lambda r: str(r["model"]))
    assert result.proof.to_dict()["complete"] is True


def test_clicks(shared_data: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.ingest("clicks", str(shared_data / "clicks.ndjson.gz"), key="user_id", time="ts", unit="s")
    got = [
        {"device": r["device"], "sessions": r["sessions"], "events": r["events"], "span_s": r["span"] // 1_000_000}
        for r in rows(store.query(metric("clicks_sessions.py")))
    ]
    assert got == truth["clicks_sessions"]


def test_retail(shared_data: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.ingest("retail", str(shared_data / "retail.csv.gz"), key="invoice", time="ts", unit="iso")
    result = store.query(metric("retail_by_month.py")).to_dict()
    # Prices are read as decimals, so the sums need no rounding.
    got = [
        {"month": str(month)[:7], "line_count": lines, "invoices": invoices, "net": net}
        for month, lines, invoices, net in result["rows"]
    ]
    assert got == [{**r, "net": Decimal(r["net"])} for r in truth["retail_by_month"]]
