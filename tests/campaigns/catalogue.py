"""Damaged catalogues: every query returns the right result or an error, and `verify` reports what is refused.

One bit is flipped in SQLite's file, its write-ahead log and its head; in an item of the contract suite's table; in an
item of DynamoDB (moto). Every item is deleted, swapped with another, and overwritten by another.
"""

from __future__ import annotations

import copy
import hashlib
import random
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import (
    DAY,
    Catalogue,
    DynamoCatalogue,
    FileEntry,
    SourceEntry,
    SqliteCatalogue,
    StreamSchema,
    TableCatalogue,
    file_path,
)
from runtime.catalogue.key_value import run as run_steps
from runtime.catalogue.protocol import StreamSteps
from tests.campaigns import Report
from tests.moto_tables import quick_tables
from tests.simulator.engine import MemoryTable

D = 19_800
SCHEMA = StreamSchema("device", Type.STRING, "ts", {"temp": Type.INT}, unit="ms")
WIDER = replace(SCHEMA, columns={"temp": Type.FLOAT, "status": Type.STRING})
STREAMS = ("a", "late", "once")
RANGES: dict[str, list[tuple[int | None, int | None]]] = {
    "a": [(None, None), (D, D + 1), (D + 1, D + 3), (D + 40, D + 42), (D + 300, None)],
    "late": [(None, None), (None, D + 2), (D + 3, None)],
    "once": [(None, None), (D, D + 1)],
}
SECONDS = 20

Items = dict[tuple[str, str], tuple[int, bytes]]
Answers = dict[str, object]


class _Hangs(BaseException):
    """No ``Exception``: nothing in between may catch it."""


