"""An unusable kernel cache is its own error, blamed on neither files nor streams of the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import main


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in "ab":
        file = tmp_path / f"{name}.ndjson"
        file.write_text("".join(f'{{"k":"{name}","t":{86_400 * i},"v":{i}}}\n' for i in range(3)))
        assert (
            main(["ingest", str(tmp_path / "store"), "s", str(file), "--key", "k", "--time", "t", "--unit", "s"]) == 0
        )
    return tmp_path / "store"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder that others may write to, which nothing is loaded from."""
    folder = tmp_path / "cache"
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels").chmod(0o777)
    return folder


def run(cache: Path, *arguments: str) -> tuple[int, str]:
    """The console in a process of its own, which has loaded no kernel yet."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from deploy.cli import main; sys.exit(main())", *arguments],
        env=os.environ | {"ANTFOLD_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_verify_blames_the_cache(store: Path, cache: Path) -> None:
    code, said = run(cache, "verify", str(store))
    assert code == 1
    assert said.count("can be written by other users") == 1
    assert "could not be decoded: the kernel cache" in said
    assert ".points" not in said
    assert "no streams" not in said
    assert "all right" not in said
    code, said = run(cache, "verify", str(store), "--format", "json")
    report = json.loads(said)
    assert (code, report["ok"], len(report["problems"]), report["streams"][0]["files"]) == (1, False, 1, 6)


def test_verify_finds_what_needs_no_kernel(store: Path, cache: Path) -> None:
    *_, last = sorted((store / "data").rglob("*.points"))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    code, said = run(cache, "verify", str(store))
    assert code == 1
    assert f"{last.name}: its SHA-256 is" in said
    assert said.count(".points") == 1


def test_recover_changes_nothing(store: Path, cache: Path) -> None:
    for path in store.glob("catalogue.sqlite*"):
        path.unlink()
    code, said = run(cache, "recover", str(store))
    assert code == 1
    assert "the kernel cache" in said
    assert not (store / "catalogue.sqlite").exists()
    assert main(["recover", str(store)]) == 0
    assert main(["verify", str(store)]) == 0


def test_streams_that_cannot_be_read(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "catalogue.sqlite-head").write_bytes(b"\0" * 40)
    assert main(["verify", str(store)]) == 1
    said = capsys.readouterr().out
    assert "the streams could not be read" in said
    assert "no streams" not in said
