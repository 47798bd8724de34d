"""The cache of machine code on disk: built once, found by later processes by a digest of its source.

It is in a folder that belongs to the user and is closed to others. Kernels from a store are verified before they get
there (``runtime.query.kernel_store``); every file has a checksum, and a damaged one is rebuilt (``sealed``).
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
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from operators import files, forking
from operators.compiler import background, prepared, reach, sealed, shared_object
from operators.compiler.targets import Target, TargetUnavailable, compiler, host, worker
from operators.errors import DataflowError

CACHE_VARIABLE = "ANTFOLD_CACHE_DIR"

MODE_VARIABLE = "ANTFOLD_KERNELS"
"""``native`` (shared objects, if there is a C compiler to link with), ``numba`` (Numba's own cache) or ``ready``
(prebuilt shared objects for workers: nothing is ever compiled)."""

PATH_VARIABLE = "ANTFOLD_KERNEL_PATH"
"""Folders of prebuilt kernels, as in ``PATH``; they are only read."""

MANIFEST = "kernels.json"
"""The manifest of a folder of prebuilt kernels: ``{"target": NAME, "reached": {MODULE:NAME: SHA256}}``."""

OPERATORS = Path(__file__).parents[1]
ROOT = OPERATORS.parent


class KernelsUnavailable(DataflowError):
    """This process cannot run compiled kernels, because of its environment, not because of the query."""


class KernelMissing(KernelsUnavailable):
    """A kernel that a worker was neither built with nor sent."""


class CacheUnusable(KernelsUnavailable):
    """There is no folder in which compiled kernels can be stored and loaded safely."""


def cache_folder() -> Path:
    """The user's folder for compiled kernels: ``$ANTFOLD_CACHE_DIR``, else the platform's cache folder.

    Created with mode 0700. Raises CacheUnusable if it belongs to another user or others may write to it.
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
            f"the kernel cache {folder} can be replaced by other users, who own {base} or may write to it; close "
            f"it (chmod 700) or set {CACHE_VARIABLE} to a folder of yours"
        )
    return folder


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise CacheUnusable(f"there is no home folder for compiled kernels; set {CACHE_VARIABLE}") from None


def mode() -> str:
    """How compiled kernels are obtained: ``native``, ``numba`` or ``ready``; DataflowError for any other setting."""
    chosen = os.environ.get(MODE_VARIABLE) or "native"
    if chosen not in ("native", "numba", "ready"):
        raise DataflowError(f"{MODE_VARIABLE} is {chosen!r}; it is 'native' (the default), 'numba' or 'ready'")
    return chosen


def _read_only() -> tuple[Path, ...]:
    """The folders of prebuilt kernels."""
    return tuple(Path(p) for p in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if p)


