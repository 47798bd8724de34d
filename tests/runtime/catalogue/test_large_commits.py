"""Commits whose record would not fit into an item: their files are listed in items of their own."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import dataflow as df
from operators.errors import DataflowError
from operators.types import Type
from runtime import Store
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    Committed,
    DynamoCatalogue,
    OutcomeUnknown,
    SqliteCatalogue,
    StreamSchema,
    TableCatalogue,
    commits,
    new_attempt,
)
from runtime.catalogue.items.entries import Deletion, FileEntry, Record, Totals
from runtime.catalogue.items.file_lists import MAX_ITEM, SWEPT, fitted, load_list
from runtime.catalogue.items.item_bytes import dump, dump_record, hash_of, load_record, log_key
from runtime.catalogue.items.seal import JSON_SIZE, open_json, sealed_json
from runtime.catalogue.key_value import Put, Query, Transact, run
from runtime.catalogue.protocol import StreamSteps
from runtime.errors import FormatError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, many_files, source
from tests.campaigns.catalogue import listed
from tests.runtime.catalogue.test_sqlite_contract import LockedTable

pytestmark = pytest.mark.usefixtures("plain_files")

FILES = "s/FILES"


def record(adds: list[FileEntry], schema: StreamSchema | None = SCHEMA) -> Record:
    adds = [replace(file, seq=7, ordinal=n) for n, file in enumerate(adds)]
    return Record(7, 123, "a", "f" * 64, tuple(adds), (), Totals(), 7, schema, before="e" * 64)


def lists(catalogue: TableCatalogue) -> dict[str, bytes]:
    """The payloads of all lists, by key."""
    found = catalogue.table.query(Query(FILES))
    return {sort: open_json(FILES, sort, number, body, "list") for sort, number, body in found}


# The record


def test_a_record_that_fits_is_as_it_always_was() -> None:
    """Byte for byte what programs before there were lists wrote, and can read."""
    small = Record(
        2, 5, "a", "f" * 64, (replace(files("s", "a", D)[0], seq=2),), (Deletion("p", D, 1, 0, 3, 9),),
        Totals(1, 10, 1000, "0" * 64, D, D), 2, StreamSchema("k", Type.INT, "t", {"x": Type.FLOAT}), before="e" * 64,
    )  # fmt: skip
    assert fitted("s", small) == (small, [])
    assert dump_record(small) == (
        b'{"version":2,"seq":2,"at":5,"attempt":"a","source":"' + b"f" * 64 + b'",'
        b'"adds":[["data/s/2024-03-18/a-0.points",19800,10,1000,1710720000000000,1710720000000050,"' + b"0" * 64 + b'",'
        b'3,0,{"temp":0},""]],"dels":[["p",19800,1,0,3,9]],"totals":{"files":1,"rows":10,"bytes":1000,"hash":"'
        + b"0" * 64 + b'","first":19800,"last":19800,"sources":0,"quarantined":0,"rejected":0,"dropped":0},'
        b'"schema_seq":2,"schema":{"key":"k","key_type":"int64","time":"t","columns":{"x":"float64"},'
        b'"duplicates":"keep","id":null,"missing_key":null,"unit":null,"wide":{}},"floor":null,"before":"'
        + b"e" * 64 + b'"}'
    )  # fmt: skip


def test_the_last_record_that_fits_and_the_first_that_does_not() -> None:
    file = files("s", "a", D)[0]

    def of(letters: int) -> Record:
        return record([file, replace(file, nulls={"x" * letters: 1})])

    room = MAX_ITEM - JSON_SIZE - len(dump_record(of(0)))
    assert fitted("s", of(room)) == (of(room), [])
    large, (payload,) = fitted("s", of(room + 1))
    assert large.lists == (hash_of(payload),)
    assert load_list(payload, large.lists[0], large, 0, "list") == list(of(room + 1).adds)


@pytest.mark.parametrize("room", [0, 500, 1_000, 50_000])
def test_a_large_record_is_its_lists(room: int) -> None:
    whole = record(many_files("a"))
    large, payloads = fitted("s", whole, room)
    body = dump_record(large)
    assert body.startswith(b'{"version":3,')  # earlier programs say: update this program
    assert len(payloads) == 100 if room < 10_000 else 10 < len(payloads) < 50
    assert max(map(len, payloads)) + JSON_SIZE <= max(room, 10_000)
    stored = load_record(body, "s", log_key(7))
    assert stored.adds == ()
    found = [
        file
        for digest, payload in zip(stored.lists, payloads, strict=True)
        for file in load_list(payload, digest, stored, 0, "list")
    ]
    assert [replace(file, ordinal=n) for n, file in enumerate(found)] == list(whole.adds)
    assert (stored.schema, stored.totals, stored.before) == (whole.schema, whole.totals, whole.before)
    assert dump_record(stored) == body
    with pytest.raises(FormatError, match="version 6, this program reads 5: update it"):
        load_record(body.replace(b'"version":3', b'"version":6'), "s", log_key(7))


def test_a_schema_that_is_compressed_is_that_schema() -> None:
    schema = replace(SCHEMA, columns={f"column number {n}": Type.STRING for n in range(20_000)})
    large, payloads = fitted("s", record([], schema))
    assert (payloads, large.lists) == ([], ())
    body = dump_record(large)
    assert len(body) < MAX_ITEM
    stored = load_record(body, "s", log_key(7))
    assert (stored.schema, dump_record(stored)) == (schema, body)
    for damage in (b'"zlib":"!', b'"zlib":"AAAA'):
        with pytest.raises(FormatError, match="dataflow recover"):
            load_record(body.replace(b'"zlib":"', damage, 1), "s", log_key(7))


# Races, retries and lost replies


class Hooked(LockedTable):
    """A table that does something before or after the transactions that ``when`` picks."""

    def __init__(
        self, when: str, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.when, self.before, self.after = when, before, after

    def transact(self, request: Transact) -> None:
        mine = any(isinstance(item, Put) and item.partition == self.when for item in request.items)
        if mine and self.before is not None:
            before, self.before = self.before, None
            before()
        super().transact(request)
        if mine and self.after is not None:
            after, self.after = self.after, None
            after()


def lost() -> None:
    raise OutcomeUnknown("the reply was lost")


@pytest.mark.parametrize("when", [FILES, "s/LOG"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_lost_request_or_reply_is_one_commit(when: str, place: str) -> None:
    catalogue = TableCatalogue(Hooked(when, **{place: lost}))
    attempt = new_attempt()
    assert catalogue.commit("s", SCHEMA, source("a"), many_files(attempt), attempt) == Committed(1)
    assert len(catalogue.snapshot("s").files) == 100
    assert len(lists(catalogue)) == 3
    assert catalogue.audit("s") == []


@pytest.mark.parametrize("when", [FILES, "s/LOG"])
def test_who_comes_second_leaves_no_list(when: str) -> None:
    """Another process commits the same source while the lists are written, or after it."""
    table = Hooked(when)
    catalogue, attempt = TableCatalogue(table), new_attempt()
    table.before = lambda: add(catalogue, "a", D) and None
    done = catalogue.commit("s", SCHEMA, source("a"), many_files(attempt), attempt)
    assert done == AlreadyIngested(source("a"))
    assert set(lists(catalogue).values()) == {SWEPT}
    assert len(catalogue.snapshot("s").files) == 1
    assert catalogue.audit("s") == []


def test_lists_that_could_not_be_emptied_keep_their_files() -> None:
    """The outcome is unknown then, so the ingest deletes nothing, and a sweep finds the lists by the files."""
    table = Hooked("s/LOG")
    catalogue, attempt = TableCatalogue(table), new_attempt()

    def first() -> None:
        add(catalogue, "a", D)
        table.when = "s/CLAIM"
        table.transact = always_lost  # type: ignore[method-assign]

    def always_lost(request: Transact) -> None:
        if any(isinstance(item, Put) and item.partition == "s/CLAIM" for item in request.items):
            lost()
        Hooked.transact(table, request)

    table.before = first
    with pytest.raises(OutcomeUnknown, match="could not be emptied"):
        catalogue.commit("s", SCHEMA, source("a"), many_files(attempt), attempt)
    assert SWEPT not in lists(catalogue).values()
    del table.transact  # type: ignore[method-assign]
    assert catalogue.claim_for_sweep("s", attempt)
    assert set(lists(catalogue).values()) == {SWEPT}


def test_the_sweep_empties_the_lists_of_an_attempt_and_no_others() -> None:
    table = Hooked("s/LOG")
    catalogue = TableCatalogue(table)
    for attempt in ("a", "ab"):
        table.before = killed
        with pytest.raises(Killed):
            catalogue.commit("s", SCHEMA, source("one"), many_files(attempt), attempt)
    catalogue.commit("s", SCHEMA, source("one"), many_files("aa"), "aa")
    assert catalogue.claim_for_sweep("s", "a")
    assert not catalogue.claim_for_sweep("s", "aa")
    left = {key.partition("#")[0] for key, payload in lists(catalogue).items() if payload != SWEPT}
    assert left == {"aa", "ab"}
    assert catalogue.claim_for_sweep("s", "ab")
    assert len(next(iter(catalogue.records("s"))).adds) == 100
    assert catalogue.audit("s") == []


class Killed(Exception):
    """The process ends here."""


def killed() -> None:
    raise Killed


def test_files_are_replaced_by_a_large_commit() -> None:
    catalogue = TableCatalogue(LockedTable())
    add(catalogue, "a", D, D + 1)
    gone = list(catalogue.snapshot("s").files)
    steps = StreamSteps("s", catalogue.table.most)
    attempt = new_attempt()
    assert run(catalogue.table, steps.replace(gone, many_files(attempt), attempt)) == Committed(2)
    assert len(catalogue.snapshot("s").files) == 100
    again = new_attempt()
    assert run(catalogue.table, steps.replace(gone, many_files(again), again)) is None
    left = {key.partition("#")[0] for key, payload in lists(catalogue).items() if payload != SWEPT}
    assert left == {attempt}
    run(catalogue.table, steps.catch_up())
    assert catalogue.audit("s") == []


# Damage


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, object]:
    """A store of five commits, the second and fourth with a list for each of their files; its right answer."""
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        for number, name in enumerate("abcde"):
            monkeypatch.setattr(commits, "MAX_ITEM", 0 if name in "bd" else MAX_ITEM)
            ledger(tmp_path / f"{name}.csv", name, 3, date(2024, 1, 1) + timedelta(number))
            ingest(store, tmp_path / f"{name}.csv")
    monkeypatch.setattr(commits, "MAX_ITEM", MAX_ITEM)
    return folder, answer(folder)


METRIC = df.stream("s").group_by("account").agg(n=df.count(), total=df.sum("amount"), last=df.last("balance"))


def ledger(file: Path, account: str, days: int, first: date) -> None:
    """A bank account: a row a day."""
    rows = (f"{account},{first + timedelta(n)},{(n * 37) % 200 - 90},{1000 + n}\n" for n in range(days))
    file.write_text("account,date,amount,balance\n" + "".join(rows))


def ingest(store: Store, *given: Path) -> None:
    store.ingest("s", *given, key="account", time="date", progress=False)


def answer(folder: Path) -> object:
    with Store(folder) as store:
        return sorted(store.query(METRIC, progress=False))


def items(folder: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        yield from connection.execute(
            "select sort, body from items where partition = ? order by sort", (FILES,)
        ).fetchall()


def change(folder: Path, sort: str, body: bytes | None) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, connection:
        if body is None:
            connection.execute("delete from items where partition = ? and sort = ?", (FILES, sort))
        else:
            connection.execute("update items set body = ? where partition = ? and sort = ?", (body, FILES, sort))


def deleted(folder: Path) -> None:
    change(folder, next(items(folder))[0], None)


def flipped(folder: Path) -> None:
    sort, body = next(items(folder))
    change(folder, sort, body[:40] + bytes([body[40] ^ 1]) + body[41:])


def swapped(folder: Path) -> None:
    (one, first), (two, second), *_ = items(folder)
    change(folder, one, second)
    change(folder, two, first)


def replaced(folder: Path) -> None:
    """By another list of the catalogue whose seal fits its place: only its digest is wrong."""
    (one, _), (_, second), *_ = items(folder)
    payload = second[: second.index(b',"seal"')] + b"}"
    change(folder, one, sealed_json(FILES, one, 0, payload))


def emptied(folder: Path) -> None:
    sort, _ = next(items(folder))
    change(folder, sort, sealed_json(FILES, sort, 0, SWEPT))


def unsealed(folder: Path) -> None:
    sort, body = next(items(folder))
    change(folder, sort, body[: body.index(b',"seal"')] + b"}")


@pytest.mark.parametrize("damage", [deleted, flipped, swapped, replaced, emptied, unsealed])
def test_a_damaged_list_is_found_and_rebuilt(made: tuple[Path, object], damage: Callable[[Path], None]) -> None:
    folder, right = made
    assert len(list(items(folder))) == 6
    damage(folder)
    with Store(folder) as store:
        problems = store.verify().problems
        assert any("of the files of commit" in p and "dataflow recover" in p for p in problems), problems
        assert answer(folder) == right  # from the day index, which is whole
        with pytest.raises(DataflowError, match=r"list .* of the files of commit .*dataflow recover"):
            list(store.catalogue.records("s"))
        report = store.recover()
        assert report.streams == {"s": 5}
    assert answer(folder) == right
    with Store(folder) as store:
        assert store.verify().ok
        assert not store.verify().orphans


def test_a_damaged_list_that_is_needed_is_an_error(made: tuple[Path, object]) -> None:
    """The day index lags behind the commit: its files are known from the list only."""
    folder, _ = made
    with SqliteCatalogue(folder / "catalogue.sqlite") as catalogue, listed(catalogue):
        catalogue._catch_up = lambda steps: run(catalogue.table, steps.note_head())  # type: ignore[method-assign]
        add(catalogue, "f", D, schema=store_schema(folder))
        attempt = list(catalogue.records("s"))[-1].attempt
    for sort, _ in items(folder):
        if sort.startswith(attempt):
            change(folder, sort, None)
    for ask in (lambda: answer(folder), lambda: Store(folder).verify().problems[0] and answer(folder)):
        with pytest.raises(DataflowError, match=r"list .* of the files of commit 6 .*missing.*dataflow recover"):
            ask()


def store_schema(folder: Path) -> StreamSchema:
    with Store(folder) as store:
        found = store.catalogue.schema("s")
    assert found is not None
    return found


def test_a_whole_catalogue_is_salvaged_with_its_lists(made: tuple[Path, object]) -> None:
    """As is a copy of it, and one whose day index is lost; lists that nothing names are not taken along."""
    folder, right = made
    with SqliteCatalogue(folder / "catalogue.sqlite") as catalogue:
        before = lists(catalogue)
        run(catalogue.table, StreamSteps("s", 100).write_lists("dead", None, [dump({"files": []})], {}))
        log = list(catalogue.records("s"))
    backup = folder.parent / "backup.sqlite"
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, closing(sqlite3.connect(backup)) as other:
        connection.backup(other)
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, connection:
        connection.execute("delete from items where partition like 's/DAY%' or partition = 's/WM'")
    for given in (None, backup):
        if given is not None:
            (folder / "catalogue.sqlite").unlink()
        with Store(folder) as store:
            store.recover(given)
        assert answer(folder) == right
        with Store(folder) as store:
            assert store.verify().ok
            assert list(store.catalogue.records("s")) == log
            assert lists(store.catalogue) == before  # type: ignore[arg-type]


def test_a_catalogue_that_is_lost_is_rebuilt_with_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger in one file, whose record would not fit into an item: one commit, before and after."""
    monkeypatch.setattr(commits, "MAX_ITEM", 20_000)
    folder, file = tmp_path / "store", tmp_path / "ledger.csv"
    ledger(file, "acct-1", 300, date(2019, 12, 31))
    with Store(folder, create=True) as store:
        ingest(store, file)
        assert (store.catalogue.snapshot("s").seq, store.catalogue.snapshot("s").total_files) == (1, 300)
        assert lists(store.catalogue)  # type: ignore[arg-type]
    right = answer(folder)
    for name in ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm", "catalogue.sqlite-head"):
        (folder / name).unlink(missing_ok=True)
    with Store(folder) as store:
        assert store.recover().streams == {"s": 1}
    with Store(folder) as store:
        assert store.verify().ok
        ingest(store, file)  # it counts once
        assert store.streams()[0].sources == 1
    assert answer(folder) == right


