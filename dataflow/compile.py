"""Kernels from generated source: compiled once, kept on disk by content, loaded by every later process.

The source of a kernel is derived from a validated plan and holds none of its constants, so this is the one place
where the program runs code that it wrote itself.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from dataflow.codegen import Generated, generate
from dataflow.codegen.stage import Function
from dataflow.plan import Stage
from operators.compiler import cache
from operators.errors import DataflowError


@dataclass(frozen=True)
class Kernel:
    """A compiled stage: functions that release the GIL, and what their arguments mean."""

    generated: Generated
    step: Callable[..., int]
    finish: Callable[..., int] | None
    digest: str


def _module(digest: str, source: str) -> ModuleType:
    """The generated source as a module, from a file that is written once and never changed."""
    path = cache.cache_folder() / f"k{digest}.py"
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
    digest = cache.digest_of(generated.source)
    with _lock:
        found = _loaded.get(digest)
        if found is None:
            finish = None if generated.finish is None else _compiled(generated, digest, generated.finish)
            found = _loaded[digest] = (_compiled(generated, digest, generated.step), finish)
    return Kernel(generated, found[0], found[1], digest)


def _compiled(generated: Generated, digest: str, function: Function) -> Callable[..., int]:
    def make() -> Callable[..., int]:
        plain: Callable[..., int] = getattr(_module(digest, generated.source), function.name)
        return plain

    return cache.compiled(function.name, digest, function.signature, make, keep=not generated.own_steps)


def is_cached(stage: Stage) -> bool:
    """Whether the kernel is in this process or on disk, so that running it compiles nothing."""
    generated = generate(stage)
    digest = cache.digest_of(generated.source)
    if digest in _loaded or cache.is_kept(generated.step.name, digest):
        return True
    kept = cache.mode() == "numba" and not generated.own_steps
    return kept and (cache.cache_folder() / f"k{digest}.py").exists()
