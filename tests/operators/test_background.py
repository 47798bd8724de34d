"""Kernels compiled by several processes: one at a time, none waits for ever, none runs what lies in its folder."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from operators.compiler import background, cache, library
from operators.compiler.loops import Loop


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(background, "_PATIENCE", 0.2)
    return tmp_path / "kernel.so"


def test_one_builds_and_its_lock_is_gone(kernel: Path) -> None:
    lock = kernel.with_name("kernel.so.lock")
    with background.building(kernel), lock.open("wb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(kernel.parent.iterdir()) == []


def test_a_process_that_was_stopped_is_not_waited_for(kernel: Path) -> None:
    lock = kernel.with_name("kernel.so.lock")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        begun = time.monotonic()
        with background.building(kernel):
            assert time.monotonic() - begun >= 0.2
        # The lock is still that process's.
        assert lock.exists()


def test_whoever_waits_does_something_else_once(kernel: Path) -> None:
    done: list[str] = []
    with background.building(kernel, lambda: done.append("free")):
        assert done == []
    with kernel.with_name("kernel.so.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with background.building(kernel, lambda: done.append("held")):
            assert done == ["held"]


@pytest.fixture
def slow_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two slow loops and an empty cache: the files that they become."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(cache, "SLOW", [])
    for plain in (_one, _other):
        Loop(plain, "i8(i8)", slow=True)
    return [loop.path for loop in cache.SLOW]


def test_a_slow_loop_is_compiled_while_another_is_waited_for(slow_loops: list[Path]) -> None:
    first, second = slow_loops
    with background.building(first):
        cache.build_slow_one()
        assert second.exists()
        cache.build_slow_one()  # nothing is left but what another process compiles
        assert not first.exists()
    cache.build_slow_one()
    assert first.exists()


def test_the_slow_loops_are_known() -> None:
    from operators.kernels import hash_tables
    from runtime.pointfile.reading import skip_unchanged, unpack

    slow = [hash_tables.find_by_hash, unpack.unpack_blocks, skip_unchanged.changes]
    assert [loop.plain for loop in slow] == [loop.plain for loop in cache.SLOW]


def _one(number: int) -> int:
    return number + 1


def _other(number: int) -> int:
    return number + 2


def test_a_deleted_lock_is_none(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited for a lock that its holder deleted locks the new file, as others do."""
    lock = kernel.with_name("kernel.so.lock")
    real, tries = background._lock, []

    def held_at_first(file: object) -> bool:
        tries.append(file)
        if len(tries) == 1:
            lock.unlink()
        return real(file)  # type: ignore[arg-type]

    monkeypatch.setattr(background, "_lock", held_at_first)
    with background.building(kernel), lock.open("wb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(tries) == 2


def test_no_lock_where_none_can_be(kernel: Path) -> None:
    kernel.with_name("kernel.so.lock").mkdir()
    with background.building(kernel):
        kernel.write_bytes(b"built")
    assert kernel.read_bytes() == b"built"


def test_files_of_the_current_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tmp_path / "found"
    (tmp_path / "operators.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(background.VARIABLE, "1")
    monkeypatch.setattr(background.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(background, "_running", [])
    monkeypatch.setattr(background, "_CODE", f"import operators; open({str(found)!r}, 'w').write(operators.__file__)")
    background.start()
    (process,) = background._running
    assert process.wait(60) == 0
    assert Path(found.read_text()) == Path(background.__file__).parents[1] / "__init__.py"


def test_loops_of_imported_modules_come_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(cache, "is_kept", lambda name, digest: False)
    monkeypatch.setattr(Loop, "compiled", property(lambda loop: compiled.append(loop.plain.__module__)))
    named = ["operators.kernels.hash_tables", "runtime.pointfile.hashing"]
    library.compile_missing(named)
    slow = [loop.plain.__module__ for loop in library.slow_loops()]
    assert sorted(compiled[: len(slow)]) == sorted(slow) != []
    places = [named.index(module) if module in named else -1 for module in compiled[len(slow) :]]
    assert places == sorted(places, reverse=True)
    assert set(places) == {1, 0, -1}


def test_new_sources_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(background, "start", lambda: started.append(True))
    for _ in range(2):  # the second time they are known
        cache._reached.cache_clear()
        cache.reached(cache.OPERATORS)
        assert started == [True]
    monkeypatch.setenv(cache.MODE_VARIABLE, "numba")
    (tmp_path / "kernels").rename(tmp_path / "before")
    cache._reached.cache_clear()
    cache.reached(cache.OPERATORS)
    assert started == [True]
