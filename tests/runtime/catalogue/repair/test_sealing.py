"""Catalogues of version 1 open unchanged; the first write seals them, even after interruptions."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.catalogue import Catalogue, Committed, DynamoCatalogue, Snapshot, SqliteCatalogue, TableCatalogue
from runtime.catalogue.day_rows import partition_of, row_key
from runtime.catalogue.index import Mark
from runtime.catalogue.items.seal import is_sealed
from runtime.catalogue.key_value import KeyValueTable, Put, Query, Steps, Transact, query, run
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, files, source
from tests.campaigns.catalogue import listed
from tests.runtime.catalogue.test_sqlite_contract import LockedTable

OLD = Path(__file__).parents[1] / "version1"
PARTITIONS = (
    "FILES",
    "LOG",
    "SRC",
    "CLAIM",
    "DEL",
    "WM",
    "HEAD",
    "DIR",
    *(f"DAY#{m}" for m in ("2024-03", "2024-04", "2025-04")),
)

# What the program that wrote it said of it.
LIVE = ["z1-0", "a1-2", "c1-0", "b1-1"]
TOTALS = (6, 4, 43, 4003, 3, 1, 2, 1)


def seen(snapshot: Snapshot) -> tuple[object, ...]:
    names = [f.path.rpartition("/")[2].removesuffix(".points") for f in snapshot.files]
    return names, (
        snapshot.seq, snapshot.total_files, snapshot.total_rows, snapshot.total_bytes, snapshot.sources,
        snapshot.quarantined, snapshot.rejected, snapshot.dropped,
    )  # fmt: skip


def old_items() -> list[tuple[str, str, int, bytes]]:
    connection = sqlite3.connect(f"file:{OLD}/catalogue.sqlite?immutable=1", uri=True)
    found = connection.execute("select partition, sort, number, body from items").fetchall()
    connection.close()
    return found


def fill(table: KeyValueTable) -> None:
    for partition, sort, number, body in old_items():
        table.transact(Transact([Put(partition, sort, body, number=number)]))


@pytest.fixture(params=["sqlite", "memory", "dynamodb"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TableCatalogue]:
    """The catalogue as version 1 left it, in each table."""
    if request.param == "sqlite":
        shutil.copyfile(OLD / "catalogue.sqlite", tmp_path / "catalogue.sqlite")
        with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
            yield catalogue
    elif request.param == "memory":
        table = LockedTable()
        fill(table)
        yield TableCatalogue(table)
    else:
        request.getfixturevalue("aws")
        with DynamoCatalogue("antfold", "lake/p", create=lambda: True) as catalogue:
            catalogue.streams()
            fill(catalogue.table)
            yield catalogue


def items(catalogue: TableCatalogue, stream: str = "model") -> dict[tuple[str, str], tuple[int, bytes]]:
    found = {}
    for name in PARTITIONS:
        for sort, number, body in catalogue.table.query(Query(f"{stream}/{name}")):
            found[name, sort] = number, body
    return found


def commit(catalogue: Catalogue, name: str, *days: int) -> None:
    attempt = f"n{name}"
    entries = files("model", attempt, *days)
    assert isinstance(catalogue.commit("model", SCHEMA, source(f"new {name}"), entries, attempt), Committed)


def check_sealed(catalogue: TableCatalogue) -> None:
    assert catalogue.snapshot("model").checked
    assert catalogue.audit("model") == []
    for (name, sort), (_, body) in items(catalogue).items():
        assert name.startswith("DAY") or is_sealed(body), (name, sort)


def test_it_opens_as_it_is(old: TableCatalogue) -> None:
    before = items(old)
    snapshot = old.snapshot("model")
    assert seen(snapshot) == (LIVE, TOTALS)
    assert not snapshot.checked
    assert seen(old.snapshot("model", D * 86_400_000_000, (D + 1) * 86_400_000_000))[0] == ["z1-0"]
    assert old.streams() == ["model", "telemetry"]
    assert [*old.problems(), *old.audit("model"), *old.audit("telemetry")] == []
    assert len(old.sources("model")) == 4
    assert len(list(old.records("model"))) == 6
    assert items(old) == before


def test_the_first_write_seals_it(old: TableCatalogue) -> None:
    before = old.snapshot("telemetry")
    commit(old, "x", D)
    names, totals = seen(old.snapshot("model"))
    assert names == ["z1-0", "nx-0", *LIVE[1:]]
    assert totals == (7, 5, 53, 5003, 4, 1, 2, 1)
    check_sealed(old)
    # Another stream is sealed when it is written to.
    assert not old.snapshot("telemetry").checked
    assert old.snapshot("telemetry") == before
    assert old.problems() == []
    # Programs of version 1 read and write no log of another version.
    assert [r.version for r in old.records("model")] == [1] * 6 + [2]
    if isinstance(old.table, SqliteTable):
        connection = sqlite3.connect(old.table.path)
        assert connection.execute("pragma user_version").fetchone() == (2,)
        connection.close()
        assert old.table.head_file.read() == {"model": (7, list(old.records("model"))[-1].hash)}


def test_it_can_be_interrupted_anywhere(tmp_path: Path) -> None:
    """After each of its transactions: everything is readable, and the next write goes on."""
    done = False
    for most in range(30):
        table = LockedTable()
        fill(table)
        table.most = 6  # so that it takes some
        catalogue = TableCatalogue(table)
        real, left = table.transact, [most]

        def transact(request: Transact, real: Callable[[Transact], None] = real, left: list[int] = left) -> None:
            if left[0] == 0:
                raise StoreError("the process is gone")
            left[0] -= 1
            real(request)

        table.transact = transact  # type: ignore[method-assign]
        try:
            commit(catalogue, "x", D)
        except StoreError:
            assert most == 0
        done = left[0] > 0
        table.transact = real  # type: ignore[method-assign]
        names = ["z1-0", *(["nx-0"] if most else []), *LIVE[1:]]
        assert seen(catalogue.snapshot("model"))[0] == names
        assert catalogue.audit("model") == []
        commit(catalogue, "y", D + 1)
        assert seen(catalogue.snapshot("model"))[0] == [*names[:-1], "ny-0", names[-1]]
        check_sealed(catalogue)
    assert done


def test_beside_readers_and_writers(old: TableCatalogue) -> None:
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                snapshot = old.snapshot("model")
                if snapshot.seq - 6 != len([f for f in snapshot.files if "/n" in f.path]):
                    wrong.append(snapshot.seq)
            except DataflowError as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=commit, args=(old, f"{i}", D + i % 3)) for i in range(6)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert wrong == []
    commit(old, "last", D)
    check_sealed(old)
    assert old.snapshot("model").seq == 13


@pytest.mark.parametrize("before", range(3))
def test_it_is_sealed_between_two_reads(before: int) -> None:
    """Who has read the watermark before reads it again before it calls it damaged."""
    table = LockedTable()
    fill(table)

    def watched() -> Steps[Mark | None]:
        reading, answered = StreamSteps("model", table.most).mark(), 0
        reply = None
        while True:
            if answered == before:
                commit(TableCatalogue(table), "x", D)
            try:
                reply = yield reading.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answered += 1

    mark = run(table, watched())
    assert mark is not None
    assert mark.seq == 7


def test_afterwards_an_item_without_a_seal_is_damaged() -> None:
    table = LockedTable()
    fill(table)
    catalogue = TableCatalogue(table)
    commit(catalogue, "x", D)
    old = {(p, s): (n, b) for p, s, n, b in old_items()}
    tried = 0
    for (name, sort), item in items(catalogue).items():
        place = f"model/{name}", sort
        if place in old and old[place] != item:
            table.items[place[0]][sort] = old[place]
            assert catalogue.audit("model") != [], place
            table.items[place[0]][sort] = item
            tried += 1
    assert tried > 20
    assert catalogue.audit("model") == []


def test_what_was_sealed_since_it_was_read_is_not_damaged() -> None:
    table = LockedTable()
    fill(table)
    steps = StreamSteps("model", table.most)
    for name in ("SRC", "CLAIM", "LOG"):
        before = run(table, query(steps.partition(name)))
        assert not any(is_sealed(body) for _, _, body in before)
        payloads = [payload for _, _, payload in run(table, steps.opened(name, before))]
        other = LockedTable()
        fill(other)
        commit(TableCatalogue(other), "x", D)
        seen_again = run(other, steps.opened(name, before))
        now = {sort: (number, body) for sort, number, body in run(other, query(steps.partition(name)))}
        assert [(sort, number) for sort, number, _ in seen_again] == [(s, now[s][0]) for s, _, _ in before]
        if name != "SRC":  # their list is linked as well
            assert [payload for _, _, payload in seen_again] == payloads
        gone = before[0][0]
        other.items[steps.partition(name)][gone] = (before[0][1], before[0][2])
        with pytest.raises(DataflowError, match="an item has no checksum"):
            run(other, steps.opened(name, before))


@pytest.mark.parametrize("number", range(3))
def test_what_is_damaged_gets_no_seals(number: int) -> None:
    """What does not add up before it is sealed is not made to look right."""
    table = LockedTable()
    fill(table)
    catalogue = TableCatalogue(table)
    file = catalogue.snapshot("model").files[number]
    partition = f"model/{partition_of(file.day)}"
    del table.items[partition][row_key(file.day, file.seq, file.ordinal)]
    problems = catalogue.audit("model")
    assert problems != []
    commit(catalogue, "x", D + 500)
    assert catalogue.audit("model") != []
    with pytest.raises(DataflowError):
        catalogue.snapshot("model")


def test_a_store_of_version_1(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(OLD, folder)
    metric = df.stream("telemetry").group_by("device").agg(n=df.count())
    with Store(folder) as store:
        result = store.query(metric, progress=False)
        assert sorted(result) == [("a", 25), ("b", 10), ("c", 15)]
        proof = result.proof.to_dict()
        assert (proof["catalogue"], proof["files_unchecked"]) == ("unchecked", 4)
        new = tmp_path / "new.ndjson"
        new.write_text('{"device":"d","ts":1710720000000,"temp":1.5}\n')
        store.ingest("telemetry", new, key="device", time="ts", unit="ms", progress=False)
        result = store.query(metric, progress=False)
        assert sorted(result) == [("a", 25), ("b", 10), ("c", 15), ("d", 1)]
        proof = result.proof.to_dict()
        assert (proof["catalogue"], proof["files_unchecked"]) == ("checked", 4)
        assert [p for p in store.verify().problems if "/model/" not in p] == []


def test_the_first_write_may_be_a_large_commit(old: TableCatalogue) -> None:
    with listed(old):
        commit(old, "one", D, D + 1, D + 2)
    assert [r.version for r in old.records("model")] == [1] * 6 + [3]
    check_sealed(old)
    assert {attempt.partition("#")[0] for name, attempt in items(old) if name == "FILES"} == {"none"}
    commit(old, "two", D)
    check_sealed(old)
