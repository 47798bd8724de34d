"""Sources: exactly once, compressed or not, missing, damaged, several at once."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard

from operators.types import Type
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest import Settings, SourcesFailed, StreamInput, quarantine
from runtime.ingest.inputs.inputs import FileInput
from tests.runtime.ingest.lake import Lake, T


def lines(start: int, stop: int) -> bytes:
    return b"".join(b'{"k":"d%d","t":%d,"n":%d}\n' % (i % 7, T + i, i) for i in range(start, stop))


def numbers(lake: Lake, stream: str = "s") -> list[int]:
    return sorted(r["n"] for r in lake.rows(stream))


def test_a_file_counts_once(lake: Lake, tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_bytes(lines(0, 10))
    b.write_bytes(lines(0, 10))
    report = lake.ingest(a, b, str(a))
    assert [s.status for s in report.sources] == ["ingested", "already ingested", "already ingested"]
    assert lake.ingest(io.BytesIO(lines(0, 10))).sources[0].status == "already ingested"
    assert numbers(lake) == list(range(10))
    assert lake.ingest(a, stream="other").committed == 10


def test_a_source_with_an_identity_of_its_own(lake: Lake) -> None:
    """Equal content under another identity is another source; the same identity is not even read."""
    one, two = "1" * 64, "2" * 64
    for identity in (one, two):
        given = StreamInput(io.BytesIO(lines(0, 3)), "object", identity=identity)
        assert lake.ingest(given).sources[0].status == "ingested"
        assert not given.file.read(1)
    again = StreamInput(io.BytesIO(lines(3, 6)), "object", identity=one)
    assert lake.ingest(again).sources[0].status == "already ingested"
    assert again.file.read(1)
    assert numbers(lake) == [0, 0, 1, 1, 2, 2]
    assert [s.id for s in lake.catalogue.sources("s")] == [one, two]


def test_quarantine(lake: Lake) -> None:
    """It can be the first of a stream, settles no type of it, and ends when the source is ingested after all."""
    settings = Settings.of(
        None, "s", key="k", time="t", unit="ms", format="auto", duplicates=None, id=None, missing_key=None
    )
    bad = "1" * 64
    assert quarantine(lake.catalogue, "s", settings, bad, "object", 7, "it is damaged")
    assert not quarantine(lake.catalogue, "s", settings, bad, "object", 7, "it is damaged")
    (entry,) = lake.catalogue.sources("s")
    assert (entry.bytes, entry.quarantined) == (7, "it is damaged")
    lake.ingest(io.BytesIO(b""))
    assert lake.records([{"k": 5, "t": T, "n": 1}]).committed == 1
    assert lake.ingest(StreamInput(io.BytesIO(b'{"k":6,"t":%d,"n":2}' % T), "object", identity=bad)).committed == 1
    assert lake.catalogue.snapshot("s").quarantined == 0
    assert not quarantine(lake.catalogue, "s", settings, bad, "object", 7, "too late")
    assert numbers(lake) == [1, 2]


def test_integer_keys_without_columns_stay_integers(lake: Lake) -> None:
    lake.records([{"k": 5, "t": T}])
    assert lake.text(f"k,t\n6,{T}\n").committed == 1
    assert [r["k"] for r in lake.rows()] == [5, 6]


def test_patterns_and_standard_input(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.json").write_bytes(lines(i, i + 1))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(3, 4))))
    report = lake.ingest(str(tmp_path / "in" / "*.json"), "-")
    assert [Path(s.name).name for s in report.sources] == ["0.json", "1.json", "2.json", "standard input"]
    assert numbers(lake) == [0, 1, 2, 3]


def test_a_pipe_is_read_once(lake: Lake, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(lines(0, 5)))
    writer.start()
    lake.ingest(pipe)
    writer.join()
    assert numbers(lake) == list(range(5))


def test_bad_inputs_are_found_before_anything_is_ingested(lake: Lake, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_bytes(lines(0, 1))
    for bad, message in [
        (tmp_path / "missing.json", "missing.json cannot be read: No such file"),
        (tmp_path, "is a folder: name its files with a pattern"),
        (str(tmp_path / "*.csv"), "no file matches"),
        (7, "input 2 is of type int"),
        ([{"k": "a", "t": 1}], "input 2 is one record, not a table: make one table of all records"),
    ]:
        with pytest.raises(IngestError, match=message):
            lake.ingest(good, bad)
    with pytest.raises(IngestError, match="nothing to ingest"):
        lake.ingest()
    with pytest.raises(IngestError, match="open it in binary mode"):
        lake.ingest(io.StringIO("{}"))
    assert lake.catalogue.streams() == []


def test_lists_of_inputs(lake: Lake, tmp_path: Path) -> None:
    for name, data in (("a", lines(0, 2)), ("b", lines(2, 4))):
        (tmp_path / name).write_bytes(data)
    report = lake.ingest([tmp_path / "a", tmp_path / "b"], (io.BytesIO(lines(4, 6)),))
    assert [s.status for s in report.sources] == ["ingested"] * 3
    assert numbers(lake) == list(range(6))


def test_the_others_are_ingested_when_one_is_bad(lake: Lake, tmp_path: Path) -> None:
    for name, data in (("a", lines(0, 2)), ("b", gzip.compress(lines(2, 4))[:-9]), ("c", lines(4, 6))):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SourcesFailed, match=r"1 of 3 inputs were not ingested .*cut short") as failed:
        lake.ingest(*(tmp_path / n for n in "abc"))
    assert [s.status for s in failed.value.report.sources] == ["ingested", "failed", "ingested"]
    assert numbers(lake) == [0, 1, 4, 5]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKED = {
    "gzip": gzip.compress(lines(0, 500)),
    "gzip members": gzip.compress(lines(0, 250)) + gzip.compress(b"") + gzip.compress(lines(250, 500)),
    "gzip padded": gzip.compress(lines(0, 500)) + b"\0" * 512,
    "zstd": zstd(lines(0, 500)),
    "zstd frames": zstd(lines(0, 250)) + zstd(b"") + zstd(lines(250, 500)),
    "zstd skippable": b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(lines(0, 500)),
    "zstd no size": zstandard.ZstdCompressor(write_content_size=False).compress(lines(0, 500)),
}


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_compression_is_found_by_content(lake: Lake, packed: bytes) -> None:
    assert lake.text(packed).committed == 500
    assert numbers(lake) == list(range(500))


class Dripping(io.RawIOBase):
    """A file that gives one byte at a time, as a slow pipe may."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(1)


