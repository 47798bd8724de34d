"""`dataflow undo`, and what names mean once sources were taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store
from runtime.errors import QueryError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    made = Store(tmp_path / "store", create=True)
    for name, rows in (("a.csv", 1), ("b.csv", 2)):
        put(made, name, rows)
    return made


def put(store: Store, name: str, rows: int, replace: bool = False) -> None:
    Path(name).write_text("k,t,v\n" + "".join(f"{name},2024-01-0{n + 1},{rows}\n" for n in range(rows)))
    store.ingest("s", name, key="k", time="t", progress=False, replace=replace)


def undo(capsys: pytest.CaptureFixture[str], *given: str) -> tuple[int, str]:
    code = main(["undo", "store", "s", *given])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_counts_of_one(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert undo(capsys, "a.csv", "--dry-run") == (0, "s: 1 row of a.csv would be taken back\n")
    assert undo(capsys, "a.csv") == (0, "s: 1 row of a.csv was taken back\n")
    assert undo(capsys, "b.csv") == (0, "s: 2 rows of b.csv were taken back\n")


def test_what_was_taken_back_before_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    undo(capsys, "a.csv")
    assert undo(capsys, "a.csv") == (0, "s: nothing to undo: a.csv had nothing in the stream any more\n")
    said = "s: 2 rows of b.csv were taken back; a.csv had been taken back before\n"
    assert undo(capsys, "b.csv", "a.csv") == (0, said)


def test_the_last_one_until_nothing_is_left(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = undo(capsys, "a.csv", "--last")
    assert (code, store.streams()[0].rows) == (2, 3)
    assert "not both" in said
    assert "b.csv" in undo(capsys, "--last")[1]
    assert "a.csv" in undo(capsys, "--last")[1]
    code, said = undo(capsys, "--last")
    assert code == 1
    assert "nothing of s can be taken back" in said


def test_a_name_means_the_source_that_is_there(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, "b.csv", 3, replace=True)
    put(store, "b.csv", 4, replace=True)
    assert undo(capsys, "b.csv") == (0, "s: 4 rows of b.csv were taken back\n")
    with pytest.raises(QueryError, match=r"fits 3 sources: .*b\.csv, taken back\), .* by its id"):
        store.undo("s", "b.csv")
    put(store, "b.csv", 5)
    put(store, "b.csv", 6)
    with pytest.raises(QueryError, match=r"'b\.csv' fits 5 sources: \w+ \(b\.csv, [56] rows\), .*taken back"):
        store.undo("s", "b.csv")
