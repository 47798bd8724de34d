"""Links object code into a shared object with a checksum, written atomically."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from operators.compiler import sealed
from operators.compiler.targets import GLIBC, Target, TargetUnavailable

_SECONDS = 120


def has_linker() -> bool:
    """Whether this machine has a C compiler to link for itself."""
    return _own_linker() is not None


def linker(target: Target) -> list[str]:
    """The command that links for ``target``; TargetUnavailable says how to get one."""
    if not target.triple:
        own = _own_linker()
        if own is None:
            raise TargetUnavailable("there is no C compiler (cc, gcc or clang) to link kernels with: install one")
        return [own]
    # The same bytes for the same kernel: no build id, no symbol names, nothing that runs on loading.
    options = ["-nostartfiles", "-Wl,-z,defs", "-Wl,-s", "-Wl,--build-id=none"]
    same = platform.system() == "Linux" and platform.machine() == target.machine
    if found := (same and _own_linker()) or shutil.which(f"{target.machine}-linux-gnu-gcc"):
        return [found, *options, "-Wl,-z,noseparate-code"]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{target.machine}-linux-gnu.{GLIBC}", *options]
    raise TargetUnavailable(
        f"kernels for {target.name} cannot be linked on this machine ({platform.system()} on {platform.machine()}): "
        f"pip install 'antfold[cross]', or install {target.machine}-linux-gnu-gcc"
    )


def _own_linker() -> str | None:
    return next(
        (p for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (p := shutil.which(name))), None
    )


def link(data: bytes, path: Path, target: Target) -> None:
    """Link the object code ``data`` into the shared object ``path``. OSError if the linker fails."""
    command = linker(target)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as folder:
        work = Path(folder)
        (work / "loop.o").write_bytes(data)
        command += ["-shared", "-fPIC", "-o", "loop.so", "loop.o", "-lm"]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{command[0]} took longer than {_SECONDS} seconds") from error
        if done.returncode:
            raise OSError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
        sealed.write(path, (work / "loop.so").read_bytes())