def test_a_folder_that_was_copied_is_the_same_store(made: tuple[Path, object], tmp_path: Path) -> None:
    folder, right = made
    shutil.copytree(folder, tmp_path / "copied")
    assert answer(tmp_path / "copied") == right
    with Store(tmp_path / "copied") as store:
        assert store.verify().ok


# Ledgers


def check_ledger(store: Store, file: Path, days: int) -> None:
    """One commit of a file for each day, whole, once, and with the right answer for all of it and for a part."""
    first = date(1970, 1, 2)
    ledger(file, "acct-1", days, first)
    ingest(store, file)
    ingest(store, file)
    snapshot = store.catalogue.snapshot("s")
    assert (snapshot.seq, snapshot.total_files, snapshot.total_rows, snapshot.sources) == (1, days, days, 1)
    assert store.catalogue.audit("s") == []
    amounts = [(n * 37) % 200 - 90 for n in range(days)]
    assert list(store.query(METRIC, progress=False)) == [("acct-1", days, sum(amounts), 1000 + days - 1)]
    part = store.query(METRIC, since=str(first + timedelta(100)), until=str(first + timedelta(130)), progress=False)
    assert list(part) == [("acct-1", 30, sum(amounts[100:130]), 1129)]


@pytest.mark.parametrize("days", [1826, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_a_ledger_in_sqlite(tmp_path: Path, days: int) -> None:
    with Store(tmp_path / "store", create=True) as store:
        check_ledger(store, tmp_path / "ledger.csv", days)
        assert hashlib.sha256((tmp_path / "ledger.csv").read_bytes()).hexdigest() in {
            s.id for s in store.catalogue.sources("s")
        }
        assert store.verify().ok


@pytest.fixture
def without_copies(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto copies all tables before each transaction, in case it is refused: none is here."""
    monkeypatch.setattr("moto.dynamodb.models.copy", SimpleNamespace(deepcopy=lambda tables: tables))


@pytest.mark.parametrize(("days", "most"), [(400, 40_000), pytest.param(1826, MAX_ITEM, marks=pytest.mark.nightly)])
def test_a_ledger_in_dynamodb(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, most: int) -> None:
    """Each file is three requests to moto's S3, so there are fewer of them, and smaller items."""
    monkeypatch.setattr(commits, "MAX_ITEM", most)
    with Store("s3://lake/ledger", create=True) as store:
        check_ledger(store, tmp_path / "ledger.csv", days)
        assert lists(store.catalogue)  # type: ignore[arg-type]


@pytest.mark.nightly
def test_a_commit_of_20_000_files_in_dynamodb(without_copies: None) -> None:
    """Read by range only: moto sorts the table for every query."""
    with DynamoCatalogue("antfold", "lake/p", create=lambda: True) as catalogue:
        catalogue.streams()
        attempt = new_attempt()
        many = files("s", attempt, *range(1, 20_001))
        assert catalogue.commit("s", SCHEMA, source("a"), many, attempt) == Committed(1)
        assert catalogue.commit("s", SCHEMA, source("a"), many, attempt) == Committed(1)
        expected = [replace(file, seq=1, ordinal=n) for n, file in enumerate(many)]
        assert list(next(iter(catalogue.records("s"))).adds) == expected
        assert list(catalogue.snapshot("s", 9_999 * DAY, 10_050 * DAY).files) == expected[9_998:10_049]
        assert catalogue.snapshot("s", 0, DAY).total_files == 20_000
