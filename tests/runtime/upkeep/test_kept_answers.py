"""Any upkeep leaves the answers of a plain store that only ingested what is there, bit for bit."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtime import Store
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.query.scan.compacted_files import Row
from tests.runtime.query.scan.test_compacted import POLICIES, ROWS, answers
from tests.runtime.upkeep.small_constants import small_constants

LATER = 19_800 * 86_400_000_000
"""Numeric times before 1970 are taken for a wrong unit, so they are moved."""

SOURCES = st.lists(ROWS, min_size=1, max_size=10)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), SOURCES, st.booleans()),
        st.tuples(st.just("ingest"), SOURCES, st.booleans()),
        st.tuples(st.just("replace"), SOURCES, st.integers(0, 9)),
        st.tuples(st.just("anew"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("again"), st.integers(0, 9), st.booleans()),
        st.tuples(st.sampled_from(["compact", "due", "sweep"]), st.just(0), st.just(0)),
    ),
    min_size=3,
    max_size=9,
)


@pytest.fixture(scope="module", autouse=True)
def in_small() -> Iterator[None]:
    """Small tasks, spans, tiers and windows."""
    with small_constants():
        yield


def table(rows: list[Row]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"k": [r.key for r in rows], "ts": [LATER + r.time for r in rows]}
    return columns | {name: [r.values[name] for r in rows] for name in ("x", "n", "t", "id")}


BASE = [Row("z", 0, 0, {"x": 1.0, "n": 1, "t": "up", "id": "base"})]
"""Stays, so that all stores have all columns."""

TYPES = {"x": "float64", "n": "int64", "t": "string", "id": "string"}


class Kept:
    """A store that is kept, and the sources that are in it, in the order of their commits."""

    def __init__(self, folder: Path, policy: str, id_column: str | None) -> None:
        self.store = Store(folder / "kept", create=True)
        self.folder, self.policy, self.id = folder, policy, id_column
        self.live: dict[str, list[Row]] = {}
        self.gone: dict[str, list[Row]] = {}
        self.ingest(self.store, BASE)

    def ingest(self, store: Store, rows: list[Row], **more: Any) -> str:
        before = {s.entry.id for s in self.sources(store)}
        store.ingest(
            "s", table(rows), key="k", time="ts", unit="us", duplicates=self.policy, id=self.id, type=TYPES,
            progress=False, **more,
        )  # fmt: skip
        new = [s.entry.id for s in self.sources(store) if s.entry.id not in before or s.entry.id in self.gone]
        return new[0]

    @staticmethod
    def sources(store: Store) -> list[Any]:
        return [s for s in store.sources("s") if not s.entry.undone] if "s" in store.catalogue.streams() else []

    def nth(self, at: int) -> str:
        return list(self.live)[at % len(self.live)]

    def do(self, what: str, one: Any, other: Any) -> bool:
        """One step of upkeep; False if there is nothing to do it to."""
        if what == "ingest":
            if one in self.live.values() or one in self.gone.values():
                return False
            self.live[self.ingest(self.store, one, compact=other)] = one
            return True
        if what == "again":
            if not self.gone:
                return False
            id_ = list(self.gone)[one % len(self.gone)]
            rows = self.gone[id_]
            self.store.ingest("s", table(rows), type=TYPES, progress=False, compact=other, unit="us")
            self.live[id_] = self.gone.pop(id_)
            return True
        if not self.live:
            return False
        if what == "undo":
            id_ = self.nth(one)
            assert self.store.undo("s", id_).sources
            self.gone[id_] = self.live.pop(id_)
        elif what == "anew":
            id_ = self.nth(one)
            rows = self.live.pop(id_)
            self.store.ingest("s", table(rows), type=TYPES, progress=False, compact=other, unit="us", replace=id_)
            self.live[id_] = rows
        elif what == "replace":
            if one in self.live.values() or one in self.gone.values():
                return False
            id_ = self.nth(other)
            new = self.ingest(self.store, one, replace=id_)
            self.gone[id_] = self.live.pop(id_)
            self.live[new] = one
        elif what == "compact":
            self.store.compact(progress=False)
        elif what == "due":
            self.store.compaction("s", progress=False).what_is_due(LATER - 10**12, LATER + 10**12)
        elif what == "sweep":
            self.store.sweep(rules=SweepRules(grace=0))
        return True

    def check(self, number: int, spans_asked: list[tuple[int | None, int | None]]) -> None:
        """The answers are those of a plain store with the live sources."""
        with Store(self.folder / f"plain{number}", create=True) as plain:
            for rows in [BASE, *self.live.values()]:
                self.ingest(plain, rows, compact=False)
            for since, until in spans_asked:
                assert answers(self.store, 2, since, until) == answers(plain, 1, since, until)
        report = self.store.verify()
        assert report.ok, str(report)
        assert sum(f.rows for f in self.store.files("s")) <= 1 + sum(map(len, self.live.values()))


@settings(max_examples=max(10, settings().max_examples // 4))
@given(st.sampled_from(POLICIES), STEPS, st.sampled_from([None, 0, 7 * 3_600_000_000, 86_400_000_000]))
def test_answers_are_those_of_a_plain_store(
    policy: tuple[str, str | None], steps: list[Any], since: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder), *policy)
        done: Counter[str] = Counter()
        for what, one, other in steps:
            done[what] += kept.do(what, one, other)
        for what, count in done.items():
            event(f"{what}: {min(count, 2)}")
        if kept.live:
            event(f"compacted: {any(f.compacted for f in kept.store.files('s'))}")
            kept.check(0, [(None, None), (None if since is None else LATER + since, None)])
        kept.store.close()
