"""What was ingested, and how a person names a source."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli import main
from runtime import Store
from runtime.catalogue import SourceEntry, Waiting
from runtime.errors import QueryError
from runtime.upkeep.source_list import SHORTEST, find_sources, shortened


def entry(name: str, id_: str | None = None, rows: int = 3) -> SourceEntry:
    digest = hashlib.sha256(name.encode()).hexdigest() if id_ is None else id_.ljust(64, "0")
    return SourceEntry(digest, name, 10, rows_read=rows, rows_committed=rows)


def write(folder: Path, name: str, rows: int, bad: int = 0) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    lines = [f'{{"k":"a","t":{1_709_251_200 + i},"v":{len(name)}}}' for i in range(rows)]
    path.write_text("\n".join([*lines, *['{"k":"a","t":"never"}'] * bad]))
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    made = Store(tmp_path / "store", create=True)
    for name, rows, bad in (("one.ndjson", 3, 0), ("two.ndjson", 4, 2), ("in/one.ndjson", 5, 0)):
        write(tmp_path, name, rows, bad)
        made.ingest("s", name, key="k", time="t", unit="s", progress=False)
    return made


def test_the_newest_first(store: Store) -> None:
    before = time.time_ns() // 1000
    found = store.sources("s")
    assert [s.entry.name for s in found] == ["in/one.ndjson", "two.ndjson", "one.ndjson"]
    assert [s.seq for s in found] == [3, 2, 1]
    assert [(s.entry.rows_committed, s.entry.rejected) for s in found] == [(5, 0), (4, 2), (3, 0)]
    assert all(before - 60_000_000 < s.at <= before for s in found)
    assert [s.entry.bytes for s in found] == [Path(s.entry.name).stat().st_size for s in found]
    assert [s.seq for s in store.sources("s", limit=2)] == [3, 2]
    assert all(s.entry.id.startswith(s.short) and len(s.short) == SHORTEST for s in found)
    with pytest.raises(QueryError, match="at least 1"):
        store.sources("s", limit=0)
    with pytest.raises(QueryError, match="no stream 'S'"):
        store.sources("S")


def test_the_same_on_s3(aws: None) -> None:
    there = Store("s3://lake/one", create=True)
    for n in range(3):
        there.ingest("s", BytesIO(b'{"k":"a","t":%d}' % n), key="k", time="t", unit="s", progress=False)
    assert [s.seq for s in there.sources("s")] == [3, 2, 1]


def test_quarantined_and_ingested_later(store: Store) -> None:
    schema = store.catalogue.schema("s")
    assert schema is not None
    poor = replace(entry("poor"), rows_read=0, rows_committed=0, quarantined="not UTF-8")
    store.catalogue.commit("s", schema, poor, [], "a1")
    first, *_ = store.sources("s")
    assert (first.entry.quarantined, first.seq) == ("not UTF-8", 4)
    write(Path(), "more.ndjson", 1)
    store.ingest("s", "more.ndjson", progress=False)
    store.catalogue.commit("s", schema, entry("poor", rows=0), [], "a2")
    again, *rest = store.sources("s")
    assert (again.entry.id, again.entry.quarantined, again.seq) == (poor.id, None, 6)
    assert poor.id not in {s.entry.id for s in rest}


def test_rows_that_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time_ns() // 1_000_000_000 + 2 * 3600
    Path("ahead.ndjson").write_text(f'{{"k":"a","t":1709251200}}\n{{"k":"a","t":{ahead}}}')
    store.ingest("s", "ahead.ndjson", progress=False)
    assert store.sources("s")[0].waiting == 1
    monkeypatch.setattr("runtime.ingest.columns.event_times.time.time_ns", lambda: (ahead + 60) * 1_000_000_000)
    store.ingest("s", "ahead.ndjson", progress=False)
    found = store.sources("s")
    assert [s.waiting for s in found[:2]] == [0, 0]
    # Named once, both are found: neither stands without the other.
    entries = store.catalogue.sources("s")
    assert [e.id for e in find_sources(entries, "ahead.ndjson")] == [found[1].entry.id, found[0].entry.id]
    assert [e.id for e in find_sources(entries, found[0].short)] == [found[0].entry.id]
    # They wait again if they are taken back.
    assert store.undo("s", found[0].short).rows == 1
    assert {s.entry.id: s.waiting for s in store.sources("s")}[found[1].entry.id] == 1
    assert store.ingest("s", "ahead.ndjson", progress=False).committed == 1
    assert not any(s.waiting or s.entry.undone for s in store.sources("s"))


def test_its_rejects(store: Store) -> None:
    assert store.retry_rejects("s", progress=False, time_format="%Y").sources
    Path("late.csv").write_text("k,t,v\na,2024-03-01 later,1\na,2024-03-02,2\n")
    store.ingest("s", "late.csv", progress=False, format="csv")
    store.retry_rejects("s", progress=False, time_format="%Y-%m-%d later")
    found = find_sources(store.catalogue.sources("s"), "late.csv")
    assert [e.name for e in found] == ["late.csv", "late.csv (its rejects)"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("two.ndjson", "two.ndjson"),
        ("./two.ndjson", "two.ndjson"),
        ("in/../two.ndjson", "two.ndjson"),
        ("one.ndjson", "one.ndjson"),  # the whole name, before the names of files
        ("in/one.ndjson", "in/one.ndjson"),
    ],
)
def test_by_name_or_path(store: Store, text: str, name: str) -> None:
    (found,) = find_sources(store.catalogue.sources("s"), text)
    assert found.name == name
    (found,) = find_sources(store.catalogue.sources("s"), str(Path(name).absolute()))
    assert found.name == name


def test_by_the_name_of_the_file() -> None:
    entries = [entry("s3://landing/in/a.gz"), entry("/data/b.csv"), entry("/data/abcd", "ab12" * 16)]
    assert find_sources(entries, "a.gz") == [entries[0]]
    assert find_sources(entries, "b.csv") == [entries[1]]
    assert find_sources(entries, "s3://landing/in/a.gz") == [entries[0]]
    assert find_sources(entries, "AB12" * 16) == find_sources(entries, "AB12a") == [entries[2]]


def test_a_name_before_an_id() -> None:
    named, other = entry("abcdef"), entry("x", "abcdef")
    assert find_sources([other, named], "abcdef") == [named]
    assert find_sources([other, named], "abcde") == [other]


def test_none_or_several() -> None:
    entries = [entry("a/x.csv", "abcdef0123"), entry("b/x.csv", "abcdef4567", rows=7), entry("y.csv")]
    with pytest.raises(
        QueryError, match=r"'x\.csv' fits 2 sources: abcdef01 \(a/x\.csv, 3 rows\), abcdef45 .*by its id"
    ):
        find_sources(entries, "x.csv")
    with pytest.raises(QueryError, match="'abcd' fits 2 sources"):
        find_sources(entries, "abcd")
    with pytest.raises(QueryError, match=r"no source 'z\.csv'.*did you mean 'y\.csv'\?"):
        find_sources(entries, "z.csv")
    with pytest.raises(QueryError, match=r"no source 'abc'"):  # too short for an id
        find_sources(entries, "abc")
    with pytest.raises(QueryError, match=r"no source 'q'.*dataflow sources"):
        find_sources([], "q")
    with pytest.raises(QueryError, match="an empty text"):
        find_sources(entries, " ")
    many = [entry("x", f"{n:064x}") for n in range(30)]
    with pytest.raises(QueryError, match=r"fits 30 sources: .* and 20 more; name one"):
        find_sources(many, "x")


def test_several_of_one_chain() -> None:
    """The rows that waited, and those that waited again, have the name of the first."""
    first = replace(entry("x"), waiting=Waiting(2, 5, 6))
    second = replace(entry("x", Waiting(2, 5, 6).next_id(first.id)), waiting=Waiting(1, 7, 8))
    third = entry("x", Waiting(1, 7, 8).next_id(second.id))
    assert find_sources([third, first, entry("y"), second], "x") == [first, second, third]
    assert find_sources([third, first, second], second.id) == [second, third]


@given(st.lists(st.text("abc", min_size=12, max_size=12), unique=True, max_size=40))
def test_shortened_ids_are_unique(ids: list[str]) -> None:
    short = shortened(ids)
    for id_, beginning in short.items():
        assert id_.startswith(beginning)
        assert len(beginning) >= SHORTEST
        assert [other for other in ids if other.startswith(beginning)] == [id_]
        shorter = beginning[:-1]
        assert len(beginning) == SHORTEST or sum(other.startswith(shorter) for other in ids) > 1


def test_the_command(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", store.url, "s", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["when", "source", "rows", "rejected", "dropped", "bytes", "id"]
    assert lines[2].split()[1:5] == ["in/one.ndjson", "5", "0", "0"]
    assert lines[-1].strip() == "2 sources"
    printed = []
    for form in (["--json"], ["--format", "json"]):
        assert main(["sources", store.url, "s", *form]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert [(s["name"], s["rows"], s["rejected"]) for s in printed[0]["sources"]][1] == ("two.ndjson", 4, 2)
    assert printed[0]["sources"][1]["reject_reasons"]
    assert all(len(s["id"]) == 64 and s["id"].startswith(s["short_id"]) for s in printed[0]["sources"])
    assert main(["sources", store.url, "s", "--limit", "0"]) == 2
    assert main(["sources", store.url, "x"]) == 1
    assert "its streams: s" in capsys.readouterr().err


def test_columns_only_where_they_say_something(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    schema = store.catalogue.schema("s")
    assert schema is not None
    poor = replace(entry("poor"), rows_read=0, rows_committed=0, quarantined="not UTF-8")
    store.catalogue.commit("s", schema, poor, [], "a1")
    assert main(["sources", store.url, "s"]) == 0
    out = capsys.readouterr().out
    assert "quarantined" in out.splitlines()[0]
    assert "not UTF-8" in out
    assert "waiting" not in out