@lru_cache(maxsize=4)
def _manifests(folders: tuple[Path, ...]) -> dict[str, str]:
    """The digests in the manifests of these folders; earlier folders win."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            found = {**json.loads(files.read_bytes(folder / MANIFEST))["reached"], **found}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise KernelMissing(f"{folder / MANIFEST} cannot be read ({error}): redeploy this worker") from None
    return found


def reached(folder: Path) -> dict[str, str]:
    """The digests of the code reached by functions below ``folder``, by ``module:name`` (``reach.digests``), and under
    ``""`` that of the compiler itself. ``folder`` is in one of this program's packages.

    A worker reads them from the manifest of its prebuilt kernels. Elsewhere they are computed once per state of the
    sources, then read from the cache.
    """
    return _reached(folder)


@lru_cache(maxsize=16)
def _reached(folder: Path) -> dict[str, str]:
    state = hashlib.sha256(f"{_hashed(OPERATORS)} {_hashed(folder)} {folder.relative_to(ROOT)}".encode()).hexdigest()
    path = cache_folder() / f"reach-{state[:40]}.json"
    with contextlib.suppress(OSError):
        return dict(json.loads(sealed.read(path)))
    _compile_beside()  # these sources are new here, and so are most loops
    found = {"": reach.digest_of(_COMPILER, ROOT), **reach.digests([folder], ROOT)}
    with contextlib.suppress(OSError):
        sealed.write(path, json.dumps(found).encode())
    return found


_COMPILER = (
    ("operators.compiler.object_code", "intermediate"),
    ("operators.compiler.object_code", "emitted"),
    ("operators.compiler.object_code", "optimised"),
    ("operators.compiler.object_code", "emitted_as_it_is"),
    ("operators.compiler.link", "link"),
    ("operators.compiler.intrinsics", ""),
    ("operators.compiler.loops", "Inlined"),
    ("operators.compiler.marks", ""),
)
"""The functions that turn Python into a shared object, by module and name."""


@lru_cache(maxsize=16)
def _hashed(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes()
        # With names and lengths, so that moving text from one file to the next changes the hash.
        digest.update(f"{path.relative_to(folder).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _reach_of(module: str, name: str, folder: Path) -> str:
    """The digest of the code that a function of this program reaches."""
    key = f"{module}:{name}"
    if mode() == "ready" and (ready := _manifests(_read_only()).get(key)) is not None:
        return ready
    return reached(folder)[key]


def _compiler_digest() -> str:
    ready = _manifests(_read_only()).get("") if mode() == "ready" else None
    return ready or reached(OPERATORS)[""]


_IMPORT = re.compile(r"^from (operators[\w.]*) import (.+)$", re.MULTILINE)


def digest_of(source: str) -> str:
    """SHA-256 of what a generated module computes: its source, the code that it reaches in ``operators``, and how that
    is compiled. It depends neither on the machine nor on the compiler's version."""
    digest = hashlib.sha256(f"{source}\0{_compiler_digest()}".encode())
    for module, names in _IMPORT.findall(source):
        for name in names.split(", "):
            # The source names a registered aggregate by its own digest.
            if module != "operators.registry":
                digest.update(_reach_of(module, name.partition(" as ")[0], OPERATORS).encode())
    return digest.hexdigest()


def loop_digest(function: Callable[..., Any], signature: str) -> str:
    """SHA-256 of what a loop computes: its type, the code that it reaches, and how that is compiled."""
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
    """The file name of a kernel."""
    return f"{name}-{digest[:40]}-{target.key}.so"


def is_kept(name: str, digest: str) -> bool:
    """Whether ``compiled`` would find this shared object on disk."""
    if mode() == "ready":
        return ready_file(name, digest) is not None
    return mode() == "native" and sealed.is_whole(cache_folder() / file_name(name, digest, host()))


def ready_file(name: str, digest: str) -> Path | None:
    """The prebuilt file of a kernel; None if there is none, or only a damaged one."""
    file = file_name(name, digest, worker())
    return next((p for folder in (*_read_only(), cache_folder()) if sealed.is_whole(p := folder / file)), None)


@forking.unforked()
def built(name: str, digest: str, signature: str, make: Callable[[], Callable[..., Any]], target: Target) -> Path:
    """The shared object for ``target`` of the loop that ``make`` returns: found in the user's cache, or built now.

    TargetUnavailable if it cannot be built, KernelMissing if nothing may be compiled.
    """
    if mode() == "ready":
        raise _missing(name, digest, target)
    # The file names do not include the compiler: a later one rebuilds them.
    path = cache_folder() / f"made-{compiler()}" / file_name(name, digest, target)
    if not sealed.is_whole(path):
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            from operators.compiler.build import build

            build(make(), signature, path, target, prepared.code_of(name, digest, target))
        except OSError as error:
            raise TargetUnavailable(f"the kernel {path.name} cannot be linked: {error}") from None
    return path


@dataclass(frozen=True)
class SlowLoop:
    """A loop of the library that takes more than a second to compile."""

    name: str
    plain: Callable[..., Any]
    signature: str

    @cached_property
    def digest(self) -> str:
        """The digest of what it computes."""
        return loop_digest(self.plain, self.signature)

    @property
    def path(self) -> Path:
        """Its file in the cache."""
        return cache_folder() / file_name(self.name, self.digest, host())


