"""`dataflow ingest` on a store in a folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from deploy.cli import main


def test_a_source_to_be_replaced_goes_with_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for beside in (["b.csv"], ["--replace"]):
        assert main(["ingest", str(tmp_path), "s", "a.csv", *beside, "--replace-source", "old.csv"]) == 2
        assert "--replace-source takes one file" in capsys.readouterr().err


def test_the_report_is_printed_even_if_one_of_the_files_cannot_be_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("readme.txt", "Nothing to see here.\n")
        archive.writestr("points.csv", "k,t,v\na,2024-01-01,1\na,2024-01-02,n/k\n,2024-01-03,3\n")
        archive.writestr("none.csv", "x,y\n1,2\n")
    arguments = [str(tmp_path / "store"), "s", str(tmp_path / "all.zip"), "--key", "k", "--time", "t"]
    assert main(["ingest", *arguments]) == 1
    said = capsys.readouterr()
    assert "points.csv: 2 rows in 2 files, 1 rejected" in said.out
    assert "1 text in v#string (the first, 'n/k', in line 3" in said.out
    assert "readme.txt: failed: " in said.out
    assert "none.csv: failed: " in said.out
    assert "2 of 3 inputs were not ingested (the others were): " in said.err
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    arguments[2:3] = [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]
    assert main(["ingest", *arguments]) == 1
    assert "none of the 2 inputs was ingested: " in capsys.readouterr().err
