"""What is the same source: bytes, and the key that its file's name gives; or what its owner calls it."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from deploy.cli import main
from operators.types import Type
from runtime import Store
from runtime.catalogue import SourceEntry, StreamSchema, new_attempt
from runtime.errors import IngestError

DATA = b'{"t":1,"n":1}\n'
BY_NAME: dict[str, Any] = {"time": "t", "unit": "s", "key_value": "{stem}", "progress": False}
PLAIN: dict[str, Any] = {"key": "k", "time": "t", "unit": "s", "progress": False}
ROW = b'{"k":"d","t":1,"n":1}\n'


def keys(store: Store) -> Counter[str]:
    """How often each key has a point."""
    found = store.query(df.stream("s").group_by("key").agg(n=df.count()), progress=False)
    return Counter(dict(zip(found["key"], found["n"], strict=True)))


def files(folder: Path, **named: bytes) -> list[Path]:
    out = []
    for name, data in named.items():
        (folder / name).parent.mkdir(exist_ok=True)
        path = folder / f"{name}.json"
        path.write_bytes(data)
        out.append(path)
    return out


def test_equal_files_of_two_devices(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    one, two = files(tmp_path, one=DATA, two=DATA)
    assert [s.status for s in store.ingest("s", one, two, **BY_NAME).sources] == ["ingested"] * 2
    assert [s.status for s in store.ingest("s", one, two, **BY_NAME).sources] == ["already ingested"] * 2
    assert keys(store) == {"one": 1, "two": 1}
    (other,) = files(tmp_path, one=DATA + b" ")
    store.ingest("s", other, **BY_NAME)
    assert keys(store) == {"one": 2, "two": 1}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=1, max_size=8))
def test_each_content_counts_once_for_each_key(given_: list[tuple[str, int]]) -> None:
    """However often, in whatever order, and together or one by one."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "store", create=True)
        paths = []
        for n, (stem, content) in enumerate(given_):
            (folder / str(n)).mkdir()
            paths += files(folder / str(n), **{stem: DATA.replace(b'"n":1', b'"n":%d' % content)})
        store.ingest("s", *paths[:3], **BY_NAME)
        for path in paths[3:]:
            store.ingest("s", path, **BY_NAME)
        assert keys(store) == Counter(stem for stem, _ in set(given_))


def test_in_another_folder(tmp_path: Path) -> None:
    """Only what the name gives counts, not the name."""
    store = Store(tmp_path / "store", create=True)
    (tmp_path / "b").mkdir()
    (one,), (again,) = files(tmp_path, one=DATA), files(tmp_path / "b", one=DATA)
    assert [s.status for s in store.ingest("s", one, again, **BY_NAME).sources] == ["ingested", "already ingested"]
    fixed = {**BY_NAME, "key_value": "always"}
    assert [s.status for s in store.ingest("t", one, again, **fixed).sources] == ["ingested", "already ingested"]


def test_equal_files_in_an_archive(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("one.json", "two.json"):
            archive.writestr(name, DATA)
    store.ingest("s", tmp_path / "all.zip", *files(tmp_path, one=DATA), **BY_NAME)
    assert keys(store) == {"one": 1, "two": 1}


@pytest.mark.parametrize("options", [{"key_value": "{stem}"}, {}])
def test_what_earlier_versions_ingested(tmp_path: Path, options: dict[str, Any]) -> None:
    """They knew it by its bytes alone: the file that they ingested is known, and the other device's is not."""
    store = Store(tmp_path / "store", create=True)
    one, two = files(tmp_path, one=DATA, two=DATA)
    schema = StreamSchema("key", Type.STRING, "t", {"n": Type.INT}, unit="s")
    old = SourceEntry(sha256(DATA).hexdigest(), str(one), len(DATA), 0, 0, options=options)
    store.catalogue.begin()
    store.catalogue.commit("s", schema, old, [], new_attempt())
    assert [s.status for s in store.ingest("s", one, two, **BY_NAME).sources] == ["already ingested", "ingested"]
    store.undo("s", old.id)
    assert [s.status for s in store.ingest("s", one, **BY_NAME).sources] == ["ingested"]
    assert keys(store) == {"one": 1, "two": 1}
    assert replace(old, options={}).id in {entry.id for entry in store.catalogue.sources("s")}


def test_an_identity_of_its_own(tmp_path: Path) -> None:
    """Under it equal bytes count each time, and other bytes do not."""
    store = Store(tmp_path / "store", create=True)
    (file,) = files(tmp_path, one=ROW)
    table = pa.table({"k": ["d"], "t": [1], "n": [1]})
    for made in (lambda: file, lambda: io.BytesIO(ROW), lambda: table):
        for name, status in (("a", "ingested"), ("b", "ingested"), ("a", "already ingested")):
            stream = type(made()).__name__
            (report,) = store.ingest(stream, made(), source=name, **PLAIN).sources
            assert (name, report.status) == (name, status)
        assert store.catalogue.snapshot(stream).total_rows == 2
    (report,) = store.ingest("BytesIO", io.BytesIO(ROW), **PLAIN).sources
    assert report.status == "ingested"
    (report,) = store.ingest("BytesIO", io.BytesIO(b"other"), source="a", **PLAIN).sources
    assert report.status == "already ingested"


def test_what_cannot_be_called_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    paths = files(tmp_path, one=ROW, two=ROW)
    with pytest.raises(IngestError, match="'a' names one source, not 2 inputs: nothing was done"):
        store.ingest("s", *paths, source="a", **PLAIN)
    with pytest.raises(IngestError, match="a text that is not empty"):
        store.ingest("s", paths[0], source="", **PLAIN)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one.json", ROW)
    with pytest.raises(IngestError, match="an archive has a source per file"):
        store.ingest("s", tmp_path / "all.zip", source="a", **PLAIN)
    assert store.streams() == []


def test_on_the_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = files(tmp_path, one=ROW)
    words = ["ingest", str(tmp_path / "store"), "s", str(file), "--key", "k", "--time", "t", "--unit", "s", "--source"]
    assert [main([*words, name]) for name in ("a", "b", "a")] == [0, 0, 0]
    assert "already ingested" in capsys.readouterr().out
    assert Store(tmp_path / "store").catalogue.snapshot("s").total_rows == 2
