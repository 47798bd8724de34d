"""Library loops compiled by a process beside this one, as soon as the first is missing: the next are needed soon.

A machine's first ingest compiles its own loops and leaves a core idle; meanwhile those of queries are compiled, which
take longest. ``building`` keeps two processes from compiling the same kernel: the second waits, and finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "ANTFOLD_BACKGROUND"
"""``0``: nothing is compiled beside a process."""

_CODE = "from operators.compiler.library import compile_missing; compile_missing()"

_running: list[subprocess.Popen[bytes]] = []


def start() -> None:
    """Compile all library loops that are missing in a process of its own; at most once per process, and only where
    there is a core to spare."""
    if _running or os.environ.get(VARIABLE) == "0" or (os.cpu_count() or 1) < 2:
        return
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    with contextlib.suppress(OSError):
        _running.append(
            subprocess.Popen(
                [sys.executable, "-c", _CODE],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, VARIABLE: "0", "PYTHONPATH": path}, start_new_session=True,
            )
        )  # fmt: skip


@contextlib.contextmanager
def building(path: Path) -> Iterator[None]:
    """Within, no other process builds the kernel ``path``; one that did is waited for. OSError where that cannot be."""
    lock = path.with_name(f"{path.name}.lock")
    with open(lock, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
