"""Rejected records with an erased key go; others stay and can still be offered again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Store
from runtime.ingest.text.rejects import COPY
from runtime.upkeep.erased_rejects import searched

T = 19_800 * 86_400_000_000


@pytest.mark.parametrize(
    ("key", "text", "there"),
    [
        ("alice", '{"k": "alice"}', True),
        ("alice", "alice,1", True),
        ("alice", "alice@example.org,1", True),
        ("alice", "malice,1", False),
        ("alice", "alice2,1", False),
        ("alice", r'{"k": "\u0061lice"}', True),
        ("é", r'{"k": "\u00e9"}', True),
        ("😀", r'{"k": "\ud83d\ude00"}', True),
        ('a"b', r'{"k": "a\"b"}', True),
        ('a"b', '"a""b",1', True),
        ("a/b", r'{"k": "a\/b"}', True),
        ("a\nb", r'{"k": "a\nb"}', True),
        (7, "7,1", True),
        (7, "17,1", False),
        (-7, '{"k":-7}', True),
        ("#1", "x#1y", False),
        ("#1", "x#1", True),
    ],
)
def test_it_is_searched_as_text(key: str | int, text: str, there: bool) -> None:
    assert searched(key)(text) is there


@given(st.text(min_size=1), st.booleans())
def test_what_json_writes_is_found(key: str, ascii_only: bool) -> None:
    assert searched(key)(json.dumps({"k": key}, ensure_ascii=ascii_only))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store", create=True)
    source = tmp_path / "f.csv"
    source.write_text(f"k,ts,v\nalice,{T},1\nbob,{T},1\nalice,bad,1\nbob,bad,2\nmalice,bad,3\n")
    made.ingest("s", source, key="k", time="ts", unit="us", progress=False)
    return made


def test_other_records_stay_and_can_be_taken(store: Store) -> None:
    (before,) = store.sources("s")
    report = store.erase("s", "alice")
    assert (report.rejects, report.rejects_objects) == (1, 1)
    (left,) = store.rejects("s")
    assert [reject.text for reject, _ in left.kept.records] == ["bob,bad,2", "malice,bad,3"]
    assert left.kept.not_listed == 1
    assert store.sources("s")[0].entry == before.entry
    assert store.catalogue.snapshot("s").rejected == 3
    assert store.verify().ok
    assert store.erase("s", "alice").rejects == 0
    assert store.erase("s", "bob").rejects == 1
    (left,) = store.rejects("s")
    assert left.kept.not_listed == 2


def test_retried_rejects_leave_the_key_out(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the search of the text did not find it."""
    source = tmp_path / "g.csv"
    source.write_text(f"k,ts,v\nbob,{T + 1},1\nalice,78x2024,1\nbob,78x2024,2\n")
    store.ingest("s", source, unit="us", progress=False)
    monkeypatch.setattr("runtime.upkeep.erased_rejects.searched", lambda key: lambda text: False)
    store.erase("s", "alice")
    report = store.retry_rejects("s", time_format=["%jx%Y"], progress=False)
    assert report.committed == 1
    assert "alice" not in store.head("s", 9).columns["k"].to_list()


def test_rejects_are_read_while_they_are_written_anew(store: Store) -> None:
    (info,) = store.objects.list("rejects/")
    data = store.objects.read(info.path, 0, info.size)
    store.objects.put(info.path + COPY, data)
    store.objects.delete(info.path)
    assert len(store.rejects("s")[0].kept.records) == 3
    store.erase("s", "alice")
    assert [i.path for i in store.objects.list("rejects/")] == [info.path]
    assert len(store.rejects("s")[0].kept.records) == 2
