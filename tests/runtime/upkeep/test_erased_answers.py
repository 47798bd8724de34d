"""After an erasure a store answers, bit for bit, as a plain one that never had the key; whatever was done before and is
done after it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtime import Store
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.query.scan.compacted_files import Row
from tests.runtime.query.scan.test_compacted import POLICIES, ROWS, answers
from tests.runtime.upkeep.held_bytes import held
from tests.runtime.upkeep.small_constants import small_constants
from tests.runtime.upkeep.test_kept_answers import BASE, TYPES, Kept, table

KEYS = st.sampled_from(["a", "b", "c"])
SOURCES = st.lists(ROWS, min_size=1, max_size=10)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), SOURCES, st.booleans()),
        st.tuples(st.just("ingest"), SOURCES, st.booleans()),
        st.tuples(st.just("replace"), SOURCES, st.integers(0, 9)),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("again"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("compact"), st.just(0), st.just(0)),
        st.tuples(st.just("erase"), KEYS, st.just(0)),
        st.tuples(st.just("sweep"), st.just(0), st.just(0)),
    ),
    max_size=5,
)
NUMBERS = {"a": 4711, "b": -1, "c": 0, "z": 2**63 - 1}


@pytest.fixture(scope="module", autouse=True)
def in_small() -> Iterator[None]:
    """Small tasks, tiers and windows."""
    with small_constants(sparse=False):
        yield


class Erased(Kept):
    """A store that is kept, and the keys that were erased from it."""

    def __init__(self, folder: Path, policy: str, id_column: str | None, integers: bool) -> None:
        self.integers = integers
        self.erased: set[str] = set()
        self.numbers: dict[int, int] = {}
        super().__init__(folder, policy, id_column)

    def key(self, name: str) -> str | int:
        return NUMBERS[name] if self.integers else name

    def table(self, rows: list[Row]) -> dict[str, Any]:
        """With a number of its own: without a key, two sources may be equal."""
        number = self.numbers.setdefault(id(rows), len(self.numbers))
        keyed = [replace(row, key=self.key(str(row.key))) for row in rows if row.key not in self.left_out]
        return table(keyed) | {"source": [number] * len(keyed)}

    left_out: frozenset[str] = frozenset()

    def ingest(self, store: Store, rows: list[Row], **more: Any) -> str:
        before = {s.entry.id for s in self.sources(store)}
        store.ingest(
            "s", self.table(rows), key="k", time="ts", unit="us", duplicates=self.policy, id=self.id, type=TYPES,
            progress=False, **more,
        )  # fmt: skip
        return next(str(s.entry.id) for s in self.sources(store) if s.entry.id not in before or s.entry.id in self.gone)

    def do(self, what: str, one: Any, other: Any) -> bool:
        if what == "erase":
            self.store.erase("s", self.key(one))
            self.erased.add(one)
            return True
        if what == "again" and self.gone:
            id_ = list(self.gone)[one % len(self.gone)]
            self.store.ingest("s", self.table(self.gone[id_]), type=TYPES, progress=False, compact=other, unit="us")
            self.live[id_] = self.gone.pop(id_)
            return True
        return super().do(what, one, other)

    def check(self, number: int, spans_asked: list[tuple[int | None, int | None]]) -> None:
        with Store(self.folder / f"plain{number}", create=True) as plain:
            self.left_out = frozenset(self.erased)
            for rows in [BASE, *self.live.values()]:
                if any(row.key not in self.erased for row in rows):
                    self.ingest(plain, rows, compact=False)
            self.left_out = frozenset()
            for since, until in spans_asked:
                assert answers(self.store, 2, since, until) == answers(plain, 1, since, until)
            mine, others = (store.catalogue.snapshot("s") for store in (self.store, plain))
            assert (mine.first_time, mine.last_time) == (others.first_time, others.last_time)
        report = self.store.verify()
        assert report.ok, str(report)
        self.store.sweep(rules=SweepRules(grace=0))
        assert not held(self.store) & {str(self.key(name)) for name in self.erased}


@settings(max_examples=max(10, settings().max_examples // 4))
@given(st.sampled_from(POLICIES), SOURCES, STEPS, KEYS, STEPS, st.booleans())
def test_answers_are_those_without_the_key(
    policy: tuple[str, str | None], first: list[Row], before: list[Any], key: str, after: list[Any], integers: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = Erased(Path(folder), *policy, integers)
        done: Counter[str] = Counter()
        for what, one, other in [("ingest", first, True), *before, ("erase", key, 0), *after]:
            done[what] += kept.do(what, one, other)
        for what, count in done.items():
            event(f"{what}: {min(count, 2)}")
        event(f"compacted: {any(f.compacted for f in kept.store.files('s'))}")
        kept.check(0, [(None, None)])
        kept.store.close()
