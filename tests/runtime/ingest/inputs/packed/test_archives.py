"""Zip archives: every file in one is a source; damaged, encrypted and hostile archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest import SourcesFailed, StreamInput
from runtime.ingest.inputs.inputs import FileInput, Input, opened
from runtime.ingest.inputs.packed import packed_units
from runtime.ingest.inputs.packed.archive_members import MemberInput
from runtime.ingest.inputs.packed.archives import each_source
from tests.runtime.ingest.lake import Lake, T

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def csv(first: int, last: int) -> bytes:
    return b"k,t,n\n" + b"".join(b"d%d,%d,%d\n" % (i % 7, T + i, i) for i in range(first, last))


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def numbers(lake: Lake) -> list[int]:
    return sorted(r["n"] for r in lake.rows())


THREE = {"b.csv": csv(0, 3), "in/a.csv": csv(3, 5), "c.csv": csv(5, 9)}


@pytest.mark.parametrize("method", METHODS)
def test_each_file_is_a_source(lake: Lake, tmp_path: Path, method: int) -> None:
    path = tmp_path / "z.zip"
    path.write_bytes(zipped(THREE, method))
    report = lake.ingest(path)
    assert [s.name for s in report.sources] == [f"{path}/{name}" for name in THREE]  # in the archive's order
    assert numbers(lake) == list(range(9))
    digests = {hashlib.sha256(data).hexdigest() for data in THREE.values()}
    assert {s.id for s in lake.catalogue.sources("s")} == digests
    (tmp_path / "c.csv").write_bytes(THREE["c.csv"])
    again = lake.ingest(path, tmp_path / "c.csv", io.BytesIO(zipped({"other": THREE["b.csv"], "new": csv(9, 10)})))
    assert [s.status for s in again.sources] == ["already ingested"] * 5 + ["ingested"]
    assert again.sources[-1].name == "input 3/new"


class Bits(io.RawIOBase):
    """A pipe that gives some bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._most = io.BytesIO(data), size

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._most) if size >= 0 else self._most)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_from_a_stream(lake: Lake, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    report = lake.ingest(Bits(zipped(THREE), size))
    assert [s.name for s in report.sources] == [f"input 1/{name}" for name in THREE]
    assert numbers(lake) == list(range(9))
    assert lake.ingest(Bits(csv(9, 12), size)).committed == 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(zipped({"x.csv": csv(12, 14)}))))
    assert lake.ingest("-").sources[0].name == "standard input/x.csv"


def test_from_a_pipe_with_a_name(lake: Lake, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(zipped(THREE)))
    writer.start()
    assert lake.ingest(pipe).committed == 9
    writer.join()


def test_a_stream_with_an_identity_is_done_with_the_last_of_its_files(lake: Lake) -> None:
    """Its identity is recorded then, so that it is not read again; not while one of its files fails or waits."""
    identity = "1" * 64

    def offered(data: bytes) -> tuple[StreamInput, io.BytesIO]:
        file = io.BytesIO(data)
        return StreamInput(file, "s3://b/z.zip", identity=identity), file

    bad = zipped({**THREE, "d.csv": b"nothing\n"})
    with pytest.raises(SourcesFailed, match="1 of 4 inputs"):
        lake.ingest(offered(bad)[0])
    given, file = offered(bad)
    with pytest.raises(SourcesFailed):
        lake.ingest(given)
    assert file.tell() == len(bad)
    late = zipped({**THREE, "d.csv": b"k,t,n\na,%d,9\na,%d,10\n" % (T, T * 2)})
    assert lake.ingest(offered(late)[0]).waiting == 1
    assert identity not in {s.id for s in lake.catalogue.sources("s")}
    good = zipped({**THREE, "d.csv": csv(9, 11)})
    assert lake.ingest(offered(good)[0], stream="u").committed == 11
    given, file = offered(good)
    assert [s.status for s in lake.ingest(given, stream="u").sources] == ["already ingested"]
    assert file.tell() == 0
    entry = lake.catalogue.is_ingested("u", identity)
    assert entry is not None
    assert (entry.name, entry.bytes, entry.rows_committed) == ("s3://b/z.zip", len(good), 0)


