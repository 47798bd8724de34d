"""``dataflow compact`` and ``optimize``: what they print, and that one damaged stream does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store

DAY = 86_400_000_000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two streams of three files each."""
    monkeypatch.chdir(tmp_path)
    store = Store("store", create=True)
    for stream in ("a", "b"):
        for n in range(3):
            table = {"k": ["x", "y"], "t": [19_800 * DAY + n] * 2, "v": [n, n]}
            store.ingest(stream, table, key="k", time="t", unit="us", progress=False, compact=False)
    return store


def damage(store: Store, stream: str) -> None:
    """Damage a file of a stream, and forget it."""
    path = Path("store") / store.files(stream)[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    store.close()


def test_files_become_few(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", "store", "a", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "a: 3 files with 6 rows would be written again\n  2024-01-01 to 2025-01-01: 3 files\n"
    )
    assert main(["compact", "store", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [(r["stream"], r["files_before"], r["files_after"], r["rows"]) for r in reports] == [
        ("a", 3, 1, 6),
        ("b", 3, 1, 6),
    ]
    assert main(["compact", "store"]) == 0
    assert capsys.readouterr().out == "a: 1 file, nothing to compact\nb: 1 file, nothing to compact\n"


def test_a_damaged_stream_does_not_stop_the_others(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    damage(store, "a")
    assert main(["compact", "store"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("b: 3 files became 1; 6 rows were written again")
    assert err.startswith("a: not compacted: ")
    assert main(["compact", "store", "c"]) == 1
    assert "there is no stream 'c'" in capsys.readouterr().err


def test_what_is_due_is_done_although_a_stream_is_damaged(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.upkeep.spans.FAN", 2)
    damage(store, "a")
    assert main(["optimize", "store"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("b: 3 files became 1")
    assert "nothing to remove" in out
    assert err.startswith("a: not compacted: ")


def test_a_mistyped_interval(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "store", "--watch", "3"]) == 2
    assert "is not a duration" in capsys.readouterr().err
