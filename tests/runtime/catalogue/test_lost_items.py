"""Items of every kind deleted by hand: later writes are refused or right; nothing is lost or doubled.

``KINDS`` lists every kind of item; a test checks that it is complete.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.catalogue import Committed, DynamoCatalogue, SqliteCatalogue, TableCatalogue, commits, new_attempt
from runtime.catalogue.key_value import Query, run
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.sources import FIRST
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source
from tests.campaigns.catalogue import listed
from tests.runtime.catalogue.test_sqlite_contract import LockedTable

LEAST = "partition = 's/SRC' and sort = (select min(sort) from items where partition = 's/SRC' and sort <> '#')"
KINDS = {
    "STREAMS": "partition = 'STREAMS'",
    "COUNT": "partition = 'COUNT'",
    "LOG": "partition = 's/LOG'",
    "LOG, the first": "partition = 's/LOG' and sort = '000000000001'",
    "LOG, one within": "partition = 's/LOG' and sort = '000000000002'",
    "LOG, the last": "partition = 's/LOG' and sort = '000000000003'",
    "FILES": "partition = 's/FILES'",
    "FILES, one of them": "partition = 's/FILES' and sort = (select min(sort) from items where partition = 's/FILES')",
    "HEAD": "partition = 's/HEAD'",
    "SRC": "partition = 's/SRC'",
    "SRC, all sources": "partition = 's/SRC' and sort <> '#'",
    "SRC, its beginning": "partition = 's/SRC' and sort = '#'",
    "SRC, the lowest": LEAST,
    "SRC, the highest": "partition = 's/SRC' and sort = (select max(sort) from items where partition = 's/SRC')",
    "CLAIM": "partition = 's/CLAIM'",
    "DEL": "partition = 's/DEL'",
    "DAY": "partition like 's/DAY#%'",
    "DAY, one day": "partition like 's/DAY#%' and sort like '2024-03-18#%'",
    "DIR": "partition = 's/DIR'",
    "WM": "partition = 's/WM'",
    "the stream but its sources": "partition like 's/%' and partition <> 's/SRC'",
    "the stream but its watermark": "partition like 's/%' and partition <> 's/WM'",
    "the stream but its name": "partition like 's/%'",
}  # fmt: skip
METRIC = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"))


def written(folder: Path, name: str, day: int) -> Path:
    file = folder / f"{name}.ndjson"
    file.write_text("".join(f'{{"k":"{name}","t":{day * 86_400 + i},"v":{i}}}\n' for i in range(10)))
    return file


def ingest(store: Path, *given: Path) -> None:
    with Store(store, create=True) as opened:
        opened.ingest("s", *given, key="k", time="t", unit="s", progress=False)


def refusal(write: Callable[[], object]) -> str:
    """Why a write was refused; empty if it was not."""
    try:
        write()
    except DataflowError as error:
        return str(error)
    return ""


def answer(store: Path) -> list[tuple[object, ...]]:
    with Store(store) as opened:
        return sorted(opened.query(METRIC, progress=False))


def delete(store: Path, where: str) -> int:
    with closing(sqlite3.connect(store / "catalogue.sqlite")) as connection, connection:
        return connection.execute(f"delete from items where {where}").rowcount


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return {name: written(tmp_path, name, D + n) for n, name in enumerate("abcd")}


def right(names: str) -> list[tuple[object, ...]]:
    return [(name, 10, 45) for name in names]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_after_it_is_refused_or_right(
    tmp_path: Path, inputs: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sources, in any order, beside a new one; then answers, and what `recover` makes of it."""
    if kind.startswith("FILES"):
        monkeypatch.setattr(commits, "MAX_ITEM", 0)  # so that each file has a list of its own
    store = tmp_path / "store"
    ingest(store, *(inputs[name] for name in "abc"))
    assert delete(store, KINDS[kind]) or kind == "DEL"
    committed = set("abc")
    for name in "adbc":
        why = refusal(lambda n=name: ingest(store, inputs[n]))  # type: ignore[misc]
        assert not why or "recover" in why, why
        if not why:
            committed.add(name)
        with suppress(DataflowError):
            assert answer(store) in (right("abc"), right("abcd")), name
    with Store(store) as opened:
        opened.recover()
        assert opened.verify().ok
    found = answer(store)
    assert found in (right("abc"), right("abcd"))
    assert {k for k, _, _ in found} >= committed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("SRC")])