def test_folders_and_what_systems_add_are_left_out_with_a_word(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("in") if hasattr(archive, "mkdir") else archive.writestr("in/", b"")
        for name in ("__MACOSX/in/._a.csv", "in/.DS_Store", "in/._a.csv", "Thumbs.db"):
            archive.writestr(name, b"junk")
        archive.writestr("in/a.csv", csv(0, 2))
    (source,) = lake.ingest(path).sources
    assert source.name == f"{path}/in/a.csv"
    assert source.notes == (f"left out of {path}, as no data: in/, __MACOSX/in/._a.csv, in/.DS_Store and 2 more",)


def test_files_in_an_archive_may_be_of_any_kind(lake: Lake) -> None:
    members = {
        "a.csv.gz": gzip.compress(csv(0, 2)),
        "b.ndjson": b'{"k":"a","t":%d,"n":2}\n' % T,
        "c.csv": "k;t;n\na;1;3\n".encode("utf-16"),
        "empty.csv": b"",
        "d.zst": zstandard.compress(csv(4, 6)),
    }
    assert lake.ingest(io.BytesIO(zipped(members))).rejected == 0
    assert numbers(lake) == list(range(6))


def failures(lake: Lake, data: bytes) -> list[str]:
    """The errors of the archive's files; the others are ingested."""
    with pytest.raises(IngestError) as failed:
        lake.ingest(io.BytesIO(data))
    if not isinstance(failed.value, SourcesFailed):
        return [str(failed.value)]
    return [str(s.error) for s in failed.value.report.sources if s.error is not None]


def test_what_cannot_be_read_is_an_error_of_that_file_only(lake: Lake) -> None:
    data = zipped(
        {"a.csv": csv(0, 2), "in.zip": zipped(THREE), "b.csv": csv(2, 4), "c.csv": csv(4, 6), "d.csv": csv(6, 8)}
    )
    data = with_directory(data, "b.csv", flags=1)
    data = with_directory(data, "c.csv", method=9)
    assert failures(lake, data) == [
        "input 1/in.zip is a zip archive within another file: unpack it and ingest the files in it. Nothing of it was "
        "ingested.",
        "input 1/b.csv is encrypted: unpack the archive with its password and ingest the files in it.",
        "input 1/c.csv is packed by method 9, which is not read here: unpack the archive first.",
    ]
    assert numbers(lake) == [0, 1, 6, 7]


def with_directory(data: bytes, name: str, flags: int = 0, method: int | None = None, **more: int) -> bytes:
    """The archive with another entry for a file in its directory."""
    out = bytearray(data)
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    out[at + 8] |= flags
    if method is not None:
        struct.pack_into("<H", out, at + 10, method)
    places = {"crc": 16, "packed": 20, "size": 24, "offset": 42}
    for what, value in more.items():
        struct.pack_into("<I", out, at + places[what], value)
    return bytes(out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crc": 7}, r"b.csv is damaged: it unpacks to [\d,]+ bytes with the checksum"),
        ({"size": 7}, "its archive says 7 and"),
        ({"packed": 20}, "b.csv is cut short: its deflate data ends at byte"),
        ({"packed": 1 << 20}, "no whole zip archive .* overlaps"),
        ({"offset": 1}, "no whole zip archive|no header for it at byte 1"),
        ({"method": 0}, "is damaged: it unpacks to"),
        ({"method": 12}, "is damaged: its bzip2 data is wrong near byte"),
        ({"method": 14}, "is damaged: its LZMA data is wrong near byte|cut short"),
        ({"method": 93}, "is damaged: its zstd data is wrong near byte"),
    ],
)
def test_an_archive_that_is_not_what_its_directory_says(lake: Lake, change: dict[str, Any], message: str) -> None:
    data = with_directory(zipped({"a.csv": csv(0, 2), "b.csv": csv(2, 90), "c.csv": csv(90, 99)}), "b.csv", **change)
    (error,) = failures(lake, data)
    assert re.search(message, error)


def test_something_after_the_packed_data(lake: Lake) -> None:
    data = zipped({"a.csv": csv(0, 2), "b.csv": csv(2, 4)})
    found = zipfile.ZipFile(io.BytesIO(data)).getinfo("a.csv")
    (error,) = failures(lake, with_directory(data, "a.csv", packed=found.compress_size + 1))
    assert "something else after its deflate data" in error or "overlaps" in error


@pytest.mark.parametrize("method", METHODS)
def test_every_damage_is_an_error_or_changes_nothing(method: int) -> None:
    data = zipped({"a.csv": csv(0, 90), "b.csv": csv(90, 180)}, method)
    expected = {"z/a.csv": csv(0, 90), "z/b.csv": csv(90, 180)}
    for at in range(4, len(data), 5):
        damaged = bytearray(data)
        damaged[at] ^= 0x15
        for name, content in contents(bytes(damaged)).items():
            assert isinstance(content, IngestError) or content in expected.values(), (at, name)


