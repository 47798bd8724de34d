"""The compiled engine behind one function with the oracle's signature."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.testing.oracle.rows import Json, Value
from runtime.testing.oracle.strategies import BASE, DAY, KEY, TIME, TYPES, Point

STREAM = "s"
_ONE_OF_EACH = {"bool": True, "int64": 1, "float64": 0.5, "string": "x"}
NO_PARAMS: Mapping[str, Value] = {}


def schema_point(key: str | int) -> Point:
    """A point with every column, which fixes the types, long after every queried range."""
    return {KEY: key, TIME: BASE + 90 * DAY, **{name: _ONE_OF_EACH[kind] for name, kind in TYPES.items()}}


def as_columns(points: Sequence[Point]) -> dict[str, list[Any]]:
    """The points as an ingest takes them from memory; None where a point does not report a column."""
    return {name: [point.get(name) for point in points] for name in (KEY, TIME, *TYPES)}


def parts(points: Sequence[Point], count: int) -> list[Sequence[Point]]:
    """The points in up to ``count`` parts; in one if two parts are alike, since a source counts once."""
    edges = [round(i * len(points) / count) for i in range(count + 1)]
    found = [points[start:end] for start, end in itertools.pairwise(edges) if end > start]
    return found if all(a != b for a, b in itertools.combinations(found, 2)) else [points]


class Engine:
    """Stores under ``folder``, one for each set of points that was asked about; a set asked about again is reused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[str, Any] = {}

    def __repr__(self) -> str:
        return "Engine"

    def run(
        self,
        graph: Json,
        points: Sequence[Point],
        *,
        since: int,
        until: int,
        params: Mapping[str, Value] = NO_PARAMS,
        duplicates: str = "keep",
        id: str | None = None,
        sources: int = 1,
    ) -> list[dict[str, Value]]:
        """The engine's answer, in the form of ``runtime.testing.oracle.answer``.

        The points are ingested in order, as ``sources`` sources; the first point must tell every column's type.
        """
        import dataflow

        store = self._store(points, duplicates, id, sources)
        result = store.query(dataflow.from_json(json.dumps(graph)), since=since, until=until, params=dict(params))
        lists = {name: column.to_list() for name, column in result.columns.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def _store(self, points: Sequence[Point], duplicates: str, id: str | None, sources: int) -> Any:
        from runtime import Store

        name = repr((points, duplicates, id, sources))
        if name in self._stores:
            return self._stores[name]
        store = Store(str(self._folder / f"store-{len(self._stores)}"), create=True)
        for part in parts(points, sources):
            store.ingest(STREAM, as_columns(part), key=KEY, time=TIME, unit="us", duplicates=duplicates, id=id)
        self._stores[name] = store
        return store
