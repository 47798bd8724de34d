"""``dataflow erase``: what it asks, prints and leaves out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store

T = 19_800 * 86_400_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store", create=True)
    source = tmp_path / "alice.csv"
    source.write_text(f"k,ts\nalice,{T}\nbob,{T}\nalice,bad\n")
    made.ingest("s", source, key="k", time="ts", unit="us", progress=False)
    return made


class Terminal(io.StringIO):
    """Standard input as a person types it."""

    def isatty(self) -> bool:
        return True


def test_it_needs_a_terminal_or_yes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", str(store.url), "s", "--key", "alice"]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert store.catalogue.snapshot("s").total_rows == 2


@pytest.mark.parametrize(("typed", "code", "rows"), [("s\n", 0, 1), ("yes\n", 2, 2), ("", 2, 2)])
def test_it_asks_for_the_streams_name(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, code: int, rows: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert main(["erase", str(store.url), "s", "--key", "alice"]) == code
    assert "the 1 point of key alice" in capsys.readouterr().err
    assert store.catalogue.snapshot("s").total_rows == rows


def test_the_record_shows_it_without_the_data(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", str(store.url), "s", "--key", "alice", "--yes", "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert (record["rows"], record["files"], record["rejects"], record["sources"]) == (1, 1, 1, 1)
    assert record["commit"] == 2
    assert len(record["key"]) == 64
    assert record["at"] < record["until"]
    assert "alice" not in out
    assert "alice.csv" in err
    assert "landing objects" in err
    assert main(["erase", str(store.url), "s", "--yes"]) == 0
    assert "erased the stream s: 1 point in 1 file, " in capsys.readouterr().out


def test_a_dry_run_asks_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", str(store.url), "s", "--key", "alice", "--dry-run"]) == 0
    assert "would erase key sha256:" in capsys.readouterr().out
    assert store.catalogue.snapshot("s").total_rows == 2


def test_an_empty_key_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a shell variable that is not set."""
    before = store.catalogue.snapshot("s").total_rows, len(list(store.objects.list("rejects/")))
    assert main(["erase", str(store.url), "s", "--key", "", "--yes"]) == 1
    assert "an empty text is no key" in capsys.readouterr().err
    assert (store.catalogue.snapshot("s").total_rows, len(list(store.objects.list("rejects/")))) == before


@pytest.mark.parametrize(
    "key",
    ["1_0", " 10", "\uff11\uff10", "+10", "", "9" * 5_000],
    ids=["underscore", "blank", "wide", "plus", "empty", "long"],
)
def test_a_number_is_written_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    made = Store(tmp_path / "numbers", create=True)
    made.ingest("s", {"k": [10], "t": [T]}, key="k", time="t", unit="us", progress=False)
    assert main(["erase", str(made.url), "s", "--key", key, "--yes"]) == 1
    assert "is not a key of this stream" in capsys.readouterr().err
    assert made.catalogue.snapshot("s").total_rows == 1


def test_a_key_without_points(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", str(store.url), "s", "--key", "carol", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "no point has this key" in said
    assert "later ingests leave out points of it" in said
    assert "stay" not in said
    assert len(store.catalogue.erased("s")) == 1