def test_a_source_whose_item_is_gone_is_not_ingested_again(tmp_path: Path, inputs: dict[str, Path], kind: str) -> None:
    store = tmp_path / "store"
    ingest(store, *(inputs[name] for name in "abc"))
    delete(store, KINDS[kind])
    refused = 0
    for name in "abc":
        if why := refusal(lambda n=name: ingest(store, inputs[n])):  # type: ignore[misc]
            refused += 1
            for part in ("list of sources of stream 's' is damaged", "dataflow recover", "dataflow verify"):
                assert part in why
    assert refused == {"SRC": 3, "SRC, all sources": 3, "SRC, its beginning": 0}.get(kind, 1)
    assert answer(store) == right("abc")
    with Store(store) as opened:
        assert any("list of sources" in problem for problem in opened.verify().problems)
        opened.recover()
    ingest(store, *inputs.values())
    assert answer(store) == right("abcd")


def partitions(catalogue: TableCatalogue, stream: str = "s") -> Iterator[tuple[str, str]]:
    for name in ("LOG", "FILES", "HEAD", "SRC", "CLAIM", "DEL", "WM", "DIR", "DAY#2024-03"):
        for sort, _, _ in catalogue.table.query(Query(f"{stream}/{name}")):
            yield f"{stream}/{name}", sort
    for partition in ("STREAMS", "COUNT"):
        for sort, _, _ in catalogue.table.query(Query(partition)):
            yield partition, sort


def compacted(catalogue: TableCatalogue) -> None:
    steps = StreamSteps("s", catalogue.table.most)
    gone = list(catalogue.snapshot("s").files)[:2]
    attempt = new_attempt()
    done = run(catalogue.table, steps.replace(gone, files("s", attempt, gone[0].day), attempt))
    assert isinstance(done, Committed)
    run(catalogue.table, steps.note_head())
    run(catalogue.table, steps.catch_up())


@pytest.mark.parametrize("beside", [True, False], ids=["head beside", "no head beside"])
def test_each_item_in_turn(beside: bool) -> None:
    """In a table: each single item, and each whole partition; the same sources again, and another one."""
    whole = LockedTable()
    catalogue = TableCatalogue(whole)
    for name in "abc":
        with listed(catalogue) if name == "b" else nullcontext():
            add(catalogue, name, D, D + 1)
    compacted(catalogue)
    places = sorted(partitions(catalogue))
    kinds = {partition.rpartition("/")[2][:3] for partition, _ in places}
    assert kinds == {kind[:3] for kind in KINDS if kind[0] != "t"}
    groups = [[place] for place in places]
    groups += [[place for place in places if place[0] == name] for name in {partition for partition, _ in places}]
    rows = catalogue.snapshot("s").total_rows
    new = sum(file.rows for file in files("s", "x", D + 2))
    refused = 0
    for group in groups:
        table = LockedTable()
        table.items = {partition: dict(part) for partition, part in whole.items.items()}
        table.beside = dict(whole.beside) if beside else {}
        for partition, sort in group:
            del table.items[partition][sort]
        other = TableCatalogue(table)
        for name, day in (("a", D), ("d", D + 2), ("b", D), ("c", D)):

            def write(other: TableCatalogue = other, name: str = name, day: int = day) -> None:
                attempt = new_attempt()
                other.begin()
                if other.is_ingested("s", source(name).id) is None:
                    other.commit("s", SCHEMA, source(name), files("s", attempt, day), attempt)

            why = refusal(write)
            assert not why or "recover" in why, (group, why)
            refused += bool(why)
            with suppress(DataflowError):
                assert other.snapshot("s").total_rows in (rows, rows + new), (group, name)
            with suppress(DataflowError):
                assert other.snapshot("s", (D + 1) * 86_400_000_000).total_rows in (rows, rows + new), (group, name)
    assert refused > 20


