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
from runtime.fleet.message_versions import release

PYTHON = "3.13"
"""The functions' Python by default."""

KERNELS = "kernels"
"""The folder of the bundle with the library's loops, compiled for its architecture."""

_ROOT = "/var/task"  # where Lambda unpacks a bundle: the paths in tracebacks
_PYTHON = re.compile(r"3\.\d{1,2}")


@dataclass(frozen=True)
class Bundle:
    """A written bundle: its zip, the zip's bytes, and its unzipped parts, largest first.

    ``bytecode``: whether its modules are compiled, which needs a Python of its version.
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
    """Build the bundle ``out`` reproducibly. ``step`` is called with each phase.

    DataflowError if wheels or kernels are unavailable here, or the bundle is too large.
    """
    kernels_for = target(architecture)
    if not _PYTHON.fullmatch(python):
        raise BundleError(f"{python!r} is not a Python version of Lambda: write for example {PYTHON}")
    if not out.parent.is_dir():
        raise BundleError(f"there is no folder {out.parent} for {out.name}: create it first")
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
            # Of third-party packages only bytecode: their source is not needed in logs.
            for source in content.rglob("*.py"):
                source.unlink()
        home = Path(contents.__file__).parents[2]
        for name, path in contents.our_files(home):
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, content / name)
        # So that functions know which release they are; importlib.metadata finds it.
        about = content / f"antfold-{release()}.dist-info" / "METADATA"
        about.parent.mkdir()
        about.write_text(f"Metadata-Version: 2.1\nName: antfold\nVersion: {release()}\n", encoding="utf-8")
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
    """Compile all modules of a folder; ``beside``: next to the source, so that bytecode works without it.

    A bundle is read-only: without bytecode every cold start compiles its imports. The bytecode checks neither the
    time of its source, which is the same for all files, nor its content, which never changes.
    """
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", "-s", str(content), "-p", _ROOT]
    command = [interpreter, "-I", "-m", "compileall", *options, *(["-b"] if beside else []), str(content)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"{interpreter} cannot compile the bundle's modules: {done.stdout.strip()[-300:]}")


def _interpreter(python: str) -> str | None:
    """A Python of this version on this machine, or None."""
    if python == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        return None
    # It may be a shim for a version that is not installed.
    ask = [found, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return found if done.stdout.strip() == python else None
