"""What an ingest reports of the compaction that follows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store
from runtime.errors import StoreError
from runtime.upkeep.compaction import Compaction

POINTS = {"k": ["a", "a"], "t": [1, 2], "v": [1, 2]}


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def what_is_due(*_: object) -> None:
        raise error

    monkeypatch.setattr(Compaction, "what_is_due", what_is_due)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device"), "No space left"),
        (StoreError("no luck"), "no luck"),
    ],
)
def test_a_failure_is_noted_since_the_points_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    failing(monkeypatch, error)
    file = tmp_path / "points.csv"
    file.write_text("k,t,v\na,2024-01-01,1\n")
    assert main(["ingest", str(tmp_path / "store"), "s", str(file), "--key", "k", "--time", "t"]) == 0
    out = capsys.readouterr().out
    assert "points.csv: 1 row in 1 file" in out
    assert "files were not compacted (the points are in the stream):" in out
    assert said in out


def test_a_fault_of_the_program_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AssertionError("wrong"))
    with pytest.raises(AssertionError):
        Store(tmp_path, create=True).ingest("s", POINTS, key="k", time="t", unit="s", progress=False)
