"""The folder of compiled kernels: who may write it, what changes a kernel's name, and failures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators import files
from operators.compiler import cache, reach, sealed, shared_object
from operators.compiler.library import _import_loops
from operators.compiler.link import has_linker, linker
from operators.compiler.loops import LOOPS, Inlined
from operators.compiler.targets import compiler, host, worker
from operators.errors import DataflowError

SIGNATURE = "b1(u1[::1], i8)"


def below(a: Any, limit: Any) -> Any:
    return len(a) < limit


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_closed(base: Path) -> None:
    folder = cache.cache_folder()
    assert [p.stat().st_mode & 0o777 for p in (base, folder)] == [0o700] * 2


def test_a_folder_that_others_can_write_is_refused(base: Path) -> None:
    cache.cache_folder().chmod(0o770)
    with pytest.raises(DataflowError, match=r"can be written by other users; close it \(chmod 700\)"):
        cache.cache_folder()


def test_a_folder_that_others_can_replace_is_refused(base: Path) -> None:
    cache.cache_folder()
    base.chmod(0o777)
    with pytest.raises(DataflowError, match="can be replaced by other users"):
        cache.cache_folder()
    base.chmod(0o1777)  # as /tmp is
    cache.cache_folder()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_below_one_of_somebody_else_is_refused(base: Path) -> None:
    cache.cache_folder()
    os.chown(base, 12_345, -1)
    with pytest.raises(DataflowError, match="can be replaced by other users"):
        cache.cache_folder()


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(cache.CACHE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(DataflowError, match="no home folder for compiled kernels; set ANTFOLD_CACHE_DIR"):
        cache.cache_folder()


def test_nothing_is_left_of_a_file_that_cannot_be_written(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache.cache_folder()
    files.put(b"x", folder / "a")
    assert (folder / "a").read_bytes() == b"x"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        files.put(b"y", folder / "b")
    assert [p.name for p in folder.iterdir()] == ["a"]


def test_loops_inline_nothing_that_their_digest_leaves_out() -> None:
    """What Numba will inline, found by looking at the functions themselves, is in what ``reach`` follows."""
    for package in ("operators", "runtime"):
        _import_loops(package)

    def inlined(function: Any, seen: set[Inlined]) -> set[Inlined]:
        for name in function.__code__.co_names:
            used = function.__globals__.get(name)
            if isinstance(used, Inlined) and used not in seen:
                seen.add(used)
                inlined(used.plain, seen)
        return seen

    counted = 0
    for loop in (loop for loop in LOOPS if loop.plain.__module__.partition(".")[0] in ("operators", "runtime")):
        names = reach.names_of(loop.plain.__module__, loop.plain.__name__, cache.ROOT)
        for used in inlined(loop.plain, set()):
            assert (used.plain.__module__, used.plain.__name__) in names, (loop.plain, used.plain)
            counted += 1
    assert counted


def test_damaged_digests_are_computed_anew(base: Path) -> None:
    right = cache._reached.__wrapped__(cache.OPERATORS)
    (path,) = cache.cache_folder().glob("reach-*.json")
    whole = path.read_bytes()
    assert json.loads(sealed.read(path)) == right
    for damaged in (b"", whole[:-9], whole.replace(b"operators", b"operatars", 1), b"[]", b"{}"):
        path.write_bytes(damaged)
        assert cache._reached.__wrapped__(cache.OPERATORS) == right
        assert path.read_bytes() == whole


def test_another_compiler_makes_kernels_anew(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel for workers is named by what it computes, but what a bug of an older compiler made is not served."""
    if not has_linker():
        pytest.skip("no C compiler to link with (cc, gcc or clang)")
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return below

    first = [cache.built("below", "0" * 64, SIGNATURE, make, worker()) for _ in range(2)]
    assert first[0] == first[1]
    assert made == [1]
    monkeypatch.setattr(cache, "compiler", lambda: "another")
    second = cache.built("below", "0" * 64, SIGNATURE, make, worker())
    assert (second.name, made) == (first[0].name, [1, 1])


def test_checked_bounds_are_another_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is to check bounds must not find kernels that do not."""
    plain = compiler(), host.__wrapped__().key
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert compiler() != plain[0]
    assert host.__wrapped__().key != plain[1]


def test_a_shared_object_without_run_is_made_anew(base: Path, tmp_path: Path) -> None:
    if not has_linker():
        pytest.skip("no C compiler to link with (cc, gcc or clang)")
    (tmp_path / "empty.c").write_text("int other(void) { return 0; }\n")
    path = cache.cache_folder() / cache.file_name("below", "2" * 64, host())
    subprocess.run([*linker(host()), "-shared", "-fPIC", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True)
    sealed.write(path, (tmp_path / "empty.so").read_bytes())
    with pytest.raises(OSError, match="no function run"):
        shared_object.Native(path, SIGNATURE)
    assert cache.compiled("below", "2" * 64, SIGNATURE, lambda: below)(np.zeros(1, np.uint8), 2) is True


def test_numba_serves_where_its_cache_cannot_be_written(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours, nor where Numba would keep it otherwise: beside the source, or in the user's cache."""
    place: dict[str, Any] = {}
    exec(compile("def short(a, limit):\n    return len(a) < limit\n", "/proc/version", "exec"), place)
    monkeypatch.setenv(cache.MODE_VARIABLE, "numba")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    (cache.cache_folder() / f"numba-{'3' * 16}").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache.compiled("short", "3" * 64, SIGNATURE, lambda: place["short"])(np.zeros(1, np.uint8), 2)