@pytest.mark.parametrize("packed", [lines(0, 50), *(PACKED[n] for n in ("gzip members", "zstd frames"))])
def test_bytes_may_come_one_by_one(lake: Lake, packed: bytes) -> None:
    lake.ingest(Dripping(packed))
    assert numbers(lake)[:50] == list(range(50))


@pytest.mark.parametrize("what", ["gzip", "gzip members", "zstd", "zstd frames", "zstd no size"])
def test_every_truncation_of_a_compressed_source_is_an_error(lake: Lake, what: str) -> None:
    packed = PACKED[what]
    pack = gzip.compress if "gzip" in what else zstd
    first = len(pack(lines(0, 250)))
    clean = {first, first + len(pack(b""))} if "m" in what else set()  # between members the file is whole
    for size in {*range(12, len(packed), 97), *range(len(packed) - 12, len(packed))} - clean:
        with pytest.raises(IngestError, match=r"cut short: its (gzip|zstd) data ends at byte"):
            lake.text(packed[:size])
    assert lake.catalogue.streams() == []


def test_damage_and_things_after_the_end_are_errors(lake: Lake) -> None:
    for what in ("gzip", "zstd"):
        packed = bytearray(PACKED[what])
        with pytest.raises(IngestError, match="something else after its"):
            lake.text(bytes(packed) + b'{"k":"x","t":1}')
        packed[len(packed) // 2] ^= 16
        with pytest.raises(IngestError, match="is damaged: its"):
            lake.text(bytes(packed))
    assert lake.catalogue.streams() == []


def test_a_file_that_changes_while_it_is_read(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(lines(0, 2))
    real = FileInput.digest

    def digest_then_change(self: FileInput) -> Any:
        found = real(self)
        path.write_bytes(lines(2, 4) + b"\n")
        return found

    monkeypatch.setattr(FileInput, "digest", digest_then_change)
    with pytest.raises(IngestError, match="was changed while it was read"):
        lake.ingest(path)
    assert lake.catalogue.streams() == []


def test_declarations_must_agree_with_the_stream(lake: Lake) -> None:
    lake.text(lines(0, 1), duplicates="exact", id="n")
    for options, message in [
        ({"key": "n"}, "has the key column 'k', not 'n'"),
        ({"time": "n"}, "has the time column 't'"),
        ({"duplicates": "latest"}, "has the duplicates policy 'exact'"),
        ({"id": "z"}, "has the id column 'n'"),
    ]:
        with pytest.raises(SchemaConflict, match=message):
            lake.text(lines(1, 2), **options)
    assert lake.text(lines(2, 3)).committed == 1


@pytest.mark.parametrize(
    "options",
    [
        {"unit": "min"},
        {"format": "xml"},
        {"duplicates": "all"},
        {"key": ""},
        {"key": "t"},
        {"id": "k"},
        {"time": "a\nb"},
        {"missing_key": ""},
    ],
)
def test_declarations_that_make_no_sense(lake: Lake, options: dict[str, Any]) -> None:
    with pytest.raises(IngestError):
        lake.text(lines(0, 1), **options)


def test_types_are_those_of_the_stream(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "x": "1"}])
    report = lake.records([{"k": "a", "t": T, "x": 1}, {"k": "b", "t": T, "x": "2"}])
    assert (report.committed, report.rejected) == (2, 0)
    assert lake.columns() == {"x": Type.STRING, "x#int64": Type.INT}
    assert [(r.get("x"), r.get("x#int64")) for r in lake.rows()] == [("1", None), (None, 1), ("2", None)]


