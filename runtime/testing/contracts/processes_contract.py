"""The contract of every store used by several processes at once, some of them killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from runtime.catalogue import Catalogue, FileEntry
from runtime.objects import ObjectStore
from runtime.storage.locations import locate
from runtime.storage.verify_store import verify

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("committer.py")


def start(url: str, names: list[str], threads: int) -> subprocess.Popen[str]:
    """A process that commits sources of these names."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), url, str(threads)],
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
    """What it says that it committed."""
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.read().splitlines()
    process.wait()
    return [line for line in lines if line != "ready" and line.count(" ") == 1]


def rows(data: bytes, file: FileEntry) -> Iterator[str]:
    """What is wrong with a file of ``committer.py``."""
    if not data.startswith(b"1 row of "):
        yield "it is damaged"


def opened(url: str) -> tuple[ObjectStore, Catalogue]:
    """The store at a URL, made if there is none."""
    location = locate(url)
    return location.objects(), location.catalogue(lambda: True)


def check(url: str, names: list[str]) -> int:
    """The store is whole and has each source once; returns the number of orphans."""
    objects, catalogue = opened(url)
    with closing(catalogue):
        report = verify(objects, catalogue, decode=rows)
        assert report.problems == ()
        snapshot = catalogue.snapshot("s")
        contents = Counter(objects.read(f.path, 0, f.bytes).decode().rpartition(" ")[2] for f in snapshot.files)
        assert contents == {name: 2 for name in names}
        assert snapshot.sources == len(names)
        return len(report.orphans)


class ProcessesContract:
    """A subclass gives the fixture ``url``: where a store may be made, and may have fewer kills."""

    kills = 6

    def test_a_race_of_16(self, url: str) -> None:
        """Four processes of four threads: every source is tried by two processes, one of them commits it."""
        names = [f"n{i}" for i in range(40)]
        halves = [names[:20], names[20:], names[::2], names[1::2]]
        processes = [start(url, half, 4) for half in halves]
        outcomes = [line for process in processes for line in finish(process)]
        assert [process.returncode for process in processes] == [0] * 4
        assert len(outcomes) == 80
        assert sorted(line.split()[0] for line in outcomes if line.endswith("committed")) == sorted(names)
        assert check(url, names) == 80  # two files of each attempt that came second

    def test_kill(self, url: str) -> None:
        """kill -9 at random moments of a commit loop; what was acknowledged stays, and a repeat completes the rest."""

        def name(line: str) -> str:
            return line.split()[0]

        names = [f"n{i}" for i in range(48 * self.kills)]  # more than are committed until the last kill
        dice = random.Random(11)
        acknowledged: set[str] = set()
        killed = 0
        for _ in range(self.kills):
            process = start(url, [n for n in names if n not in acknowledged], 2)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for _ in range(dice.randrange(8)):
                acknowledged.add(name(process.stdout.readline()))
            time.sleep(dice.uniform(0.0, 0.03))
            process.kill()
            acknowledged |= {name(line) for line in finish(process)}
            killed += process.returncode != 0
            objects, catalogue = opened(url)
            with closing(catalogue):
                if catalogue.streams():
                    assert verify(objects, catalogue, decode=rows).problems == ()
                assert acknowledged <= {entry.name for entry in catalogue.sources("s")}
        assert killed == self.kills
        assert 0 < len(acknowledged) < len(names)
        finish(start(url, names, 1))
        check(url, names)
