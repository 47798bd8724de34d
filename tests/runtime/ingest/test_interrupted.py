"""An interrupted ingest reports which sources are committed; the same command completes the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.ingest import Interrupted
from tests.runtime.ingest.lake import Lake, T


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = [tmp_path / f"{n}.json" for n in range(4)]
    for n, path in enumerate(names):
        path.write_text(f'{{"k":"a","t":{T + n},"x":{n}}}')
    return [str(path) for path in names]


@pytest.mark.parametrize("after", [False, True])
def test_what_is_done_is_said(lake: Lake, files: list[str], after: bool) -> None:
    """Interrupted in the second commit: just before it, or when it is durable and its reply is still to come."""
    real, commits = lake.catalogue.commit, 0

    def commit(*arguments: Any, **options: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 2 and not after:
            raise KeyboardInterrupt
        done = real(*arguments, **options)
        if commits == 2:
            raise KeyboardInterrupt
        return done

    lake.catalogue.commit = commit  # type: ignore[method-assign]
    with pytest.raises(Interrupted) as caught:
        lake.ingest(*files)
    error = caught.value
    assert [s.status for s in error.report.sources] == ["ingested"] * (2 if after else 1)
    assert list(error.left) == files[2 if after else 1 :]
    assert ("2 sources of 4 are ingested" if after else "1 source of 4 is ingested") in str(error)
    assert "run the same command again" in str(error)
    assert [r["x"] for r in lake.rows()] == ([0, 1] if after else [0])
    lake.catalogue.commit = real  # type: ignore[method-assign]
    lake.ingest(*files)
    assert [r["x"] for r in lake.rows()] == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pipe", ["fifo", "-"])
def test_the_console(tmp_path: Path, files: list[str], number: int, pipe: str) -> None:
    """Interrupted while it waits for a pipe without a writer."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    given = [*files[:2], str(fifo) if pipe == "fifo" else "-", files[2]]
    arguments = ["ingest", str(tmp_path / "store"), "s", *given, "--key", "k", "--time", "t", "--unit", "ms"]
    script = "import sys; from deploy.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(df.__file__).parents[1],
    )
    try:
        with Store(tmp_path / "store", create=True) as store:
            deadline = time.monotonic() + 120
            while not store.streams() or store.streams()[0].sources < 2:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert process.stderr is not None
        said = process.stderr.read()
        assert "interrupted; 2 sources of 4 are ingested; not ingested: " in said
        assert "run the same command again" in said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.wait()
        os.close(held)
        for stream in (process.stdin, process.stderr):
            assert stream is not None
            stream.close()
    with Store(tmp_path / "store") as store:
        store.ingest("s", *files, progress=False)
        assert sorted(store.query(df.stream("s").select("x"), progress=False)["x"]) == [0, 1, 2, 3]
        assert store.verify().ok
