"""The machines that kernels are compiled for: this one, and those that workers run on.

A kernel is compiled from the same intermediate code for every target, and no target may fuse a product and a sum into
one rounding: the results have the same bits everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from operators.errors import DataflowError
from operators.nearest import meant

GLIBC = "2.34"
"""The C library of workers (Amazon Linux 2023); kernels need nothing newer."""


class TargetUnavailable(DataflowError):
    """Kernels cannot be built for this target on this machine."""


@dataclass(frozen=True)
class Target:
    """A kind of machine: ``key`` is part of its kernels' file names; ``cpu`` and ``features`` are LLVM's names.

    Without a ``triple`` it is the compiling machine, with all features of its processor.
    """

    name: str
    key: str
    triple: str = ""
    cpu: str = ""
    features: str = ""

    @property
    def machine(self) -> str:
        """The architecture, as system tools name it."""
        return self.triple.partition("-")[0] if self.triple else platform.machine()

    @property
    def architecture(self) -> str:
        """The architecture, as Lambda names it where it has it."""
        return _ARCHITECTURES.get(self.machine, self.machine)


# Every x86_64 machine of Lambda has AVX2 (Lambda's documentation, "Using AVX2 vectorization"), and the other features
# of this level. Its arm64 machines are Graviton2 or later: Neoverse N1 cores.
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "x86_64": Target("x86_64", "x86_64", "x86_64-unknown-linux-gnu", "x86-64-v3"),
        "arm64": Target("arm64", "arm64", "aarch64-unknown-linux-gnu", "neoverse-n1"),
    }
)
"""The targets of workers, by Lambda's names of architectures."""

_ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def target(name: str) -> Target:
    """The workers' target of this name; DataflowError if there is none."""
    found = TARGETS.get(name)
    if found is None:
        raise DataflowError(
            f"there is no target {name!r} for kernels; {meant(name, TARGETS, 'there')} are {', '.join(TARGETS)}"
        )
    return found


def worker() -> Target:
    """The target whose kernels this machine runs as a worker."""
    return target(_ARCHITECTURES.get(platform.machine(), platform.machine()))


@lru_cache(maxsize=1)
def host() -> Target:
    """This machine. Its key depends on the machine and the compiler, so nothing stale is ever loaded."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        # The first processor's lines; all are alike.
        parts += [line for line in file.read().split("\n\n")[0].splitlines() if line.startswith(("flags", "Features"))]
    return Target("host", hashlib.sha256("\n".join([*parts, compiler()]).encode()).hexdigest()[:16])


def compiler() -> str:
    """A digest of the versions of Numba and LLVM, without importing them, and of Numba's environment variables."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {os.environ.get('NUMBA_BOUNDSCHECK', '')}".encode())
    for package in ("numba", "llvmlite"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            digest.update(Path(spec.origin).with_name("_version.py").read_bytes())
    return digest.hexdigest()[:16]
