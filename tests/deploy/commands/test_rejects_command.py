"""`dataflow rejects` and `dataflow ingest --retry-rejects`, with sources that were taken back and erased keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store

RIGHT, WRONG = ["--time-format", "%d/%m/%Y"], ["--time-format", "%m/%d/%Y"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    made = Store(tmp_path / "store", create=True)
    Path("a.csv").write_text("k,t,v\na,2024-01-01,1\na,02/03/2024,2\n")
    Path("b.csv").write_text("k,t,v\nb,2024-01-01,3\n")
    made.ingest("s", "a.csv", "b.csv", key="k", time="t", progress=False)
    return made


def run(capsys: pytest.CaptureFixture[str], command: str, *given: str) -> tuple[int, str]:
    code = main([command, "store", "s", *given])
    return code, capsys.readouterr().out


def times(store: Store) -> list[object]:
    head = store.head("s").columns
    return [t for t, v in zip(head["t"].to_list(), head["v"].to_list(), strict=True) if v == 2]


def test_rejects_whose_retry_was_undone_are_offered_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "ingest", "--retry-rejects", *WRONG)[0] == 0
    (wrong,) = times(store)
    assert "no rejected records" in run(capsys, "rejects")[1]
    run(capsys, "undo", "--last")
    assert "02/03/2024" in run(capsys, "rejects")[1]
    assert run(capsys, "ingest", "--retry-rejects", *RIGHT)[0] == 0
    (right,) = times(store)
    assert right != wrong
    assert "no rejected records to retry" in run(capsys, "ingest", "--retry-rejects", *RIGHT)[1]
    run(capsys, "undo", "a.csv")
    assert times(store) == []
    run(capsys, "ingest", "a.csv")
    assert run(capsys, "ingest", "--retry-rejects", *RIGHT)[0] == 0
    assert times(store) == [right]
    assert store.verify().ok


def test_rejects_of_a_source_that_was_taken_back_are_gone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "undo", "a.csv")
    assert run(capsys, "rejects") == (0, "s: no rejected records\n")
    assert run(capsys, "ingest", "--retry-rejects", *RIGHT) == (0, "s: no rejected records to retry\n")


def test_a_retry_of_which_nothing_can_be_read_has_failed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "ingest", "--retry-rejects", "--time-format", "%Y")
    assert code == 1
    assert "failed: nothing could be read" in said
    assert run(capsys, "ingest", "--retry-rejects", *RIGHT)[0] == 0


def test_records_of_erased_keys_are_counted(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "ingest", "--retry-rejects", *RIGHT)
    assert main(["erase", "store", "s", "--key", "gone", "--yes"]) == 0
    capsys.readouterr()
    Path("c.csv").write_text("k,t,v\ngone,2024-01-05,1\nb,2024-01-05,1\n")
    run(capsys, "ingest", "c.csv")
    said = "s: no rejected records but 1 record left out, because its key was erased\n"
    assert run(capsys, "rejects") == (0, said)
    Path("d.csv").write_text("k,t,v\ngone,2024-01-06,1\nb,never,1\nb,2024-01-07,1\n")
    run(capsys, "ingest", "d.csv")
    said = run(capsys, "rejects")[1]
    assert "never" in said
    assert "2 records left out, because their keys were erased" in said
    assert "only counted" not in said
