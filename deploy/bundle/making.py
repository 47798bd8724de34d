"""Builds the zip that all functions share from the installed packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.bundle import contents, wheels
from deploy.bundle.archive import BundleError, Part, check_size, files_of, parts_of, write
from operators.compiler import prebuild
from operators.compiler.targets import target

PYTHON = "3.13"
"""The functions' Python by default."""

KERNELS = "kernels"
"""The folder of the bundle with the library's loops, compiled for its architecture."""

_ROOT = "/var/task"  # where Lambda puts a bundle: tracebacks name their files there
_PYTHON = re.compile(r"3\.\d{1,2}")


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was written: its zip, that file's bytes, and its parts unzipped, the largest first.

    ``bytecode``: whether its modules are compiled, which takes a Python of its version.
    """

    path: Path
    bytes: int
    parts: tuple[Part, ...]
    bytecode: bool

    @property
    def unzipped(self) -> int:
        """Bytes of all files."""
        return sum(part.bytes for part in self.parts)


def build(
    out: Path, architecture: str = "x86_64", python: str = PYTHON, step: Callable[[str], None] = lambda _: None
) -> Bundle:
    """Build the bundle ``out``; the same bytes each time. ``step`` is called with what is begun.

    DataflowError if its wheels or kernels cannot be had here, or it gets too large.
    """
    kernels_for = target(architecture)
    if not _PYTHON.fullmatch(python):
        raise BundleError(f"{python!r} is no version of Python that Lambda has: write for example {PYTHON}")
    if not out.parent.is_dir():
        raise BundleError(f"there is no folder {out.parent} to write {out.name} to: make it first")
    with tempfile.TemporaryDirectory(prefix="antfold-bundle-") as folder:
        work, content = Path(folder) / "wheels", Path(folder) / "content"
        work.mkdir()
        content.mkdir()
        step("wheels")
        wheels.unpack(architecture, python, work, content)
        step("packages")
        interpreter = _interpreter(python)
        if interpreter is not None:
            _compile(content, interpreter, beside=True)
            # Of what is not ours the bytecode alone: nobody reads numpy's source in a function's log.
            for source in content.rglob("*.py"):
                source.unlink()
        home = Path(contents.__file__).parents[2]
        for name, path in contents.our_files(home):
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, content / name)
        if interpreter is not None:
            _compile(content, interpreter)
        step("kernels")
        (content / KERNELS).mkdir()
        prebuild(content / KERNELS, kernels_for)
        step("zip")
        files = files_of(content)
        parts = parts_of({name: path.stat().st_size for name, path in files.items()})
        check_size(parts)
        size = write(files, out)
    return Bundle(out, size, tuple(parts), interpreter is not None)


def _compile(content: Path, interpreter: str, beside: bool = False) -> None:
    """Compile all modules of a folder; ``beside`` their source, where bytecode is found without it.

    A bundle is read-only: without bytecode every cold start compiles what it imports. The bytecode does not look at
    its source's time, which is the same for all, nor at its content, which never changes.
    """
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", "-s", str(content), "-p", _ROOT]
    command = [interpreter, "-I", "-m", "compileall", *options, *(["-b"] if beside else []), str(content)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"{interpreter} does not compile the bundle's modules: {done.stdout.strip()[-300:]}")


def _interpreter(python: str) -> str | None:
    """A Python of this version on this machine, if there is one."""
    if python == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        return None
    # It may be a stand-in for one that is not there.
    ask = [found, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return found if done.stdout.strip() == python else None