def test_two_at_once(lake: Lake, tmp_path: Path) -> None:
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i % 3}-{i}.json")
        paths[-1].write_bytes(lines(1000 * (i % 3), 1000 * (i % 3) + 1000))
    statuses: list[str] = []

    def run(path: Path) -> None:
        statuses.append(lake.ingest(path).sources[0].status)

    threads = [threading.Thread(target=run, args=(p,)) for p in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["already ingested"] * 3 + ["ingested"] * 3
    assert numbers(lake) == list(range(3000))


def test_rejects_of_an_attempt_that_was_not_committed_do_not_get_in_the_way(lake: Lake) -> None:
    data = lines(0, 1) + b"bad\n"
    first = lake.text(data, stream="x").sources[0]
    assert first.rejects_path is not None
    path = lake.folder / first.rejects_path.replace("/x/", "/s/")
    path.parent.mkdir(parents=True)
    path.write_text("left by an earlier attempt\n")
    second = lake.text(data).sources[0]
    assert second.rejects_path is not None
    assert json.loads((lake.folder / second.rejects_path).read_text())["reason"] == "not JSON"


def test_the_report(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(lines(0, 10) + b"bad\n")
    report = lake.ingest(path)
    assert report.to_dict()["sources"][0]["committed"] == report.committed == 10
    assert json.loads(json.dumps(report.to_dict()))["reasons"] == {"not JSON": 1}
    assert report.bytes_in == path.stat().st_size
    assert report.bytes_out == sum(p.stat().st_size for p in lake.folder.rglob("*.points"))
    assert str(report).startswith(f"{path}: 10 rows in 1 file, 1 rejected")


def test_progress_is_told(lake: Lake, tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.started: list[tuple[str, int | None, str]] = []
            self.done = self.rows = self.finished = 0

        def start(self, label: str, total: int | None, unit: str) -> Counting:
            self.started.append((label, total, unit))
            return self

        def advance(self, n: int, rows: int = 0) -> None:
            self.done += n
            self.rows += rows

        def finish(self) -> None:
            self.finished += 1

    path = tmp_path / "a.json"
    path.write_bytes(lines(0, 1000))
    progress = Counting()
    lake.ingest(path, progress=progress)
    assert progress.started == [(str(path), path.stat().st_size, "bytes")]
    assert (progress.done, progress.rows, progress.finished) == (path.stat().st_size, 1000, 1)


def test_places_of_rejects_far_into_an_input(lake: Lake) -> None:
    good = lines(0, 200_000)
    after = lines(0, 3)
    report = lake.text(good + b"bad\n" + good + b"worse\n" + after, memory_rows=50_000)
    assert report.committed == 400_003
    path = report.sources[0].rejects_path
    assert path is not None
    found = [json.loads(x) for x in (lake.folder / path).read_text().splitlines()]
    assert [(r["line"], r["byte"], r["text"]) for r in found] == [
        (200_001, len(good), "bad"),
        (400_002, 2 * len(good) + 4, "worse"),
    ]
    row = b"d,%d,1\n" % T
    report = lake.text(b"k,t,n\n" + row * 400_000 + b"bad\n" + row, stream="c")
    (reject,) = report.sources[0].examples
    assert (reject.line, reject.byte) == (400_002, 6 + 400_000 * len(row))


def test_without_numba_once_it_is_compiled(tmp_path: Path) -> None:
    """JSON, CSV and arrays, in a process that may not import it."""
    script = tmp_path / "ingest.py"
    script.write_text(
        "import builtins, io, sys\n"
        "import numpy as np\n"
        "found = builtins.__import__\n"
        "def importing(name, *rest, **more):\n"
        "    if len(sys.argv) > 1 and name.partition('.')[0] in ('numba', 'llvmlite'):\n"
        "        raise AssertionError(name)\n"
        "    return found(name, *rest, **more)\n"
        "builtins.__import__ = importing\n"
        "from runtime import Store\n"
        f"store = Store({str(tmp_path / 'store')!r} + str(len(sys.argv)), create=True)\n"
        'texts = [b\'[5,{"k":"d","t":1700000000.5,"n":1,"s":"x"},[1]]\', b\'k,t,n,s\\nd,1700000000,2,y\\n\']\n'
        "arrays = {'k': np.array(['b', 'a']), 't': np.array([1700000000, 1700000001]), 'n': np.array([1, 2])}\n"
        "for given in (*map(io.BytesIO, texts), arrays):\n"
        "    store.ingest('s', given, key='k', time='t', unit='s', progress=False)\n"
        'iso = b\'{"k":"d","t":"2024-03-01T00:00:00Z"}\'\n'
        "store.ingest('i', io.BytesIO(iso), key='k', time='t', unit='iso', progress=False)\n"
        "print(store.streams()[1].rows)\n"
    )
    for more in ([], ["without"]):
        command = [sys.executable, str(script), *more]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[4])
        assert (ran.returncode, ran.stdout) == (0, "4\n"), ran.stderr


def test_a_stream_that_is_there_knows_its_key_and_time(tmp_path: Path) -> None:
    from runtime import Store

    with Store(tmp_path / "store", create=True) as store:
        with pytest.raises(IngestError, match="is new: say which columns are its key and its time"):
            store.ingest("s", {"k": ["a"], "t": [T]}, unit="ms", progress=False)
        store.ingest("s", {"k": ["a"], "t": [T]}, key="k", time="t", unit="ms", progress=False)
        assert store.ingest("s", {"k": ["b"], "t": [T]}, progress=False).committed == 1
