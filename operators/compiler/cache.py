"""Machine code kept on disk: made once, found by every later process by what it was made of.

It lives in a folder that belongs to the user and is closed to others. What a store holds is checked before it gets
there (``runtime.query.kernel_store``); every file here has a checksum, and one that is damaged is made anew
(``sealed``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from operators import files
from operators.compiler import background, reach, sealed, shared_object
from operators.compiler.targets import Target, TargetUnavailable, compiler, host, worker
from operators.errors import DataflowError

CACHE_VARIABLE = "ANTFOLD_CACHE_DIR"

MODE_VARIABLE = "ANTFOLD_KERNELS"
"""``native`` (shared objects, wherever there is a C compiler to link with), ``numba`` (Numba's own cache) or ``ready``
(shared objects that others made for workers: nothing is ever compiled)."""

PATH_VARIABLE = "ANTFOLD_KERNEL_PATH"
"""Folders of ready kernels, as in ``PATH``; they are only read."""

MANIFEST = "kernels.json"
"""What a folder of ready kernels says of itself: ``{"target": NAME, "reached": {MODULE:NAME: SHA256}}``."""

OPERATORS = Path(__file__).parents[1]
ROOT = OPERATORS.parent


class KernelsUnavailable(DataflowError):
    """This process cannot run compiled kernels: for its environment, not for what it was to compute."""


class KernelMissing(KernelsUnavailable):
    """A kernel that a worker was neither built with nor given."""


class CacheUnusable(KernelsUnavailable):
    """There is no folder that compiled kernels can be kept in and loaded from safely."""


def cache_folder() -> Path:
    """The user's folder for compiled kernels: ``$ANTFOLD_CACHE_DIR``, else the platform's cache folder.

    Created with mode 0700. Raises CacheUnusable if it belongs to somebody else or others may write to it.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        base = Path(given)
    elif sys.platform == "darwin":
        base = _home() / "Library" / "Caches" / "antfold"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "antfold"
    folder = base / "kernels"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found, above = folder.stat(), base.stat()
    except OSError as error:
        raise CacheUnusable(
            f"the kernel cache {folder} cannot be used ({error.strerror}); set {CACHE_VARIABLE}"
        ) from None
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnusable(
            f"the kernel cache {folder} can be written by other users; close it (chmod 700) or set {CACHE_VARIABLE}"
        )
    # The owner of the folder above, or another user with write access, could replace this folder; not so in /tmp.
    open_to_all = above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX
    if above.st_uid not in (os.geteuid(), 0) or open_to_all:
        raise CacheUnusable(
            f"the kernel cache {folder} can be replaced by other users, for {base} is theirs or open to them; close "
            f"it (chmod 700) or set {CACHE_VARIABLE} to a folder of yours"
        )
    return folder


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise CacheUnusable(f"there is no home folder to keep compiled kernels in; set {CACHE_VARIABLE}") from None


def mode() -> str:
    """How compiled kernels are obtained: ``native``, ``numba`` or ``ready``; DataflowError for any other setting."""
    chosen = os.environ.get(MODE_VARIABLE) or "native"
    if chosen not in ("native", "numba", "ready"):
        raise DataflowError(f"{MODE_VARIABLE} is {chosen!r}; it is 'native' (the default), 'numba' or 'ready'")
    return chosen


def _read_only() -> tuple[Path, ...]:
    """The folders of kernels that came with the program."""
    return tuple(Path(p) for p in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if p)


@lru_cache(maxsize=4)
def _manifests(folders: tuple[Path, ...]) -> dict[str, str]:
    """The digests in the manifests of these folders; the first folder's win."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            found = {**json.loads(files.read_bytes(folder / MANIFEST))["reached"], **found}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise KernelMissing(f"{folder / MANIFEST} cannot be read ({error}): deploy this worker again") from None
    return found


def reached(folder: Path) -> dict[str, str]:
    """The digests of the code that functions below ``folder`` reach, by ``module:name`` (``reach.digests``), and under
    ``""`` that of the compiler itself. ``folder`` lies in one of our packages.

    A worker takes them from the manifest of its ready kernels. Elsewhere they are computed once for each state of the
    sources, and then read from the cache.
    """
    return _reached(folder)


@lru_cache(maxsize=16)
def _reached(folder: Path) -> dict[str, str]:
    state = hashlib.sha256(f"{_hashed(OPERATORS)} {_hashed(folder)} {folder.relative_to(ROOT)}".encode()).hexdigest()
    path = cache_folder() / f"reach-{state[:40]}.json"
    with contextlib.suppress(OSError):
        return dict(json.loads(sealed.read(path)))
    found = {"": reach.digest_of(_COMPILER, ROOT), **reach.digests([folder], ROOT)}
    with contextlib.suppress(OSError):
        sealed.write(path, json.dumps(found).encode())
    return found


_COMPILER = (
    ("operators.compiler.object_code", "emitted"),
    ("operators.compiler.link", "link"),
    ("operators.compiler.intrinsics", ""),
    ("operators.compiler.loops", "Inlined"),
    ("operators.compiler.marks", ""),
)
"""What turns Python into a shared object, by module and name."""


@lru_cache(maxsize=16)
def _hashed(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes()
        # With names and lengths: what moves from one file to the next makes a difference.
        digest.update(f"{path.relative_to(folder).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _reach_of(module: str, name: str, folder: Path) -> str:
    """The digest of what a function of ours reaches."""
    key = f"{module}:{name}"
    if mode() == "ready" and (ready := _manifests(_read_only()).get(key)) is not None:
        return ready
    return reached(folder)[key]


def _compiler_digest() -> str:
    ready = _manifests(_read_only()).get("") if mode() == "ready" else None
    return ready or reached(OPERATORS)[""]


_IMPORT = re.compile(r"^from (operators[\w.]*) import (.+)$", re.MULTILINE)


def digest_of(source: str) -> str:
    """SHA-256 of what a generated module computes: its source, what its functions reach in ``operators``, and how that
    is compiled. Neither the machine nor the compiler's version makes a difference."""
    digest = hashlib.sha256(f"{source}\0{_compiler_digest()}".encode())
    for module, names in _IMPORT.findall(source):
        for name in names.split(", "):
            # A registered aggregate is named by a digest of its own, in the source.
            if module != "operators.registry":
                digest.update(_reach_of(module, name.partition(" as ")[0], OPERATORS).encode())
    return digest.hexdigest()


def loop_digest(function: Callable[..., Any], signature: str) -> str:
    """SHA-256 of what a loop computes: its type and the code that it reaches, and how that is compiled."""
    path = Path(function.__code__.co_filename)
    name = f"{function.__module__}.{function.__qualname__} {signature}"
    if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in reach.OURS:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        folder = OPERATORS if path.is_relative_to(OPERATORS) else path.parent
        parts = [name, _compiler_digest(), _reach_of(module, function.__name__, folder)]
    else:
        parts = [name, _hashed(OPERATORS), _hashed(path.parent)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def file_name(name: str, digest: str, target: Target) -> str:
    """The name of a kernel's file."""
    return f"{name}-{digest[:40]}-{target.key}.so"


def is_kept(name: str, digest: str) -> bool:
    """Whether ``compiled`` would find this shared object on disk."""
    if mode() == "ready":
        return ready_file(name, digest) is not None
    return mode() == "native" and sealed.is_whole(cache_folder() / file_name(name, digest, host()))


def ready_file(name: str, digest: str) -> Path | None:
    """The file of a kernel that this worker need not be given; None if there is none, or only damaged ones."""
    file = file_name(name, digest, worker())
    return next((p for folder in (*_read_only(), cache_folder()) if sealed.is_whole(p := folder / file)), None)


def built(name: str, digest: str, signature: str, make: Callable[[], Callable[..., Any]], target: Target) -> Path:
    """The shared object for ``target`` of the loop that ``make`` gives, in the user's cache: found there, or made now.

    TargetUnavailable where it cannot be made, KernelMissing where nothing is to be compiled.
    """
    if mode() == "ready":
        raise _missing(name, digest, target)
    # Their names do not tell the compiler: a later one makes them anew.
    path = cache_folder() / f"made-{compiler()}" / file_name(name, digest, target)
    if not sealed.is_whole(path):
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            from operators.compiler.build import build

            build(make(), signature, path, target)
        except OSError as error:
            raise TargetUnavailable(f"the kernel {path.name} cannot be linked: {error}") from None
    return path


def _missing(name: str, digest: str, target: Target) -> KernelMissing:
    return KernelMissing(
        f"there is no undamaged kernel {name}-{digest[:40]} for {target.name} in {PATH_VARIABLE} or the cache, and "
        f"{MODE_VARIABLE}=ready compiles none: deploy this worker again with the version that asks it"
    )


def compiled(
    name: str, digest: str, signature: str, make: Callable[[], Callable[..., Any]], keep: bool = True
) -> Callable[..., Any]:
    """The loop that ``make`` gives as Python, compiled for this machine: from disk, or now.

    Without ``keep`` Numba keeps none: its cache names the module of every function that it holds, and what a person's
    own file defines is in none. A shared object names nothing. KernelMissing where nothing is to be compiled.
    """
    if mode() == "ready":
        ready = ready_file(name, digest)
        if ready is None:
            raise _missing(name, digest, worker())
        try:
            return shared_object.Native(ready, signature)
        except OSError as error:
            raise KernelMissing(f"the kernel {ready} does not load ({error}): make it anew") from None
    if mode() == "native":
        path = cache_folder() / file_name(name, digest, host())
        with contextlib.suppress(OSError):
            # What is damaged or does not load (copied from another machine, say) is made anew.
            return shared_object.Native(path, signature)

        from operators.compiler.link import has_linker

        if has_linker():
            _say_that_it_compiles()
            background.start()
            with contextlib.suppress(OSError), background.building(path):
                with contextlib.suppress(OSError):
                    return shared_object.Native(path, signature)  # made meanwhile by another process
                from operators.compiler.build import build

                build(make(), signature, path, host())
                return shared_object.Native(path, signature)
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    from operators.compiler.numba_cache import jitted

    # Numba looks only at a function's own file to tell whether it changed, not at what is inlined into it.
    folder = cache_folder() / f"numba-{digest[:16]}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    keep = keep and folder.is_dir() and os.access(folder, os.W_OK)
    with global_compiler_lock:  # one thread at a time sets the folder, and sets it back
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return jitted(make(), signature, keep)
        finally:
            numba.config.CACHE_DIR = before


_said = False


def _say_that_it_compiles() -> None:
    """Once, to a person at a terminal."""
    global _said
    if not _said and sys.stderr.isatty():
        sys.stderr.write("compiling kernels (once per machine)\n")
    _said = True


def caller(loop: Callable[..., Any]) -> Callable[..., Any]:
    """A function to call a compiled loop with again and again, from one thread."""
    return loop.caller() if isinstance(loop, shared_object.Native) else loop