@pytest.mark.parametrize("method", METHODS)
def test_every_truncation_is_an_error(method: int) -> None:
    data = zipped({"a.csv": csv(0, 90), "b.csv": csv(90, 180)}, method)
    for size in range(4, len(data), 3):
        found = contents(data[:size])
        assert list(map(type, found.values())) == [IngestError], size
        assert "is damaged or cut short" in str(found["z"])


def contents(data: bytes) -> dict[str, bytes | IngestError]:
    """What the files of the archive hold, or why they cannot be read."""
    out: dict[str, bytes | IngestError] = {}
    found: list[Input] = [StreamInput(io.BytesIO(data), "z")]
    for source in each_source(found, lambda identity: False, lambda archive, size: None):
        assert isinstance(source, FileInput)
        try:
            with opened(source) as file:
                parts = []
                while part := file.read(1000):
                    parts.append(part)
            out[source.name] = b"".join(parts)
            assert hashlib.sha256(b"".join(parts)).hexdigest() == source.digest()[0]
        except IngestError as error:
            out[source.name] = error
    return out


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=9),
        st.binary(max_size=300),
        max_size=4,
    ),
    st.sampled_from(METHODS),
)
def test_any_archive_comes_back(members: dict[str, bytes], method: int) -> None:
    members = {f"f{name}": data for name, data in members.items()}
    found = contents(zipped(members, method))
    if members:
        assert found == {f"z/{name}": data for name, data in members.items()}
    else:
        assert str(found["z"]) == "z is a zip archive without files."


@pytest.mark.parametrize("method", METHODS)
def test_a_repetition_that_is_cut_by_the_size_of_pieces(method: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then zlib holds the end of the data without any input left."""
    for size in range(1, 600, 7):
        data = b"k,t,n\n" + bytes(size)
        for most in (5, 40, len(data) - 1, len(data)):
            monkeypatch.setattr(packed_units, "CHUNK", most)
            assert contents(zipped({"a": data}, method)) == {"z/a": data}


def test_office_documents_say_what_to_do(lake: Lake) -> None:
    (error,) = failures(lake, zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}))
    assert error == "input 1 is an office document: save its sheets as CSV. Nothing of it was ingested."


def test_files_that_share_bytes_are_no_archive(lake: Lake) -> None:
    """As in a small archive that unpacks to petabytes."""
    data = zipped({"a.csv": csv(0, 2), "b.csv": csv(2, 4)})
    (error,) = failures(lake, with_directory(data, "b.csv", offset=0))
    assert "overlaps" in error


def test_an_archive_that_changes_while_it_is_read(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "z.zip"
    path.write_bytes(zipped({"a.csv": csv(0, 2)}))
    real = MemberInput.digest

    def digest_then_change(self: MemberInput) -> Any:
        found = real(self)
        os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(MemberInput, "digest", digest_then_change)
    with pytest.raises(IngestError, match="was changed while it was read"):
        lake.ingest(path)


def test_a_stream_that_breaks_off(lake: Lake) -> None:
    class Breaking(Bits):
        def read(self, size: int = -1) -> bytes:
            data = super().read(size)
            if not data:
                raise OSError("the line is down")
            return data

    with pytest.raises(SourcesFailed, match="input 1 cannot be read after byte 0: the line is down") as failed:
        lake.ingest(Breaking(zipped(THREE), 50), io.BytesIO(csv(0, 1)))
    assert [s.status for s in failed.value.report.sources] == ["failed", "ingested"]
    with pytest.raises(IngestError, match="input 1 cannot be read after byte 3: the line is down"):
        lake.ingest(Breaking(b"k,t", 50))


BOMB = """
import sys
from pathlib import Path
from runtime.ingest.inputs.packed.archives import each_source
from runtime.ingest.inputs.inputs import FileInput
from tests.runtime.ingest.memory import peak
for source in each_source([FileInput(Path(sys.argv[1]), "z")], lambda _: False, lambda *_: None):
    print(source.digest()[1][2], peak())
"""


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_bomb_is_unpacked_a_little_at_a_time(tmp_path: Path, method: int) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("a.csv", "w") as file:
        for _ in range(16):
            file.write(bytes(1 << 24))
    root = Path(__file__).parents[5]
    command = [sys.executable, "-c", BOMB, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert ran.returncode == 0, ran.stderr
    size, peak = map(int, ran.stdout.split())
    assert size == 1 << 28
    assert peak < 200 << 20, peak
