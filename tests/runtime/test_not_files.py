"""Something else in place of a file: nothing blocks on it; named pipes given as input are read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dataflow as df
from deploy.metric_file import MetricFileError, load_metric
from deploy.stack import settings
from operators.errors import DataflowError
from runtime import Store
from runtime.errors import IngestError, StoreError
from runtime.objects import FolderObjects
from tests.campaigns import places

ROWS = "k,t,v\na,1,2.5\na,2,3.5\n"
METRIC = df.stream("s").agg(n=df.count())


def test_each_thing_in_the_place_of_each_file() -> None:
    assert places.run(60, 5).failures == []


def test_a_point_file_replaced_by_a_fifo(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", {"k": ["a"], "t": [1]}, key="k", time="t", unit="s", progress=False)
        (path,) = (p for p in (tmp_path / "store" / "data").rglob("*") if p.is_file())
    path.unlink()
    os.mkfifo(path)
    with Store(tmp_path / "store") as store:
        with pytest.raises(StoreError, match=r"cannot read 'data/s/.*it is a FIFO, not a file; move it away"):
            store.query(METRIC, progress=False)
        assert "it is a FIFO, not a file" in str(store.verify())


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_a_catalogue_replaced_by_a_fifo(tmp_path: Path, ending: str) -> None:
    with Store(tmp_path, create=True) as store:
        store.ingest("s", {"k": ["a"], "t": [1]}, key="k", time="t", unit="s", progress=False)
    path = tmp_path / f"catalogue.sqlite{ending}"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(StoreError, match=rf"catalogue.sqlite{ending} is not what SQLite wrote \(it is a FIFO"):
        Store(tmp_path).catalogue.streams()


def test_objects(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    os.mkfifo(tmp_path / "x")
    for use in (lambda: objects.size("x"), lambda: objects.read("x", 0, 0), lambda: objects.put("x", b"")):
        with pytest.raises(StoreError, match="it is a FIFO, not a file"):
            use()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StoreError, match="cannot list 'loop'"):
        list(objects.list("l"))


def test_what_people_give(tmp_path: Path) -> None:
    for name in ("m.json", "t.csv", "antfold.toml"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(MetricFileError, match=r"cannot read .*m\.json: it is a FIFO, not a file"):
        load_metric(str(tmp_path / "m.json"))
    with pytest.raises(DataflowError, match=r"cannot read .*t\.csv: it is a FIFO, not a file"):
        df.table.from_csv(tmp_path / "t.csv")
    with pytest.raises(settings.SettingsError, match=r"cannot be read \(it is a FIFO, not a file\)"):
        settings.load(tmp_path / "antfold.toml")


def test_a_pipe_that_is_named_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(ROWS))
    writer.start()
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", tmp_path / "pipe", key="k", time="t", unit="s", progress=False)
        writer.join()
        assert store.query(METRIC, progress=False)["n"] == [2]


def test_process_substitution(tmp_path: Path) -> None:
    program = f"""
import sys
from runtime import Store
with Store({str(tmp_path / "store")!r}, create=True) as store:
    print(store.ingest("s", *sys.argv[1:], key="k", time="t", unit="s", progress=False).sources[0].committed)
"""
    (tmp_path / "rows.csv").write_text(ROWS)
    command = f'"{sys.executable}" -c "$0" <(cat {tmp_path}/rows.csv)'
    done = subprocess.run(["bash", "-c", command, program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "2\n"


def test_a_pipe_among_files_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(ROWS)
    os.mkfifo(tmp_path / "2.csv")
    with Store(tmp_path / "store", create=True) as store:
        says = r"2\.csv cannot be read: it is a FIFO, not a file. Nothing was ingested"
        with pytest.raises(IngestError, match=says):
            store.ingest("s", str(tmp_path / "*.csv"), key="k", time="t", unit="s", progress=False)