def test_the_item_of_a_source_on_dynamodb(aws: object) -> None:
    with DynamoCatalogue("antfold", "lake/p", create=lambda: True) as catalogue:
        catalogue.streams()
        for name in "abcdefgh":
            add(catalogue, name, D)
        import boto3

        client = boto3.client("dynamodb")
        for name in "abcdefgh":
            key = {"pk": {"S": "lake/p|s/SRC"}, "sk": {"S": source(name).id}}
            item = client.get_item(TableName="antfold", Key=key)["Item"]
            client.delete_item(TableName="antfold", Key=key)
            with pytest.raises(DataflowError, match="list of sources"):
                catalogue.is_ingested("s", source(name).id)
            attempt = new_attempt()
            with pytest.raises(DataflowError, match="list of sources"):
                catalogue.commit("s", SCHEMA, source(name), files("s", attempt, D), attempt)
            client.put_item(TableName="antfold", Item=item)
        assert catalogue.audit("s") == []


def test_any_sources_in_any_order(tmp_path: Path) -> None:
    """The list is a plain sorted list: every source is found in it, and none of the others."""
    rng = random.Random(5)
    for _ in range(5):
        catalogue = TableCatalogue(LockedTable())
        names = [str(n) for n in range(rng.randrange(1, 30))]
        rng.shuffle(names)
        there: set[str] = set()
        for name in names:
            poison = rng.random() < 0.3
            entry = source(name, quarantined="bad") if poison else source(name)
            for _ in range(rng.choice((1, 2))):
                catalogue.commit("s", SCHEMA, entry, [], new_attempt())
            if poison and rng.random() < 0.5:
                catalogue.commit("s", SCHEMA, source(name), [], new_attempt())
            there.add(name)
            for each in map(str, range(30)):
                assert (catalogue.is_ingested("s", source(each).id) is not None) == (each in there)
        assert catalogue.audit("s") == []
        ids = sorted(source(name).id for name in there)
        assert [entry.id for entry in catalogue.sources("s")] == ids
        assert [sort for sort, _, _ in catalogue.table.query(Query("s/SRC"))] == [FIRST, *ids]


@pytest.mark.alone
def test_it_costs_next_to_nothing(tmp_path: Path) -> None:
    """Looking a source up, among 20,000, on SQLite: well under a millisecond."""
    with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
        fill = StreamSteps("s", 100)
        add(catalogue, "first", D)
        ids = sorted(source(str(n)).id for n in range(20_000))
        data = {**source("x").to_dict(), "seq": 1, "attempt": "a"}
        puts = fill.linked_puts([(id_, 1, {**data, "id": id_}) for id_ in ids])
        with closing(sqlite3.connect(tmp_path / "catalogue.sqlite")) as connection, connection:
            rows = [(put.partition, put.sort, put.number, put.body) for put in puts]
            connection.executemany("insert or replace into items values (?, ?, ?, ?)", rows)
        asked: list[Callable[[], object]] = [
            lambda: catalogue.is_ingested("s", source("new").id),
            lambda: catalogue.is_ingested("s", ids[777]),
        ]
        for ask in asked:
            begun = time.perf_counter()
            for _ in range(200):
                ask()
            assert (time.perf_counter() - begun) / 200 < 0.001


def test_a_store_that_another_process_begins(tmp_path: Path) -> None:
    """Between two reads of the catalogue another process begins the store and writes points: nothing was lost."""
    with SqliteCatalogue(tmp_path / "c.sqlite") as one:

        def begun_by_another() -> bool:
            TableCatalogue(one.table).begin()
            return True

        TableCatalogue(one.table, in_use=begun_by_another).begin()
        assert one.streams() == []
    with (
        SqliteCatalogue(tmp_path / "d.sqlite") as other,
        pytest.raises(StoreError, match="nothing of this store"),
    ):
        TableCatalogue(other.table, in_use=lambda: True).begin()
