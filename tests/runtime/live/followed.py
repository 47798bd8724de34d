"""Stores whose points come in parts, with a follower at their side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.live import CurrentAnswer, RowChange, applied
from runtime.live.following import Follower, FollowOptions
from runtime.result.result import Result
from runtime.testing.oracle.strategies import BASE, DAY, KEY, TIME, Point
from tests.laws.engine import STREAM, as_columns, schema_point


def store_of_types(folder: Path) -> Store:
    """A store with one point, long before all others, that settles the columns' types."""
    store = Store(folder, create=True)
    put(store, [{**schema_point("a"), TIME: BASE - 90 * DAY}])
    return store


def put(store: Store, points: Sequence[Point]) -> None:
    """Ingest points, which no other part is equal to, as a source."""
    number = len(store.sources(STREAM)) if store.catalogue.streams() else 0
    store.ingest(
        STREAM, as_columns(points), key=KEY, time=TIME, unit="us", source=f"part {number}", compact=False,
        progress=False,
    )  # fmt: skip


def follower(
    store: Store, metric: df.Stream | str, mode: str = "changes", lateness: str = "0s", since: int | None = None,
    trigger: df.Trigger | None = None, clock: Callable[[], float] = time.monotonic,
) -> Follower:  # fmt: skip
    """A follower that looks when it is asked to."""
    found = store._followed(metric, since, None, FollowOptions.of("1s", lateness, None, mode, trigger))[0]
    found.clock = clock
    return found


def rows_of(result: Result) -> list[dict[str, object]]:
    """The rows of an answer as changes have them."""
    rows = result.to_dict()["rows"]
    assert isinstance(rows, list)
    return [dict(zip(result.columns, row, strict=True)) for row in rows]


class Receiver:
    """Applies what a follower emits, as a receiver would that sees nothing else."""

    def __init__(self, of: Follower) -> None:
        self.of = of
        self.rows: list[Any] = []
        self.changes: list[RowChange] = []

    def look(self, is_last: bool = False) -> CurrentAnswer | None:
        """Let the follower look once."""
        answer = self.of.step(is_last)
        if answer is not None:
            self.rows = applied(self.rows, answer.changes)
            self.changes += answer.changes
        return answer


def asked(store: Store, metric: df.Stream, since: int | None, beside: Receiver) -> Result | None:
    """The answer of a query; None if it is refused, as the look of the receiver is then."""
    try:
        return store.query(metric, since=since, progress=False)
    except DataflowError as error:
        with pytest.raises(type(error)):
            beside.look()
        return None


__all__ = ["Receiver", "asked", "follower", "put", "rows_of", "store_of_types"]
