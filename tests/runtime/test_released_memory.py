"""Freed memory goes back to the system, and results are written without a second copy of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.released_memory import Trimmer, freed, resident

ROOT = Path(__file__).parents[2]
ROWS = 500_000

_FREED = """
import numpy as np, threading
from runtime.released_memory import Trimmer, resident
trimmer, kept = Trimmer(), []
trimmer.worked()
def work():
    parts = [np.ones(4000) for _ in range(3000)]
    kept.append(parts.pop())  # at the end of the thread's arena
for _ in range(4):
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
before = resident()
trimmer.worked()
print(before, resident())
"""

_WRITTEN = """
import json, resource, sys
import numpy as np
from deploy.commands.result_output import show_result
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.result.result import Result

class Proof:
    def to_dict(self):
        return {}

rows, path, form = int(sys.argv[1]), sys.argv[2], sys.argv[3]
n = np.arange(rows)
words = Dictionary.of([f"device {i}" for i in range(rows // 2)])
columns = {
    "key": Column(Type.STRING, (n // 2).astype(np.int32), n % 7 != 0, words),
    "at": Column(Type.TIME, n * 1_000_001),
    "n": Column(Type.INT, n * 3),
    "v": Column(Type.FLOAT, n / 7, n % 5 != 0),
}
result = Result(columns, Proof())
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
if form == "parquet":
    import pyarrow.parquet
before = peak()
if form == "to_csv":
    result.to_csv(path)
elif form == "to_json":
    result.to_json(path)
else:
    show_result(result, form, path)
print(peak() - before)
"""


def _run(code: str, *arguments: str) -> list[int]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(not resident() or not hasattr(os, "confstr"), reason="needs /proc and glibc")
def test_what_threads_freed_goes_back() -> None:
    before, after = _run(_FREED)
    # Four times 96 MB were freed by threads.
    assert before - after > 100 << 20


def test_it_is_done_only_after_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, calls = iter([200 << 20, 90 << 20, 200 << 20, 219 << 20, 80 << 20]), []
    monkeypatch.setattr("runtime.released_memory.resident", lambda: next(sizes))
    monkeypatch.setattr("runtime.released_memory.freed", calls.append)
    trimmer = Trimmer()
    for expected in (1, 1, 2):
        trimmer.worked()
        assert len(calls) == expected


def test_where_there_is_nothing_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.released_memory._malloc_trim", lambda: None)
    freed(1 << 30)
    Trimmer().worked()
    assert resident() >= 0


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "markdown", "table", "to_csv", "to_json", "parquet"])
def test_a_result_is_written_in_pieces(form: str, tmp_path: Path) -> None:
    rows = ROWS // 5 if form in ("markdown", "table") else ROWS
    (grown,) = _run(_WRITTEN, str(rows), str(tmp_path / "out"), form)
    size = (tmp_path / "out").stat().st_size
    # The text of the result is twice to three times as large, as Python objects ten times.
    assert grown < (200 << 20 if form == "parquet" else 24 << 20)
    assert size > (4 << 20)


def test_pieces_make_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from deploy.values import to_json
    from operators.types import Type
    from runtime.columns import Column, Dictionary
    from runtime.display import pieces, text_tables
    from runtime.result.result import PartialResult

    class NoProof:
        def to_dict(self) -> dict[str, object]:
            return {"rows": [1]}

    n = np.arange(23)
    result = PartialResult(
        {
            "s": Column(Type.STRING, (n % 3).astype(np.int32), n % 4 > 0, Dictionary.of(["a", '"é, \n', ""])),
            "j": Column(Type.JSON, (n % 2).astype(np.int32), None, Dictionary.of(['{"a":1.10}', "[]"])),
            "t": Column(Type.TIME, n * 60_000_000, n % 5 > 0),
            "d": Column(Type.DURATION, n * 1_500_000),
            "f": Column(Type.FLOAT, np.where(n == 3, np.nan, n / 8)),
            "big": Column(Type.INT, (n << 52)),
            "p": Column(Type("decimal(2)"), n * 101),
        },
        NoProof(),
        ("task 1",),
    )

    def written() -> list[str]:
        return [
            result.to_csv() or "", result.to_json() or "", result.to_text(), result.to_text(width=30),
            text_tables.markdown_table(result.columns),
        ]  # fmt: skip

    at_once = written()
    assert at_once[1] == to_json(result.to_dict())
    assert json.loads(at_once[1])["missing"] == ["task 1"]
    for size in (1, 7, 23):
        monkeypatch.setattr(pieces.pieces, "__defaults__", (size,))
        monkeypatch.setattr(pieces.parts, "__defaults__", (size,))
        monkeypatch.setattr(text_tables, "PIECE", size)
        assert written() == at_once
        result.to_json(tmp_path / "r.json")
        assert (tmp_path / "r.json").read_text() == at_once[1] + "\n"
        result.to_csv(tmp_path / "r.csv")
        digest = hashlib.sha256((tmp_path / "r.csv").read_bytes()).hexdigest()
        assert digest == hashlib.sha256(at_once[0].encode()).hexdigest()