def run(budget: int, seed: int) -> Report:
    """Flip ``budget`` bits in SQLite's files, as many in the table's items and a tenth in DynamoDB's; then all items.

    "All items" is so from a budget of some hundreds on; with less, some of them are drawn.
    """
    report, rng = Report(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="antfold-catalogue-") as name:
        in_sqlite(report, rng, Path(name), budget)
    in_table(report, rng, budget)
    in_dynamodb(report, rng, max(1, budget // 10))
    return report


def made(catalogue: TableCatalogue) -> None:
    """Commits of every kind to some streams; the day index of one of them lags."""
    for stream in STREAMS[:2]:
        catalogue.commit(stream, SCHEMA, _source("bad", quarantined="not JSON"), [], f"q{stream}")
        _commit(catalogue, stream, "one", D, D, D + 1, D + 40)
        _commit(catalogue, stream, "two", D, D + 400)
        catalogue.commit(stream, SCHEMA, _source("bad"), _files(stream, f"r{stream}", D + 2), f"r{stream}")
        _commit(catalogue, stream, "three", D + 1, schema=WIDER)
        with listed(catalogue):
            _commit(catalogue, stream, "four", D + 2, D + 3)
    steps = StreamSteps("a", catalogue.table.most)
    day = [file for file in catalogue.snapshot("a").files if file.day == D]
    for attempt, gone, new in (("z1", day, _files("a", "z1", D)), ("z2", _on(catalogue, D + 40), [])):
        run_steps(catalogue.table, steps.replace(gone, new, attempt))
        run_steps(catalogue.table, steps.note_head())
        run_steps(catalogue.table, steps.catch_up())
    catalogue.claim_for_sweep("a", "dead")
    catch_up = catalogue._catch_up
    catalogue._catch_up = lambda steps: run_steps(catalogue.table, steps.note_head())  # type: ignore[method-assign]
    _commit(catalogue, "late", "last", D + 3, D + 41)
    with listed(catalogue):
        _commit(catalogue, "late", "listed", D + 3, D + 41, D + 42)
    catalogue._catch_up = catch_up  # type: ignore[method-assign]
    _commit(catalogue, "once", "one", D)


@contextmanager
def listed(catalogue: TableCatalogue) -> Iterator[None]:
    """Commits in here list each of their files in an item of its own, and compress their schema."""
    usual = catalogue._steps

    def small(stream: str) -> StreamSteps:
        steps = usual(stream)
        steps.room = 0
        return steps

    catalogue._steps = small  # type: ignore[method-assign]
    yield
    catalogue._steps = usual  # type: ignore[method-assign]


def questions(catalogue: Catalogue, streams: Collection[str] = STREAMS) -> Iterator[tuple[str, Callable[[], object]]]:
    """All that a catalogue is asked of these streams, by name."""
    yield "streams", catalogue.streams
    for stream in streams:
        yield f"schema {stream}", lambda s=stream: _schema(catalogue.schema(s))  # type: ignore[misc]
        yield f"sources {stream}", lambda s=stream: catalogue.sources(s)  # type: ignore[misc]
        for name in ("bad", "one", "two", "three", "four", "last", "listed", "never"):
            id_ = _source(name).id
            yield f"source {stream} {name}", lambda s=stream, i=id_: catalogue.is_ingested(s, i)  # type: ignore[misc]
        yield f"log {stream}", lambda s=stream: list(catalogue.records(s))  # type: ignore[misc]
        for low, high in RANGES[stream]:
            since, until = (None if day is None else day * DAY for day in (low, high))
            yield (
                f"files {stream} {low} {high}",
                lambda s=stream, a=since, b=until: _snapshot(catalogue, s, a, b),  # type: ignore[misc]
            )


def verified(catalogue: Catalogue, streams: Collection[str] = STREAMS) -> list[str]:
    """What `verify` says of the catalogue; it raises nothing."""
    return [*catalogue.problems(), *(problem for stream in STREAMS for problem in catalogue.audit(stream))]


def judge(report: Report, what: str, catalogue: Catalogue, right: Answers, streams: Collection[str] = STREAMS) -> None:
    """Ask everything; a wrong answer, a traceback, and a refusal that `verify` knows nothing of are failures."""
    refused = ""
    try:
        with _limited():
            for name, ask in questions(catalogue, streams):
                try:
                    found = ask()
                except DataflowError as error:
                    refused = refused or f"{name}: {error}"
                    continue
                if found != right[name]:
                    report.failures.append(f"{what}: {name}: {right[name]} is right, {found} came")
            if refused and not verified(catalogue, streams):
                report.failures.append(f"{what}: verify finds nothing, though it is refused: {refused}")
    except _Hangs:
        report.failures.append(f"{what}: it hangs")
    except Exception as error:
        report.failures.append(f"{what}: {type(error).__name__}: {error}")


def in_sqlite(report: Report, rng: random.Random, folder: Path, budget: int) -> None:
    """One file, and one with a write-ahead log that holds most of it."""
    whole, logged = folder / "whole", folder / "logged"
    with SqliteCatalogue(whole / "catalogue.sqlite") as catalogue:
        made(catalogue)
        right = {name: ask() for name, ask in questions(catalogue)}
        logged.mkdir()
        for file in whole.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, logged / file.name)
    for number in range(budget):
        store = (whole, whole, logged)[number % 3]
        contents = {file.name: bytearray(file.read_bytes()) for file in store.iterdir()}
        at = rng.randrange(8 * sum(map(len, contents.values())))
        work = folder / "work"
        work.mkdir()
        what = ""
        for name, content in sorted(contents.items()):
            if 0 <= at < 8 * len(content):
                content[at // 8] ^= 1 << at % 8
                what = f"SQLite, {store.name}/{name}, bit {at}"
            at -= 8 * len(content)
            (work / name).write_bytes(content)
        report.count("one bit of SQLite's files flipped")
        _judge_file(report, what, work, right)
        shutil.rmtree(work)
    places = [row[:2] for row in _rows(whole)]
    rng.shuffle(places)
    for number, place in enumerate(places[: max(5, budget // 10)]):
        others = sorted((p for p in places if p != place), key=lambda p: (p[0] != place[0], rng.random()))
        for kind, damage in ITEM_DAMAGE.items():
            work = folder / "work"
            shutil.copytree(whole, work)
            items = {(partition, sort): (n, body) for partition, sort, n, body in _rows(work)}
            damage(items, place, others[number % 2])
            connection = sqlite3.connect(work / "catalogue.sqlite", isolation_level=None)
            connection.execute("begin")
            connection.execute("delete from items")
            connection.executemany("insert into items values (?, ?, ?, ?)", [(*k, *v) for k, v in items.items()])
            connection.execute("commit")
            connection.close()
            report.count(f"SQLite, an item {kind}")
            _judge_file(report, f"SQLite, {place} {kind} {others[number % 2]}", work, right)
            shutil.rmtree(work)


def _judge_file(report: Report, what: str, work: Path, right: Answers) -> None:
    try:
        with _limited(), SqliteCatalogue(work / "catalogue.sqlite", patience=1) as catalogue:
            judge(report, what, catalogue, right)
    except DataflowError:
        return
    except _Hangs:
        report.failures.append(f"{what}: opening it hangs")
    except Exception as error:
        report.failures.append(f"{what}: {type(error).__name__}: {error}")


def _rows(store: Path) -> list[tuple[str, str, int, bytes]]:
    connection = sqlite3.connect(store / "catalogue.sqlite")
    found = connection.execute("select partition, sort, number, body from items").fetchall()
    connection.close()
    return found


def in_table(report: Report, rng: random.Random, budget: int) -> None:
    table = MemoryTable()
    made(TableCatalogue(table))
    items = {(p, s): item for p, part in table.items.items() for s, item in part.items()}
    right = {name: ask() for name, ask in questions(TableCatalogue(table))}

    def tried(what: str, damage: Callable[[Items], object]) -> None:
        changed = dict(items)
        damage(changed)
        other = MemoryTable()
        other.beside = dict(table.beside)
        for (partition, sort), item in changed.items():
            other.items.setdefault(partition, {})[sort] = item
        judge(report, what, TableCatalogue(other), right)

    for _ in range(budget):
        place, flipped = flipped_item(rng, items)
        report.count("one bit of an item of the table flipped")
        tried(f"table, {place} became {flipped}", lambda held, p=place, f=flipped: _put_back(held, p, f))  # type: ignore[misc]
    places = sorted(items)
    rng.shuffle(places)
    for place in places[: max(5, budget // 10)]:
        for other in _others(rng, places, place):
            for kind, damage in ITEM_DAMAGE.items():
                report.count(f"table, an item {kind}")
                tried(f"table, {place} {kind} {other}", lambda h, d=damage, a=place, b=other: d(h, a, b))  # type: ignore[misc]


def in_dynamodb(report: Report, rng: random.Random, budget: int) -> None:
    import boto3
    from moto import mock_aws

    with (
        mock_aws(),
        quick_tables(),
        _region(),
        DynamoCatalogue("antfold", "lake/p", create=lambda: True) as catalogue,
    ):
        catalogue.streams()
        made(catalogue)
        right = {name: ask() for name, ask in questions(catalogue)}
        db = boto3.client("dynamodb")
        owner = "lake/p|"
        held: Items = {}
        for item in db.get_paginator("scan").paginate(TableName="antfold").search("Items[]"):
            place = item["pk"]["S"].removeprefix(owner), item["sk"]["S"]
            held[place] = int(item["number"]["N"]), bytes(item["body"]["B"])

        def stored(place: tuple[str, str], item: tuple[int, bytes] | None) -> None:
            key = {"pk": {"S": owner + place[0]}, "sk": {"S": place[1]}}
            if item is None:
                db.delete_item(TableName="antfold", Key=key)
            else:
                rest = {"number": {"N": str(item[0])}, "body": {"B": item[1]}}
                db.put_item(TableName="antfold", Item=key | rest)

        def tried(what: str, changed: Items) -> None:
            touched = {p for p in {*held, *changed} if held.get(p) != changed.get(p)}
            for place in touched:
                stored(place, changed.get(place))
            # Requests to moto take long: only streams that are touched are asked for.
            streams = {partition.partition("/")[0] for partition, _ in touched} & set(STREAMS)
            judge(report, what, catalogue, right, sorted(streams) or STREAMS)
            for place in touched:
                stored(place, held.get(place))

        for _ in range(budget):
            place, flipped = flipped_item(rng, held)
            changed = dict(held)
            _put_back(changed, place, flipped)
            report.count("one bit of an item of DynamoDB flipped")
            tried(f"DynamoDB, {place} became {flipped}", changed)
        places = sorted(held)
        rng.shuffle(places)
        for place in places[: max(2, budget // 10)]:
            other = _others(rng, places, place)[0]
            for kind, damage in ITEM_DAMAGE.items():
                changed = dict(held)
                damage(changed, place, other)
                report.count(f"DynamoDB, an item {kind}")
                tried(f"DynamoDB, {place} {kind} {other}", changed)


def flipped_item(rng: random.Random, items: Items) -> tuple[tuple[str, str], tuple[str, str, int, bytes]]:
    """An item's place, and the item with one bit of its keys, its number or its body flipped."""
    while True:
        place = rng.choice(sorted(items))
        number, body = items[place]
        parts = [
            bytearray(place[0].encode()),
            bytearray(place[1].encode()),
            bytearray(number.to_bytes(8)),
            bytearray(body),
        ]
        at = rng.randrange(8 * sum(map(len, parts)))
        for part in parts:
            if at < 8 * len(part):
                part[at // 8] ^= 1 << at % 8
                break
            at -= 8 * len(part)
        try:
            partition, sort = parts[0].decode(), parts[1].decode()
        except UnicodeDecodeError:
            continue
        if partition and sort:
            return place, (partition, sort, int.from_bytes(parts[2], signed=True), bytes(parts[3]))


def _put_back(items: Items, place: tuple[str, str], changed: tuple[str, str, int, bytes]) -> None:
    del items[place]
    items[changed[:2]] = changed[2:]


def _others(rng: random.Random, places: list[tuple[str, str]], place: tuple[str, str]) -> list[tuple[str, str]]:
    """One item of the same partition, or of the same kind in another stream, and any other one."""
    kind = place[0].rpartition("/")[2][:3]
    near = [p for p in places if p != place and p[0].rpartition("/")[2][:3] == kind]
    return [rng.choice(near or [p for p in places if p != place]), rng.choice([p for p in places if p != place])]


def _deleted(items: Items, place: tuple[str, str], other: tuple[str, str]) -> None:
    del items[place]


def _swapped(items: Items, place: tuple[str, str], other: tuple[str, str]) -> None:
    items[place], items[other] = items[other], items[place]


def _overwritten(items: Items, place: tuple[str, str], other: tuple[str, str]) -> None:
    items[other] = items[place]


def _moved(items: Items, place: tuple[str, str], other: tuple[str, str]) -> None:
    items[other] = items.pop(place)


ITEM_DAMAGE = {
    "deleted": _deleted,
    "swapped with": _swapped,
    "written over": _overwritten,
    "moved to": _moved,
}


def _source(name: str, **more: Any) -> SourceEntry:
    return replace(SourceEntry(hashlib.sha256(name.encode()).hexdigest(), name, 100), **more)


def _files(stream: str, attempt: str, *days: int) -> list[FileEntry]:
    return [
        FileEntry(
            file_path(stream, day, attempt, n), day, 10 + n, 1000 + n, day * DAY + n, day * DAY + 50 + n,
            f"{n:064x}", 3, n, {"temp": n}, footer=f"{n:032x}",
        )
        for n, day in enumerate(days)
    ]  # fmt: skip


def _commit(catalogue: TableCatalogue, stream: str, name: str, *days: int, schema: StreamSchema = SCHEMA) -> None:
    attempt = f"{name}{stream}"
    catalogue.commit(stream, schema, _source(name, rejected=1, dropped=2), _files(stream, attempt, *days), attempt)


def _on(catalogue: TableCatalogue, day: int) -> list[FileEntry]:
    return [file for file in catalogue.snapshot("a").files if file.day == day]


def _snapshot(catalogue: Catalogue, stream: str, since: int | None, until: int | None) -> object:
    found = catalogue.snapshot(stream, since, until)
    # Of a source in quarantine the clock is the only thing that differs from run to run; it is in the record, too.
    return replace(found, files=()), [copy.copy(file) for file in found.files], list(found.schema.columns)  # type: ignore[arg-type]


def _schema(schema: StreamSchema | None) -> object:
    return None if schema is None else (schema, list(schema.columns))


@contextmanager
def _limited() -> Iterator[None]:
    """Raise where it takes too long."""

    def late(*_: object) -> None:
        raise _Hangs

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _region() -> Iterator[None]:
    import os

    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before
