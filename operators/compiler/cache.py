"""Machine code kept on disk: made once, found by every later process by what it was made of.

It lives in a folder that belongs to the user and is closed to others, and is never read from a store.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import stat
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from operators.compiler import native
from operators.errors import DataflowError

CACHE_VARIABLE = "ANTFOLD_CACHE_DIR"

MODE_VARIABLE = "ANTFOLD_KERNELS"
"""``native`` (shared objects, wherever there is a C compiler to link with) or ``numba`` (Numba's own cache)."""


def cache_folder() -> Path:
    """The user's folder for compiled kernels: ``$ANTFOLD_CACHE_DIR``, else the platform's cache folder.

    Created with mode 0700. Raises DataflowError if it belongs to somebody else or others may write to it.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        base = Path(given)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "antfold"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antfold"
    folder = base / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise DataflowError(
            f"the kernel cache {folder} cannot be used ({error.strerror}); set {CACHE_VARIABLE}"
        ) from None
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DataflowError(
            f"the kernel cache {folder} can be written by other users; close it (chmod 700) or set {CACHE_VARIABLE}"
        )
    return folder


def mode() -> str:
    """How loops are kept: ``native`` or ``numba``; DataflowError for anything else in the environment."""
    chosen = os.environ.get(MODE_VARIABLE) or "native"
    if chosen not in ("native", "numba"):
        raise DataflowError(f"{MODE_VARIABLE} is {chosen!r}; it is 'native' (the default) or 'numba'")
    return chosen


@lru_cache(maxsize=1)
def _machine() -> str:
    """What this machine's code may use, as far as it can be told without a compiler."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        # The first processor's lines; all are alike.
        parts += [line for line in file.read().split("\n\n")[0].splitlines() if line.startswith(("flags", "Features"))]
    return "\n".join(parts)


@lru_cache(maxsize=1)
def _compiler() -> bytes:
    """Numba's version, without importing it."""
    spec = importlib.util.find_spec("numba")
    if spec is None or spec.origin is None:
        return b""
    return Path(spec.origin).with_name("_version.py").read_bytes()


@lru_cache(maxsize=16)
def _sources(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_of(source: str, folder: Path | None = None) -> str:
    """SHA-256 of all that machine code is made of: its source, what that inlines (``operators`` and the modules in
    ``folder``), the compiler and the machine."""
    parts = [_sources(Path(__file__).parents[1]), "" if folder is None else _sources(folder)]
    text = "\0".join([source, *parts, _machine(), f"{sys.version_info[:2]}"])
    return hashlib.sha256(text.encode() + _compiler()).hexdigest()


def is_kept(name: str, digest: str) -> bool:
    """Whether ``compiled`` would find this shared object on disk."""
    return mode() == "native" and _object(name, digest).exists()


def _object(name: str, digest: str) -> Path:
    return cache_folder() / f"{name}-{digest[:40]}.so"


def compiled(
    name: str, digest: str, signature: str, make: Callable[[], Callable[..., Any]], keep: bool = True
) -> Callable[..., Any]:
    """The loop that ``make`` gives as Python, compiled for this machine: from disk, or now.

    Without ``keep`` Numba keeps none: its cache names the module of every function that it holds, and what a person's
    own file defines is in none. A shared object names nothing.
    """
    if mode() == "native":
        path = _object(name, digest)
        with contextlib.suppress(OSError):
            # What does not load (copied from another machine, say) is made anew.
            return native.Native(path, signature)
        if native.has_linker():
            with contextlib.suppress(OSError):
                native.build(make(), signature, path)
                return native.Native(path, signature)
    import numba

    # Numba looks only at a function's own file to tell whether it changed, not at what is inlined into it.
    folder = cache_folder() / f"numba-{_sources(Path(__file__).parents[1])[:16]}"
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        jit = numba.njit(signature, nogil=True, cache=keep, error_model="numpy", _nrt=False)
        found: Callable[..., Any] = jit(make())
    finally:
        numba.config.CACHE_DIR = before
    return found


def caller(loop: Callable[..., Any]) -> Callable[..., Any]:
    """A function to call a compiled loop with again and again, from one thread."""
    return loop.caller() if isinstance(loop, native.Native) else loop
