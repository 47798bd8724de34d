"""Verification finds each kind of damage, and none in an intact store."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from operators.types import Type
from runtime.catalogue import DAY, FileEntry, SourceEntry, SqliteCatalogue, StreamSchema, file_path, new_attempt
from runtime.catalogue.items.entries import data_folder
from runtime.objects import FolderObjects
from runtime.storage.verify_store import VerifyReport, verify

D = 19_800
SCHEMA = StreamSchema("device", Type.STRING, "ts")


def decode(data: bytes, file: FileEntry) -> Iterator[str]:
    """The files of these tests hold their row count as text."""
    if int(data.split()[0]) != file.rows:
        yield f"rows: the file has {data.split()[0]!r}, the catalogue says {file.rows}"


@dataclass
class Made:
    folder: Path
    objects: FolderObjects
    catalogue: SqliteCatalogue
    files: list[FileEntry]

    def verify(self) -> VerifyReport:
        return verify(self.objects, self.catalogue, decode=decode)

    def sql(self, statement: str, *values: object) -> None:
        connection = sqlite3.connect(self.folder / "catalogue.sqlite")
        # The low byte of a row's count of points; see rows.HEAD.
        connection.create_function("changed", 1, lambda body: body[:32] + bytes([body[32] ^ 1]) + body[33:])
        with connection:
            assert connection.execute(statement, values).rowcount == 1
        connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Made]:
    objects = FolderObjects(tmp_path)
    with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
        made = Made(tmp_path, objects, catalogue, [])
        for number in range(3):
            attempt = new_attempt()
            files = []
            for n, day in enumerate((D, D + number)):
                path, data = file_path("s", day, attempt, n), f"{10 + n} rows".encode()
                objects.put(path, data)
                sha256 = hashlib.sha256(data).hexdigest()
                files.append(FileEntry(path, day, 10 + n, len(data), day * DAY, day * DAY + 5, sha256))
            source = SourceEntry(hashlib.sha256(bytes([number])).hexdigest(), f"file {number}", 10)
            catalogue.commit("s", SCHEMA, source, files, attempt)
            made.files += files
        yield made


def test_a_whole_store(store: Made) -> None:
    report = store.verify()
    assert report.ok
    assert (report.problems, report.orphans) == ((), ())
    assert str(report) == "s: 3 commits, 6 files, 63 rows, 42 bytes: all right"
    assert report.to_dict()["streams"][0]["rows"] == 63


def test_orphans_are_no_errors(store: Made) -> None:
    left, first = f"{data_folder('s', D)}/dead-0.points", f"{data_folder('t', D)}/dead-0.points"
    store.objects.put(left, b"123")
    store.objects.put(first, b"12")
    report = store.verify()
    assert report.ok
    assert (report.orphans, report.orphan_bytes) == ((left, first), 5)
    assert "2 orphans (5 bytes)" in str(report)
    assert verify(store.objects, store.catalogue, ["s"], decode=decode).orphans == (left,)


def test_an_unknown_stream(store: Made) -> None:
    assert verify(store.objects, store.catalogue, ["x"]).problems == ("there is no stream 'x' in this store",)


def test_files_that_are_damaged(store: Made) -> None:
    paths = [store.folder / file.path for file in store.files]
    paths[0].unlink()
    paths[1].write_bytes(b"11 row")
    paths[2].write_bytes(b"10 r0ws")
    report = store.verify()
    assert not report.ok
    assert len(report.problems) == 3
    for file, what in zip(store.files, ("is missing", "6 bytes, the catalogue says 7", "SHA-256"), strict=False):
        assert any(file.path in problem and what in problem for problem in report.problems), report.problems


def test_a_file_that_is_not_what_the_catalogue_says(store: Made) -> None:
    attempt = new_attempt()
    path, data = file_path("s", D, attempt, 0), b"7 rows"
    store.objects.put(path, data)
    file = FileEntry(path, D, 8, len(data), D * DAY, D * DAY, hashlib.sha256(data).hexdigest())
    store.catalogue.commit("s", SCHEMA, SourceEntry("f" * 64, "wrong", 1), [file], attempt)
    assert [p for p in store.verify().problems if "the catalogue says 8" in p]


ROW = "where partition like 's/DAY%' and sort like '%2#000001'"
MARK = "update items set body = cast('{\"seq\":N}' as blob) where partition = 's/WM'"
CLAIM = "where partition = 's/CLAIM' and sort = (select min(sort) from items where partition = 's/CLAIM')"
DAMAGE = {
    "log gap": ("delete from items where partition = 's/LOG' and sort like '%2'", "gap after record 1"),
    "log end": ("delete from items where partition = 's/LOG' and sort like '%3'", "ends at commit 2, but commit 3 was"),
    "log garbage": ("update items set body = x'00' where partition = 's/LOG' and sort like '%2'", "no checksum"),
    "row lost": (f"delete from items {ROW}", "does not have the rows of"),
    "row cut": (f"update items set body = substr(body, 1, 90) {ROW}", "damaged"),
    "row changed": (f"update items set body = changed(body) {ROW}", "checksum is wrong"),
    "mark low": (MARK.replace("N", "2"), "no checksum"),
    "mark high": (MARK.replace("N", "4"), "no checksum"),
    "mark lost": ("delete from items where partition = 's/WM'", "watermark"),
    "head lost": ("delete from items where partition = 's/HEAD'", "head"),
    "number changed": ("update items set number = 7 where partition = 's/WM'", "checksum is wrong"),
    "source lost": ("delete from items where partition = 's/SRC' and sort like '6e34%'", "no item for its source"),
    "claim lost": (f"delete from items {CLAIM}", "no claim"),
    "name lost": ("delete from items where partition = 'STREAMS'", "list of streams"),
    "count lost": ("delete from items where partition = 'COUNT'", "list of streams"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_catalogue_that_is_damaged(store: Made, name: str) -> None:
    statement, expected = DAMAGE[name]
    store.sql(statement)
    report = store.verify()
    assert not report.ok
    assert any(expected in problem for problem in report.problems), report.problems


def test_real_point_files(store: Made, tmp_path: Path) -> None:
    """With the real format: decoded completely, and compared with what the catalogue says."""
    pointfile = pytest.importorskip("runtime.pointfile")
    import numpy as np

    from runtime.columns import Column, Dictionary, Points

    n = 1000
    key = Column(Type.STRING, np.arange(n, dtype=np.int32) % 7, None, Dictionary.of([f"d{i}" for i in range(7)]))
    time = D * DAY + np.arange(n, dtype=np.int64) * 1_000_000
    valid = np.arange(n) % 3 != 0
    points = Points(key, time, {"x": Column(Type.FLOAT, np.arange(n, dtype=np.float64), valid)})
    data = pointfile.encode(pointfile.sort_points(points), key="device", time="ts", day=D)
    objects = FolderObjects(tmp_path / "real")
    with SqliteCatalogue(tmp_path / "real.sqlite") as catalogue:
        attempt = new_attempt()
        path = file_path("s", D, attempt, 0)
        objects.put(path, data)
        sha256 = hashlib.sha256(data).hexdigest()
        nulls = {"x": int((~valid).sum())}
        file = FileEntry(path, D, n, len(data), int(time[0]), int(time[-1]), sha256, 7, 0, nulls)
        catalogue.commit("s", SCHEMA, SourceEntry("a" * 64, "x", 1), [file], attempt)
        assert verify(objects, catalogue).problems == ()
        for k, change in enumerate(({"rows": 999}, {"keys": 6}, {"t_max": file.t_max + 1}, {"nulls": {"x": 0}})):
            attempt = f"x{k}"
            path = file_path("s", D, attempt, 0)
            objects.put(path, data)
            wrong = replace(file, path=path, **change)
            catalogue.commit("s", SCHEMA, SourceEntry(f"{k:064x}", "x", 1), [wrong], attempt)
        problems = verify(objects, catalogue).problems
        assert len(problems) == 4, problems
        assert all(f"/x{k}-0.points" in problem for k, problem in enumerate(problems))
