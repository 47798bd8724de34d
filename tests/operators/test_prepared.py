"""The shipped intermediate code of slow loops: it is that of the sources, and nothing else is ever used."""

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
from operators.compiler.object_code import emitted, intermediate
from operators.compiler.shared_object import Native
from operators.compiler.targets import TARGETS, host

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
def test_it_is_that_of_the_sources(loop: Loop, made_now: Path) -> None:
    again = "python -m operators.compiler writes it anew"
    code = prepared.code_of(loop.name, loop.digest)
    assert code is not None, again
    if not code.startswith(f"{prepared.made_by()}\n"):
        pytest.skip(f"written by another Numba or Python: {code.partition(chr(10))[0]}")
    assert code == prepared.code_of(loop.name, loop.digest, made_now), again


@pytest.mark.parametrize("loop", slow_loops(), ids=lambda loop: loop.name)
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_for_every_machine(loop: Loop, target: str) -> None:
    code = prepared.code_of(loop.name, loop.digest)
    assert code is not None
    assert "inttoptr (i64 1" not in code  # no address of the process that wrote it
    assert not re.search(r"site-packages|\.py\b", code)  # and no path of its machine
    assert emitted(code, TARGETS[target])[:4] == b"\x7fELF"


def test_it_computes_the_same(loop: Loop, tmp_path: Path) -> None:
    prepare(tmp_path, [loop])
    code = prepared.code_of(loop.name, loop.digest, tmp_path)
    assert code is not None
    results = []
    for name, text in (("prepared", code), ("fresh", intermediate(_double, "i8(i8)"))):
        path = tmp_path / f"{name}.so"
        link(emitted(text, host()), path, host())
        results.append(Native(path, "i8(i8)")(21))
    assert results == [42, 42]


def test_code_of_another_state_of_the_sources_is_not_used(loop: Loop, tmp_path: Path) -> None:
    prepare(tmp_path, [loop])
    assert prepared.code_of(loop.name, loop.digest, tmp_path) is not None
    assert prepared.code_of(loop.name, "0" * 64, tmp_path) is None
    assert prepared.code_of("other", loop.digest, tmp_path) is None


def test_code_of_another_llvm_is_not_used(loop: Loop, tmp_path: Path) -> None:
    (path,) = prepare(tmp_path, [loop])
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()
    first, _, code = text.partition("\n")
    path.write_bytes(PACKED.compress(f"{first}0\n{code}".encode()))
    assert prepared.code_of(loop.name, loop.digest, tmp_path) is None


def test_damaged_code_is_not_used(loop: Loop, tmp_path: Path) -> None:
    (path,) = prepare(tmp_path, [loop])
    whole, intact = path.read_bytes(), prepared.code_of(loop.name, loop.digest, tmp_path)
    for n in range(len(whole)):
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        assert prepared.code_of(loop.name, loop.digest, tmp_path) in (None, intact)
    path.write_bytes(whole[: len(whole) // 2])
    assert prepared.code_of(loop.name, loop.digest, tmp_path) is None


def test_writing_replaces_what_was_there(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "gone.ll.zst").write_bytes(b"")
    assert [path.name for path in prepare(tmp_path, [loop])] == ["double.ll.zst"]
    assert [path.name for path in tmp_path.iterdir()] == ["double.ll.zst"]
