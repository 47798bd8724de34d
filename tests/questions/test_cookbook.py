"""The metrics of the cookbook: each is made as it stands there, has a JSON form and a text, and fits a stream."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dataflow as df
from runtime import Store

PAGE = Path(df.__file__).parent / "COOKBOOK.md"
COLUMNS = {
    "machines": ("device", {"status": "up", "site": "n", "firmware": "1", "cause": "x"}),
    "sensors": (
        "device",
        {"temp": 1.0, "level": 1.0, "charge": 1.0, "counter": 1, "state": "up", "lat": 51.5, "lon": 0.1},
    ),
    "alarms": ("device", {"site": "n", "tag": "x"}),
    "prices": ("symbol", {"price": 1.0}),
    "clicks": ("user", {"page": "view", "utm": "ads", "url": "https://A.org/x", "country": "de"}),
    "cases": ("case", {"activity": "a"}),
    "payments": ("customer", {"amount": 5, "order": "o", "status": "open", "note": "1.234,56"}),
    "refunds": ("customer", {"amount": 5}),
    "trades": ("symbol", {"size": 1}),
    "quotes": ("symbol", {"bid": 1.0}),
}


def metrics() -> dict[str, df.Stream]:
    """The metrics of the page by name; streams that no step follows are left out."""
    made: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(block, made)
    return {name: found for name, found in made.items() if isinstance(found, df.Stream) and len(found.steps) > 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("cookbook") / "store")
    for name, (key, values) in COLUMNS.items():
        points = {key: ["a", "a", "b"], "t": [0, 60, 120], **{column: [value] * 3 for column, value in values.items()}}
        store.ingest(name, points, key=key, time="t", unit="s", progress=False)
    return store


@pytest.mark.parametrize("name", sorted(metrics()))
def test_every_metric(store: Store, name: str) -> None:
    metric = metrics()[name]
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    assert store.explain(metric)


def test_one_of_them(store: Store) -> None:
    found = metrics()
    assert len(found) > 50
    assert [*store.query(found["domains"], progress=False)] == [("a.org", 3)]
    assert [row[1] for row in store.query(found["read"], progress=False)] == [1234.56] * 3