SLOW: list[SlowLoop] = []
"""The slow loops that the modules imported so far declare."""


def _slow_one() -> tuple[SlowLoop, Path] | None:
    """A slow loop that is not in the cache and that no process compiles, and its file."""
    places = ((loop, loop.path) for loop in SLOW)
    return next((p for p in places if not sealed.is_whole(p[1]) and not background.is_being_built(p[1])), None)


def build_slow_one() -> None:
    """Compile a slow loop that is missing and that no other process compiles, if there is one."""
    found = _slow_one()
    if found is not None:
        from operators.compiler.build import build

        loop, path = found
        with contextlib.suppress(OSError), background.building(path):
            if not sealed.is_whole(path):
                build(loop.plain, loop.signature, path, host(), prepared.code_of(loop.name, loop.digest, host()))


def _missing(name: str, digest: str, target: Target) -> KernelMissing:
    return KernelMissing(
        f"there is no undamaged kernel {name}-{digest[:40]} for {target.name} in {PATH_VARIABLE} or the cache, and "
        f"{MODE_VARIABLE}=ready compiles none: redeploy this worker with the version of the client"
    )


@forking.unforked()  # neither LLVM nor the file that keeps others from compiling it crosses a fork
def compiled(
    name: str,
    digest: str,
    signature: str,
    make: Callable[[], Callable[..., Any]],
    keep: bool = True,
    library: bool = False,
) -> Callable[..., Any]:
    """The loop that ``make`` returns as Python, compiled for this machine: from disk, or now.

    When a loop of the ``library`` is missing, or any slow one, a second process starts to compile the others that are
    missing, too; while that one compiles what is needed here, this process compiles a slow one that is missing.

    Without ``keep`` Numba does not cache it: Numba's cache names the module of every function, and functions of a
    user's file have none. A shared object has no such names. KernelMissing if nothing may be compiled.
    """
    if mode() == "ready":
        ready = ready_file(name, digest)
        if ready is None:
            raise _missing(name, digest, worker())
        try:
            return shared_object.Native(ready, signature)
        except OSError as error:
            raise KernelMissing(f"the kernel {ready} does not load ({error}): rebuild it") from None
    if mode() == "native":
        path = cache_folder() / file_name(name, digest, host())
        with contextlib.suppress(OSError):
            # Rebuild what is damaged or does not load, for example a copy from another machine.
            return shared_object.Native(path, signature)

        from operators.compiler.link import has_linker

        if has_linker():
            _say_that_it_compiles()
            if library or _slow_one() is not None:
                _compile_beside()
            with contextlib.suppress(OSError), background.building(path, meanwhile=build_slow_one):
                with contextlib.suppress(OSError):
                    return shared_object.Native(path, signature)  # made meanwhile by another process
                from operators.compiler.build import build

                build(make(), signature, path, host(), prepared.code_of(name, digest, host()))
                return shared_object.Native(path, signature)
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    from operators.compiler.numba_cache import jitted

    # Numba detects changes only in a function's own file, not in functions inlined into it.
    folder = cache_folder() / f"numba-{digest[:16]}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    keep = keep and folder.is_dir() and os.access(folder, os.W_OK)
    with global_compiler_lock:  # one thread at a time sets and resets the folder
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return jitted(make(), signature, keep)
        finally:
            numba.config.CACHE_DIR = before


def _compile_beside() -> None:
    """Start a process that compiles the library loops that are missing, if kernels are compiled to files here."""
    from operators.compiler.link import has_linker

    if mode() == "native" and has_linker():
        background.start()


_said = False


def _say_that_it_compiles() -> None:
    """Once, to a person at a terminal."""
    global _said
    if not _said and sys.stderr.isatty():
        sys.stderr.write("compiling kernels (once per machine)\n")
    _said = True


def caller(loop: Callable[..., Any]) -> Callable[..., Any]:
    """A function for repeated calls of a compiled loop, from one thread."""
    return loop.caller() if isinstance(loop, shared_object.Native) else loop
