"""What a catalogue read before is what another reads anew, and it is not read again."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import DataflowError
from runtime import Store
from runtime.catalogue.items.entries import day_name
from runtime.catalogue.key_value import KeyScan
from runtime.catalogue.recent import Recent
from runtime.catalogue.stores.sqlite import SqliteTable

DAY = 86_400_000_000
START = 19_800


PUTS = st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 12))


@given(st.lists(PUTS, max_size=30))
def test_the_newest_that_fit_are_kept(puts: list[tuple[str, int, int, int]]) -> None:
    """Of each subject only one version, the one that was put last."""
    recent, order = Recent[tuple[str, int, int, int]](10), list[tuple[str, int, int, int]]()
    for put in puts:
        subject, version, name, weight = put
        recent.put(subject, version, name, put, weight)
        order = [put, *(o for o in order if o[:3] != put[:3] and (o[0] != subject or o[1] == version))]
        kept: list[tuple[str, int, int, int]] = []
        while order and sum(w for *_, w in kept) + order[0][3] <= 10:
            kept.append(order.pop(0))
        order = kept
        found = [recent.get(s, v, n) for s in "ab" for v in range(3) for n in range(4)]
        assert [f for f in found if f is not None] == sorted(kept)


def put(store: Store, day: int, salt: int) -> None:
    columns = {"k": ["a", f"b{salt % 3}"], "t": [(START + day) * DAY + salt, (START + day) * DAY + 5], "v": [1.0, None]}
    store.ingest("s", columns, key="k", time="t", unit="us", progress=False)


STEPS = st.tuples(st.sampled_from(["put", "put", "undo", "compact", "retain", "erase"]), st.integers(0, 40))
BOUNDS = st.none() | st.integers(-2, 45).map(lambda day: (START + day) * DAY)
RANGES = st.lists(st.tuples(BOUNDS, BOUNDS), min_size=1, max_size=3)


@settings(max_examples=max(10, settings().max_examples // 3))
@given(st.lists(STEPS, min_size=1, max_size=6), RANGES)
def test_it_is_as_if_read_anew(steps: list[tuple[str, int]], ranges: list[tuple[int | None, int | None]]) -> None:
    """One store asks all the time, another changes the stream; each answer is that of a store opened for it."""
    with TemporaryDirectory() as folder, Store(folder, create=True) as asking, Store(folder) as writing:
        put(writing, 3, 0)
        for number, (what, n) in enumerate(steps, 1):
            with suppress(DataflowError):  # nothing is left to undo, erase or keep
                if what == "put":
                    put(writing, n, number)
                elif what == "undo":
                    sources = [s.entry.id for s in writing.sources("s") if not s.entry.undone]
                    writing.undo("s", *sources[n % max(1, len(sources)) :][:1])
                elif what == "compact":
                    writing.compact("s", progress=False)
                elif what == "retain":
                    writing.retain("s", before=day_name(START + n // 8))
                else:
                    writing.erase("s", f"b{n % 3}")
            with Store(folder) as fresh:
                for since, until in ranges:
                    expected = fresh.catalogue.snapshot("s", since, until)
                    assert [asking.catalogue.snapshot("s", since, until) for _ in range(2)] == [expected] * 2


def test_days_are_read_once_for_each_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[KeyScan] = []
    usual = SqliteTable.scan
    monkeypatch.setattr(SqliteTable, "scan", lambda table, request: scans.append(request) or usual(table, request))
    with Store(tmp_path, create=True) as store:
        for day in range(20):
            put(store, day, day)
        for many in (2, 0, 0):
            scans.clear()
            store.catalogue.snapshot("s")
            assert len(scans) == many
        put(store, 50, 1)
        scans.clear()
        store.catalogue.snapshot("s")
        assert scans


def test_damage_is_found_by_who_reads_it(tmp_path: Path) -> None:
    """An answer from before the damage is right; an audit, and another process, read what is stored."""
    with Store(tmp_path, create=True) as store:
        put(store, 1, 1)
        before = store.catalogue.snapshot("s")
        with closing(sqlite3.connect(tmp_path / "catalogue.sqlite")) as table, table:
            assert table.execute("delete from items where partition like 's/DAY#%'").rowcount == 1
        assert store.catalogue.snapshot("s") == before
        assert store.catalogue.audit("s")
        with Store(tmp_path) as fresh, pytest.raises(DataflowError, match="dataflow recover"):
            fresh.catalogue.snapshot("s")
