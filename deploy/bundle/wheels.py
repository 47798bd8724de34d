"""Downloads wheels for the functions' platform with pip, in the versions installed here."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from deploy.bundle.archive import BundleError, NoWheels
from deploy.bundle.contents import DEBUG_INFORMATION, WHEELS, is_needed
from deploy.bundle.elf import without_debug_information

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

# Amazon Linux 2023, which Lambda runs Python 3.12 and later on, has glibc 2.34.
_OLDEST, _NEWEST = 17, 34
_SECONDS = 600


def unpack(architecture: str, python: str, work: Path, into: Path) -> None:
    """Download the wheels to ``work`` and extract the needed files to ``into``.

    BundleError if pip is missing, there is no such wheel, or the package index is unreachable.
    """
    for wheel in _fetched(architecture, python, work):
        with zipfile.ZipFile(wheel) as archive:
            for name in filter(is_needed, archive.namelist()):
                path = Path(archive.extract(name, into))
                if DEBUG_INFORMATION.search(name):
                    path.write_bytes(without_debug_information(path.read_bytes()))


def _fetched(architecture: str, python: str, work: Path) -> Iterator[Path]:
    if find_spec("pip") is None:
        raise BundleError("pip, which downloads the functions' wheels, is not installed: python -m ensurepip")
    wanted = [f"{name}=={version(name)}" for name in WHEELS]
    machine = _MACHINES[architecture]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST, _OLDEST - 1, -1)]
    platforms = [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{machine}")]
    options = ["--only-binary=:all:", "--no-deps", "--quiet", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, *platforms]
    command += ["--implementation=cp", f"--python-version={python}", f"--dest={work}", *wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BundleError(f"pip did not download the wheels within {_SECONDS // 60} minutes: try again") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = (errors or done.stderr.splitlines() or ["no reason was given"])[-1].removeprefix("ERROR: ")
        raise NoWheels(
            f"pip finds no wheels of {', '.join(wanted)} for Python {python} on {architecture} ({reason}): check the "
            "network, pip's package index, and whether these versions support that Python"
        )
    yield from sorted(work.glob("*.whl"))
