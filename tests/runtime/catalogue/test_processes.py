"""Several processes at once, and processes that are killed: nothing is lost and nothing is there twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from runtime.catalogue import FileEntry, SqliteCatalogue
from runtime.objects import FolderObjects
from runtime.verify import verify

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("committer.py")


def start(folder: Path, names: list[str], threads: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    process.stdin.write("\n".join(names))
    process.stdin.close()
    return process


def finish(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.read().splitlines()
    process.wait()
    return [line for line in lines if line != "ready" and line.count(" ") == 1]


def rows(data: bytes, file: FileEntry) -> Iterator[str]:
    if not data.startswith(b"1 row of "):
        yield "it is damaged"


def check(folder: Path, names: list[str]) -> int:
    """The store is whole and has each source once; returns the number of orphans."""
    objects = FolderObjects(folder)
    with SqliteCatalogue(folder / "catalogue.sqlite") as catalogue:
        report = verify(objects, catalogue, decode=rows)
        assert report.problems == ()
        snapshot = catalogue.snapshot("s")
        contents = Counter(objects.read(f.path, 0, f.bytes).decode().rpartition(" ")[2] for f in snapshot.files)
        assert contents == {name: 2 for name in names}
        assert snapshot.sources == len(names)
        return len(report.orphans)


def test_a_race_of_16(tmp_path: Path) -> None:
    """Four processes of four threads: every source is tried by two processes, one of them commits it."""
    names = [f"n{i}" for i in range(40)]
    halves = [names[:20], names[20:], names[::2], names[1::2]]
    processes = [start(tmp_path, half, 4) for half in halves]
    outcomes = [line for process in processes for line in finish(process)]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(outcomes) == 80
    assert sorted(line.split()[0] for line in outcomes if line.endswith("committed")) == sorted(names)
    assert check(tmp_path, names) == 80  # two files of each attempt that came second


def test_kill(tmp_path: Path) -> None:
    """kill -9 at random moments of a commit loop; what was acknowledged stays, and a repeat completes the rest."""
    names = [f"n{i}" for i in range(400)]
    dice = random.Random(11)
    acknowledged: set[str] = set()
    killed = 0
    for _ in range(6):
        process = start(tmp_path, [n for n in names if n not in acknowledged], 2)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.1))
        process.kill()
        acknowledged |= {line.split()[0] for line in finish(process)}
        killed += process.returncode != 0
        with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
            if catalogue.streams():
                assert verify(FolderObjects(tmp_path), catalogue, decode=rows).problems == ()
            assert acknowledged <= {entry.name for entry in catalogue.sources("s")}
    assert killed >= 4
    assert len(acknowledged) > 0
    finish(start(tmp_path, names, 1))
    check(tmp_path, names)
