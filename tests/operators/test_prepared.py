"""The shipped code of slow loops: it is that of the sources, and nothing else is ever used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from operators.compiler import prepared
from operators.compiler.library import prepare, slow_loops
from operators.compiler.link import link
from operators.compiler.loops import Loop
from operators.compiler.object_code import emitted, emitted_as_it_is, intermediate
from operators.compiler.shared_object import Native
from operators.compiler.targets import TARGETS, Target, host

PACKED = zstandard.ZstdCompressor(write_checksum=True)


def _double(n: int) -> int:
    return n * 2


@pytest.fixture
def loop() -> Loop:
    return Loop(_double, "i8(i8)", slow=False)


@pytest.fixture(scope="module")
def made_now(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes. In a process of its own, as the command is one: what Numba has compiled before shows in
    the order of the code."""
    folder = tmp_path_factory.mktemp("prepared")
    code = f"import pathlib; from operators.compiler import library; library.prepare(pathlib.Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder


@pytest.mark.parametrize("loop", slow_loops(), ids=lambda loop: loop.name)
@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_it_is_that_of_the_sources(loop: Loop, target: Target, made_now: Path) -> None:
    again = "python -m operators.compiler writes it anew"
    code = prepared.code_of(loop.name, loop.digest, target)
    assert code is not None, again
    if not code.startswith(f"{prepared.made_by()}\n"):
        pytest.skip(f"written by another Numba or Python: {code.partition(chr(10))[0]}")
    assert code == prepared.code_of(loop.name, loop.digest, target, made_now), again


@pytest.mark.parametrize("loop", slow_loops(), ids=lambda loop: loop.name)
@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_it_is_for_every_machine(loop: Loop, target: Target) -> None:
    code = prepared.code_of(loop.name, loop.digest, target)
    assert code is not None
    assert "inttoptr (i64 1" not in code  # no address of the process that wrote it
    assert not re.search(r"site-packages|\.py\b", code)  # and no path of its machine
    assert emitted_as_it_is(code, target)[:4] == b"\x7fELF"


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_it_computes_the_same(loop: Loop, target: Target, tmp_path: Path) -> None:
    """On this machine also what was optimised for another."""
    prepare(tmp_path, [loop])
    code = prepared.code_of(loop.name, loop.digest, target, tmp_path)
    assert code is not None
    results = []
    for name, object_code in (
        ("prepared", emitted_as_it_is(code, host())),
        ("fresh", emitted(intermediate(_double, "i8(i8)"), host())),
    ):
        path = tmp_path / f"{name}.so"
        link(object_code, path, host())
        results.append(Native(path, "i8(i8)")(21))
    assert results == [42, 42]


def test_code_of_another_state_of_the_sources_is_not_used(loop: Loop, tmp_path: Path) -> None:
    prepare(tmp_path, [loop])
    assert prepared.code_of(loop.name, loop.digest, host(), tmp_path) is not None
    assert prepared.code_of(loop.name, "0" * 64, host(), tmp_path) is None
    assert prepared.code_of("other", loop.digest, host(), tmp_path) is None


def test_code_of_another_llvm_is_not_used(loop: Loop, tmp_path: Path) -> None:
    prepare(tmp_path, [loop])
    path = tmp_path / prepared.file_name(loop.name, host())
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()
    first, _, code = text.partition("\n")
    path.write_bytes(PACKED.compress(f"{first}0\n{code}".encode()))
    assert prepared.code_of(loop.name, loop.digest, host(), tmp_path) is None


def test_damaged_code_is_not_used(loop: Loop, tmp_path: Path) -> None:
    prepare(tmp_path, [loop])
    path = tmp_path / prepared.file_name(loop.name, host())
    whole, intact = path.read_bytes(), prepared.code_of(loop.name, loop.digest, host(), tmp_path)
    for n in range(len(whole)):
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        assert prepared.code_of(loop.name, loop.digest, host(), tmp_path) in (None, intact)
    path.write_bytes(whole[: len(whole) // 2])
    assert prepared.code_of(loop.name, loop.digest, host(), tmp_path) is None


def test_writing_replaces_what_was_there(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "gone.ll.zst").write_bytes(b"")
    written = [path.name for path in prepare(tmp_path, [loop])]
    assert written == [f"double.{name}.ll.zst" for name in TARGETS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
