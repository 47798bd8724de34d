"""Kernels from generated source: compiled once, cached on disk by content, loaded by every later process.

The source of a kernel is derived from a validated plan and holds none of its constants, so this is the one place
where the program runs code that it wrote itself. The cache holds Numba's own files, which are pickles: it lives in a
folder that belongs to the user and is closed to others, and is never read from a store.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numba

from dataflow.codegen import Generated, generate
from dataflow.plan import Stage
from operators.errors import DataflowError

CACHE_VARIABLE = "ANTFOLD_CACHE_DIR"


@dataclass(frozen=True)
class Kernel:
    """A compiled stage: Numba functions that release the GIL, and what their arguments mean."""

    generated: Generated
    step: Callable[..., int]
    finish: Callable[..., int] | None
    digest: str


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


@lru_cache(maxsize=1)
def _toolchain() -> str:
    """A digest of all that kernels are made of besides their own source: inlined operators, Numba, Python."""
    import operators

    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    home = Path(operators.__path__[0])
    for path in sorted([*home.glob("kernels/*.py"), *home.glob("aggregates/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _module(digest: str, source: str) -> ModuleType:
    """The generated source as a module, from a file that is written once and never changed."""
    path = cache_folder() / f"k{digest}.py"
    if not path.exists():
        # Linked into place whole: Numba's cache is keyed by the file's time, so it must not be rewritten.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as temp:
            temp.write(source)
        try:
            os.link(temp.name, path)
        except FileExistsError:
            # Another process was first, with the same content.
            pass
        finally:
            os.unlink(temp.name)
    elif path.read_text() != source:
        raise DataflowError(f"the kernel cache file {path} was changed; delete the folder {path.parent}")
    name = f"antfold_kernel_{digest[:24]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Numba looks the module up by name when it loads a function from its cache.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_lock = threading.Lock()
_loaded: dict[str, tuple[Callable[..., int], Callable[..., int] | None]] = {}


def compile_stage(stage: Stage) -> Kernel:
    """The kernel of ``stage``: from memory, from the cache on disk, or compiled now (a second or so)."""
    generated = generate(stage)
    digest = hashlib.sha256(f"{_toolchain()} {generated.source}".encode()).hexdigest()
    with _lock:
        found = _loaded.get(digest)
        if found is None:
            module = _module(digest, generated.source)
            # Numba's cache names the module of every function that it holds, and a metric file is none.
            cache = not generated.own_steps
            jit = partial(numba.njit, nogil=True, cache=cache, error_model="numpy", _nrt=False)
            step = jit(generated.step.signature)(module.step)
            finish: Any = None
            if generated.finish is not None:
                finish = jit(generated.finish.signature)(module.finish)
            found = _loaded[digest] = (cast(Callable[..., int], step), finish)
    return Kernel(generated, found[0], found[1], digest)


def is_cached(stage: Stage) -> bool:
    """Whether the kernel is in this process or on disk, so that running it compiles nothing."""
    generated = generate(stage)
    digest = hashlib.sha256(f"{_toolchain()} {generated.source}".encode()).hexdigest()
    return digest in _loaded or (not generated.own_steps and (cache_folder() / f"k{digest}.py").exists())
