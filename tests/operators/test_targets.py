"""Kernels for other machines, and for workers without a compiler."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.compiler import cache, link, prebuild, sealed, shared_object, targets
from operators.compiler.build import build
from operators.compiler.loops import LOOPS
from operators.compiler.targets import GLIBC, TARGETS, TargetUnavailable, host, worker
from operators.errors import DataflowError
from operators.kernels import hash_tables
from operators.kernels.sums import windowed_sums
from tests.laws.emulated import Emulated, driver

MACHINES = {"x86_64": 62, "arm64": 183}
"""The numbers of machines in ELF headers."""

BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Block())
"""


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> targets.Target:
    found = TARGETS[request.param]
    try:
        link.linker(found)
    except TargetUnavailable as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def here() -> targets.Target:
    try:
        link.linker(worker())
    except DataflowError as error:
        pytest.skip(str(error))
    return worker()


def in_a_worker(program: str, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {cache.MODE_VARIABLE: "ready"} | {k: str(v) for k, v in variables.items()}
    command = [sys.executable, "-c", BLOCKED + program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_digest_says_what_is_computed_and_not_where(monkeypatch: pytest.MonkeyPatch) -> None:
    before, key = cache.digest_of("x"), host().key
    targets.host.cache_clear()
    monkeypatch.setattr(targets.platform, "processor", lambda: "another one")
    try:
        assert host().key != key
        assert cache.digest_of("x") == before != cache.digest_of("y")
        assert cache.file_name("f", before, host()) != f"f-{before[:40]}-{key}.so"
    finally:
        targets.host.cache_clear()


def test_every_library_loop_for_each_target(tmp_path: Path, target: targets.Target) -> None:
    """For the right machine, with nothing but the C library undefined, and that no newer than a worker's."""
    made = prebuild(tmp_path, target)
    declared = [x for x in LOOPS if not x.plain.__module__.startswith("tests.")]
    assert {p.name for p in made} == {cache.file_name(x.name, x.digest, target) for x in declared}
    assert len(made) >= 8
    manifest = json.loads((tmp_path / cache.MANIFEST).read_text())
    assert manifest["target"] == target.name
    assert set(manifest["reached"]) >= {
        "",
        "operators.kernels.bins:hash_word",
        "runtime.pointfile.reading.unpack:unpack_blocks",
    }
    for path in made:
        data = path.read_bytes()
        assert data[:4] == b"\x7fELF"
        assert int.from_bytes(data[18:20], "little") == MACHINES[target.name]
        symbols = subprocess.run(["readelf", "-W", "--dyn-syms", path], capture_output=True, text=True, check=True)
        for name in re.findall(r" UND (\S+)", symbols.stdout):
            assert re.fullmatch(r"(mem\w+)@GLIBC_([\d.]+)", name), name
            wanted = name.partition("_")[2].split(".")
            assert [int(n) for n in wanted] <= [int(n) for n in GLIBC.split(".")]
        assert re.search(r" run$", symbols.stdout, re.M)


def test_the_same_bytes_from_every_compiler(tmp_path: Path, target: targets.Target) -> None:
    program = """
import hashlib, sys
from operators.compiler.targets import TARGETS
from operators.kernels import hash_tables as tables
from operators.kernels.sums import windowed_sums as exact
loops = [exact.refold, tables.find_groups]
for loop in loops if sys.argv[1] == "1" else loops[::-1]:
    print(loop.name, hashlib.sha256(loop.built(TARGETS[sys.argv[2]]).read_bytes()).hexdigest())
"""
    found = set()
    for i in "12":
        environment = os.environ | {cache.CACHE_VARIABLE: str(tmp_path / i)}
        command = [sys.executable, "-c", program, i, target.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.add("".join(sorted(done.stdout.splitlines(keepends=True))))
    assert len(found) == 1


def test_products_and_sums_round_apart(tmp_path: Path, target: targets.Target) -> None:
    """a * a - b, where one rounding instead of two gives another number."""

    def fused(a: Any, b: Any, out: Any) -> Any:
        for i in range(len(a)):
            out[i] = a[i] * a[i] - b[i]
        return 0

    signature = "i8(f8[::1], f8[::1], f8[::1])"
    build(fused, signature, tmp_path / "fused.so", target)
    a = np.random.default_rng(3).normal(size=1000)
    out = np.empty(1000)
    if target.name == worker().name:
        shared_object.Native(tmp_path / "fused.so", signature)(a, a * a, out)
    elif target.name == "arm64":
        kernel = Emulated(driver(tmp_path), tmp_path / "fused.so", signature)
        kernel(a, a * a, out)
        kernel.close()
    else:
        pytest.skip("nothing runs x86_64 here")
    assert not out.any()


def test_a_worker_loads_what_it_came_with_and_imports_no_compiler(tmp_path: Path, here: targets.Target) -> None:
    prebuild(tmp_path / "ready", here)
    program = """
import numpy as np
from operators.compiler import cache
from operators.kernels import hash_tables as tables
from runtime.pointfile.reading import unpack
slots = np.zeros(4, np.int32)
tables.enter_groups(np.zeros((1, 1), np.int64), slots, 1)
assert slots.sum() == 1
unpack.unpack_blocks.compiled
assert not cache._hashed.cache_info().misses
assert not list(cache.cache_folder().iterdir())
"""
    done = in_a_worker(program, ANTFOLD_KERNEL_PATH=tmp_path / "ready", ANTFOLD_CACHE_DIR=tmp_path / "cache")
    assert done.returncode == 0, done.stderr


def test_a_worker_without_a_kernel_says_so(tmp_path: Path) -> None:
    program = "from operators.kernels import hash_tables as tables\ntables.enter_groups.compiled"
    done = in_a_worker(program, ANTFOLD_KERNEL_PATH="", ANTFOLD_CACHE_DIR=tmp_path)
    assert done.returncode
    assert re.search(
        r"KernelMissing: there is no undamaged kernel enter_groups-\w{40} for \w+ in ANTFOLD_KERNEL_PATH", done.stderr
    )


def test_a_kernel_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.MODE_VARIABLE, "ready")
    monkeypatch.setenv(cache.PATH_VARIABLE, str(tmp_path))
    sealed.write(tmp_path / cache.file_name("f", "0" * 64, worker()), b"nothing")
    assert cache.is_kept("f", "0" * 64)
    with pytest.raises(cache.KernelMissing, match="does not load"):
        cache.compiled("f", "0" * 64, "i8(i8)", lambda: pytest.fail("compiled"))


def test_a_damaged_kernel_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.MODE_VARIABLE, "ready")
    monkeypatch.setenv(cache.PATH_VARIABLE, str(tmp_path))
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / cache.file_name("f", "0" * 64, worker())).write_bytes(b"nothing")
    assert not cache.is_kept("f", "0" * 64)
    with pytest.raises(cache.KernelMissing, match=r"there is no undamaged kernel .* in ANTFOLD_KERNEL_PATH"):
        cache.compiled("f", "0" * 64, "i8(i8)", lambda: pytest.fail("compiled"))
    # A worker is given it anew, and finds it although the damaged one comes first.
    sealed.write(cache.cache_folder() / cache.file_name("f", "0" * 64, worker()), b"something")
    assert cache.ready_file("f", "0" * 64) == cache.cache_folder() / cache.file_name("f", "0" * 64, worker())


def test_a_target_that_is_none() -> None:
    with pytest.raises(DataflowError, match="there is no target 'riscv' for kernels; there are x86_64, arm64"):
        targets.target("riscv")


def test_no_linker_for_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(link.importlib.util, "find_spec", lambda name: None)
    for name, machine in (("arm64", "aarch64"), ("x86_64", "x86_64")):
        with pytest.raises(TargetUnavailable, match=rf"kernels for {name} cannot be linked .*{machine}-linux-gnu-gcc"):
            windowed_sums.refold.built(TARGETS[name])


def test_a_linker_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(link, "linker", lambda target: ["false"])
    with pytest.raises(TargetUnavailable, match=r"the kernel enter_pairs-.* cannot be linked: false failed"):
        hash_tables.enter_pairs.built(TARGETS["x86_64"])
    assert not list((tmp_path / "kernels").glob("*.so"))
