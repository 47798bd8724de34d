"""Cache entries: which are stored, and how long."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.catalogue import FileEntry
from runtime.objects import FolderObjects
from runtime.published import state_cache
from runtime.published.state_cache import CachedObject, Shelf, contents, overfull, superseded


def entry(number: int) -> FileEntry:
    return FileEntry(f"data/s/{number}", 1, 10 + number, 10, 0, 1, f"{number:064x}")


def kept(day: int, modified: int = 0, size: int = 1) -> CachedObject:
    return CachedObject(f"{day}-{modified}", day, day, f"c{day}.{modified}", size, modified)


def compacted(content: int) -> FileEntry:
    return replace(entry(99), content=f"{content % (1 << 256):064x}")


def test_contents_identify_rows_and_not_files() -> None:
    a, b, c = (entry(i) for i in range(3))
    found = [contents(g)[-1] for g in ([(a,), (b,)], [(a,), (b,), (c,)], [(a,)], [(b,)])]
    assert len(set(found)) == len(found)
    assert contents([(a,), (b,), (c,)])[:2] == contents([(a,), (b,)])
    assert contents([(b,), (a,)])[-1] == contents([(a, b)])[-1] == found[0]
    both = compacted(a.content_hash + b.content_hash)
    assert contents([(both,), (c,)]) == contents([(a,), (b,), (c,)])[1:]
    one, other = compacted(5), compacted(a.content_hash + b.content_hash - 5)
    assert contents([(one, other), (c,)])[-1] == found[1]


def test_contents_have_the_order_of_files_where_it_was_unknown_once() -> None:
    a, b = (replace(entry(i), seq=i + 1) for i in range(2))
    turned = [replace(a, seq=2), replace(b, seq=1)]
    assert contents([(a, b)])[-1] == contents([turned])[-1]
    assert contents([(a, b)], unordered=True)[-1] != contents([turned], unordered=True)[-1]


def test_of_days_the_last_two_stay() -> None:
    old, mid, new, other = kept(5, 1), kept(5, 2), kept(5, 3), kept(4, 1)
    assert superseded([mid, old, other, new], thin=False) == [old]


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 9)), unique=True))
def test_of_prefixes_ever_fewer_stay(days: list[tuple[int, int]]) -> None:
    all_of = [kept(*d) for d in days]
    gone = superseded(all_of, thin=True)
    stay = [k for k in all_of if k not in gone]
    assert len(stay) <= 2 * 8
    if all_of:
        newest = max(k.day for k in all_of)
        assert any(k.day == newest for k in stay)
        # Within twice the age of anything there was, something stays.
        for k in gone:
            assert any((newest - s.day) < 2 * (newest - k.day) + 1 for s in stay)
            assert any((newest - s.day).bit_length() == (newest - k.day).bit_length() for s in stay)


def test_the_oldest_go_of_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_cache, "MOST", 10)
    assert overfull([kept(1, 1, 4), kept(2, 2, 4), kept(3, 3, 4)]) == [kept(1, 1, 4)]


def test_the_oldest_go_of_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_cache, "MOST_OBJECTS", 2)
    assert overfull([kept(2, 2), kept(1, 1), kept(3, 3)]) == [kept(1, 1)]


def test_put_and_get(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    first = Shelf(objects, "query", "family")
    assert "abc" not in first
    first.put(-3, -3, "abc", b"state" * 100)
    found = Shelf(objects, "query", "family")
    assert "abc" in found
    assert found.get("abc") == b"state" * 100
    assert "abc" not in Shelf(objects, "query", "another")
    # What is put where something is already had been of no use.
    found.put(-3, -3, "abc", b"better")
    assert Shelf(objects, "query", "family").get("abc") == b"better"


def test_states_of_days_that_follow_each_other(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    names = [f"{n:064x}" for n in range(1, 6)]
    shelf = Shelf(objects, "query", "family")
    for first, last, name in ((1, 1, names[0]), (2, 2, names[1]), (1, 3, names[2]), (4, 4, names[3]), (5, 9, names[4])):
        shelf.put(first, last, name, b"x")
    found = Shelf(objects, "query", "family")
    assert found.tiles(1, 4) == {names[2]: [names[2]], f"{3 + 4:064x}": [names[2], names[3]]}
    assert found.tiles(1, 2) == {names[0]: [names[0]], f"{1 + 2:064x}": names[:2]}
    assert found.tiles(5, 8) == {}


def test_names_of_earlier_versions_are_deleted_in_time(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    objects.put(f"cache/query/old/{10**9 + 7}-abc", b"x")
    (found,) = [CachedObject.of(info) for info in objects.list("cache/")]
    assert found is not None
    assert (found.first, found.day, found.content) == (7, 7, "abc")


def test_tidying_leaves_other_queries_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FolderObjects(tmp_path)
    other = Shelf(objects, "other", "family")
    other.put(1, 1, "x", b"x")
    for n in range(5):
        Shelf(objects, "query", "family").put(1, 1, f"c{n}", b"x")
    monkeypatch.setattr(state_cache, "MOST", 1)
    Shelf(objects, "query", "family").tidy(thin=False)
    assert "x" in Shelf(objects, "other", "family")
    assert len(list(objects.list("cache/query/"))) == 0


def test_states_of_superseded_versions_go_after_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, points = Store(tmp_path), df.stream("s")
    n = np.arange(100)
    store.ingest("s", {"k": n % 3, "t": n * 1_000_000, "v": n}, key="k", time="t", unit="us", progress=False)
    digests = []
    for version in range(4):
        digests.append(store.publish(points.agg(n=df.sum(df.col("v") + version)), "total").digest)
        for number in range(1, version + 2):
            store.query(f"total@{number}", progress=False)

    def cached() -> set[str]:
        found = {o.path.split("/")[1] for o in store.objects.list("cache/")}
        return {d for d in digests if state_cache.named_in_cache(d) in found}

    assert cached() == set(digests)
    assert store.tidy_caches() == []  # within the hour
    for o in list(store.objects.list("cache/")):
        if state_cache.named_in_cache(digests[0]) in o.path or state_cache.named_in_cache(digests[3]) in o.path:
            earlier = (o.modified - 2 * state_cache.GRACE) / 1e6
            os.utime(tmp_path / o.path, (earlier, earlier))
    assert store.sweep(dry_run=True).removed == ()
    assert cached() == set(digests)
    store.sweep()
    # The first version is old and superseded, the second was written of late, the last two are current.
    assert cached() == set(digests[1:])
    assert store.query("total@1", progress=False)["n"] == [n.sum()]
    assert cached() == set(digests)
    monkeypatch.setattr(state_cache, "MOST_IN_ALL", 0)
    store.publish(points.agg(n=df.count()), "total")
    assert cached() == set()
