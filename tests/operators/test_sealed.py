"""Files of the kernel cache: checksums detect damage, and damaged files are rebuilt."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.compiler import sealed


@given(st.binary(max_size=200), st.data())
def test_every_bit_and_every_length(data: bytes, draw: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel"
        sealed.write(path, data)
        assert sealed.read(path) == data
        content = path.read_bytes()
        at = draw.draw(st.integers(0, 8 * len(content) - 1))
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        other = draw.draw(st.sampled_from([bytes(flipped), content[: at // 8], content + content[: at // 8 + 1], b""]))
        path.write_bytes(other)
        with pytest.raises(sealed.Damaged, match="its checksum is another one"):
            sealed.read(path)
        assert not sealed.is_whole(path)


def test_another_file_in_its_place(tmp_path: Path) -> None:
    sealed.write(tmp_path / "one", b"content")
    os.replace(tmp_path / "one", tmp_path / "two")
    assert not sealed.is_whole(tmp_path / "two")


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(sealed.MAX_BYTES + 1)
    with pytest.raises(sealed.Damaged, match="larger than any file"):
        sealed.read(tmp_path / "large")


PROGRAM = """
import numpy as np
import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.kernels.compile import compile_stage
from operators.kernels import texts
columns = StreamColumns("k", df.Type.STRING, "t", {"v": df.Type.FLOAT})
for stage in bind(df.stream("s").filter(df.col("v") > 1).agg(n=df.count()).steps, columns).stages:
    compile_stage(stage)
starts, which = np.array([0, 2, 4]), np.array([0, 1])
first = np.frombuffer(b"abab", "u1").copy()
for text in (b"abab", b"abac"):
    print(texts.same_texts(starts, first, which, starts, np.frombuffer(text, "u1").copy(), which))
"""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(64, len(data), 997):
        data[at] ^= 16
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    (path / "in").mkdir(parents=True)


@pytest.mark.parametrize("mode", ["native", "numba"])
def test_every_damaged_file_of_a_cache_is_made_anew(tmp_path: Path, mode: str) -> None:
    """Shared objects, generated source, Numba's indices and data: all of them damaged at once, in turns."""

    def answer() -> str:
        environment = os.environ | {"ANTFOLD_CACHE_DIR": str(tmp_path / "cache"), "ANTFOLD_KERNELS": mode}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def kept() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".py"}

    right = answer()
    assert right == "True\nFalse\n"
    found = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert {".so", ".py"} <= {p.suffix for p in found} or mode == "numba"
    assert {".nbi", ".nbc", ".py"} <= {p.suffix for p in found} or mode == "native"
    for path, damage in zip(sorted(found), cycle([cut, flip, empty, fifo, folder]), strict=False):
        damage(path)
    assert answer() == right
    after = kept()
    assert after.keys() == {p for p in found if p.suffix != ".py"}
    assert answer() == right
    assert kept() == after  # found again, not made again
