"""Loops as shared objects: Numba and ctypes run the same machine code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from operators.compiler import cache, shared_object
from operators.compiler.build import build
from operators.compiler.link import has_linker
from operators.compiler.loops import Loop
from operators.compiler.signature import arguments_of
from operators.compiler.targets import host
from operators.errors import DataflowError
from operators.kernels import hash_tables, texts
from runtime.pointfile import hashing
from runtime.pointfile.reading import skip_unchanged, unpack

LOOPS = [
    hash_tables.enter_groups, hash_tables.enter_pairs, hash_tables.find_groups, texts.same_texts,
    hashing._states, skip_unchanged.changes,
    unpack.unpack_blocks,
]  # fmt: skip

pytestmark = pytest.mark.skipif(not has_linker(), reason="no C compiler to link with (cc, gcc or clang)")


def sums(a: Any, b: Any, scale: Any, out: Any) -> Any:
    total = 0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i] += a[i, j] * b[j] * scale
            total += 1
    return total


def below(a: Any, limit: Any) -> Any:
    return len(a) < limit


SIGNATURE = "i8(f8[:,::1], f8[::1], i8, f8[::1])"


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.plain.__name__)
def test_every_loop_becomes_a_shared_object(loop: Loop) -> None:
    assert isinstance(loop.compiled, shared_object.Native)


def test_the_same_results_as_numba(tmp_path: Path) -> None:
    build(sums, SIGNATURE, tmp_path / "sums.so", host())
    linked, jitted = shared_object.Native(tmp_path / "sums.so", SIGNATURE), numba.njit(SIGNATURE)(sums)
    rng = np.random.default_rng(1)
    call = linked.caller()
    for rows, columns in ((3, 4), (0, 4), (4, 0), (1, 1), (3, 4)):
        a, b = rng.normal(size=(rows, columns)), rng.normal(size=columns)
        one, two, three = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        assert linked(a, b, -3, one) == jitted(a, b, -3, two) == call(a, b, -3, three) == rows * columns
        assert one.tobytes() == two.tobytes() == three.tobytes()


def test_truth_values(tmp_path: Path) -> None:
    build(below, "b1(u1[::1], i8)", tmp_path / "below.so", host())
    loop = shared_object.Native(tmp_path / "below.so", "b1(u1[::1], i8)")
    assert [loop(np.zeros(n, np.uint8), 2) for n in (1, 2, 3)] == [True, False, False]


def test_a_caller_sees_arrays_that_changed(tmp_path: Path) -> None:
    build(sums, SIGNATURE, tmp_path / "sums.so", host())
    call = shared_object.Native(tmp_path / "sums.so", SIGNATURE).caller()
    a, b, out = np.ones((2, 2)), np.ones(2), np.zeros(2)
    call(a, b, 1, out)
    a[:] = 5
    call(a, b, 1, out)
    call(np.full((2, 2), 7.0), b, 2, out)
    assert out.tolist() == [2 + 10 + 28] * 2
    with pytest.raises(TypeError, match="takes 4 arguments, got 3"):
        call(a, b, 1)


@pytest.mark.parametrize("bad", ["i8(f8)", "i8(f8[:,:])", "nonsense", "i8(c16[::1])"])
def test_signatures_that_are_none(bad: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be an argument|is not the type of a loop"):
        arguments_of(bad)


def test_a_shared_object_that_does_not_load_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return below

    folder = cache.cache_folder()
    (folder / cache.file_name("below", "0" * 64, host())).write_bytes(b"not machine code")
    for _ in range(2):
        assert cache.compiled("below", "0" * 64, "b1(u1[::1], i8)", make)(np.zeros(1, np.uint8), 2) is True
    assert made == [1]


def test_without_a_linker_numba_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert not has_linker()
    loop = cache.compiled("below", "1" * 64, "b1(u1[::1], i8)", lambda: below)
    assert not isinstance(loop, shared_object.Native)
    assert loop(np.zeros(1, np.uint8), 2)


def test_a_mode_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.MODE_VARIABLE, "fast")
    with pytest.raises(DataflowError, match="ANTFOLD_KERNELS is 'fast'"):
        cache.mode()


def test_a_known_question_imports_no_numba(tmp_path: Path) -> None:
    program = f"""
import sys
import dataflow as df
from runtime import Store
store = Store({str(tmp_path / "store")!r}, create=True)
metric = df.stream("s").state_duration("v", hold="5m").group_by("v").agg(t=df.known_time(), n=df.count_distinct("k"))
if len(sys.argv) > 1:
    store.ingest("s", {{"k": ["a", "b"], "t": [1, 2], "v": ["x", "y"]}}, key="k", time="t", unit="s")
print(store.query(metric, progress=False).to_dict()["rows"])
assert len(sys.argv) > 1 or "numba" not in sys.modules
"""
    answers = [
        subprocess.run([sys.executable, "-c", program, *more], capture_output=True, text=True, check=True).stdout
        for more in (["ingest"], [])
    ]
    assert answers[0] == answers[1] != ""
