"""Library loops compiled by a process beside this one, as soon as one is missing: the next are needed soon.

A machine's first ingest compiles its own loops and leaves a core idle; meanwhile those of queries are compiled, which
take longest. ``building`` keeps two processes from compiling the same kernel: the second waits, and finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

VARIABLE = "ANTFOLD_BACKGROUND"
"""``0``: nothing is compiled beside a process."""

_PATIENCE = 60.0
"""Seconds to wait for a process that compiles the same kernel; one that was stopped (Ctrl-Z) would never finish."""

_CODE = "import sys; from operators.compiler.library import compile_missing; compile_missing(sys.argv[1:])"

_running: list[subprocess.Popen[bytes]] = []


def start() -> None:
    """Compile all library loops that are missing in a process of its own: slow ones, those of modules that this process
    has imported, others. At most once per process, and only where there is a core to spare."""
    if _running or os.environ.get(VARIABLE) == "0" or (os.cpu_count() or 1) < 2:
        return
    # A worker of Lambda compiles nothing: it starts faster without.
    import subprocess

    ours = [name for name in sys.modules if name.startswith(("operators.", "runtime."))]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    with contextlib.suppress(OSError):
        _running.append(
            subprocess.Popen(
                [sys.executable, "-P", "-c", _CODE, *ours],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, VARIABLE: "0", "PYTHONPATH": path}, start_new_session=True,
            )
        )  # fmt: skip


def is_being_built(path: Path) -> bool:
    """Whether a process builds the kernel ``path``, or began to and was killed."""
    return _lock_of(path).exists()


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


@contextlib.contextmanager
def building(path: Path, meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Within, no other process builds the kernel ``path``; one that does is waited for first, and ``meanwhile`` called.

    Where the file system has no locks, or the other process takes more than a minute, both build it: the second
    replaces the first's file.
    """
    lock = _lock_of(path)
    file = _locked(lock, meanwhile)
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError):
                lock.unlink()
            file.close()


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(lock: Path, meanwhile: Callable[[], object]) -> IO[bytes] | None:
    """The file ``lock``, locked; None where that is impossible, or another process holds it for too long."""
    given_up = time.monotonic() + _PATIENCE
    try:
        while True:
            file = open(lock, "wb")  # noqa: SIM115 (closing it ends the lock)
            try:
                is_held = False
                while not _lock(file):
                    if not is_held:
                        is_held = True
                        meanwhile()
                    if time.monotonic() > given_up:
                        file.close()
                        return None
                    time.sleep(0.02)
                # A process that waited holds a file that is deleted by now: others lock a new one.
                if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                    return file
            except FileNotFoundError:
                pass
            except BaseException:
                file.close()
                raise
            file.close()
    except OSError:
        return None
