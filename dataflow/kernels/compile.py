"""Compiles generated source: once, cached on disk by content, loaded by later processes.

A kernel's source is derived from a validated plan and contains none of its constants. This is the only place where
the program runs code that it generated.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from dataflow.kernels.generate import Generated, KernelFunction, generate
from dataflow.plan.stages import Stage
from operators import files, forking
from operators.compiler import cache
from operators.compiler.targets import Target
from operators.errors import DataflowError


@dataclass(frozen=True)
class Kernel:
    """A compiled stage: functions that release the GIL, and their arguments."""

    generated: Generated
    step: Callable[..., int]
    finish: Callable[..., int] | None
    digest: str


def _module(digest: str, source: str) -> ModuleType:
    """The generated source as a module, from a file that is written once and never modified."""
    path, text = cache.cache_folder() / f"k{digest}.py", source.encode()
    try:
        there = files.read_bytes(path)
    except OSError:
        there = b""
    # Numba's cache is keyed by the file's time, so a correct file is not rewritten. If two processes write it at once,
    # one of them only loses its cached code.
    if there != text:
        try:
            files.put(text, path)
        except OSError as error:
            raise DataflowError(
                f"the kernel cache {path.parent} cannot be written ({error.strerror}); set {cache.CACHE_VARIABLE}"
            ) from None
    name = f"antfold_kernel_{digest[:24]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Numba looks the module up by name when it loads a function from its cache.
    sys.modules[name] = module
    # Not with its loader, which would read the file again, or bytecode next to it.
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


_lock = forking.lock()
_loaded: dict[str, tuple[Callable[..., int], Callable[..., int] | None]] = {}


def compile_stage(stage: Stage) -> Kernel:
    """The kernel of ``stage``: from memory, from the cache on disk, or compiled now (a second or so)."""
    generated = generate(stage)
    digest = cache.digest_of(generated.source)
    with _lock:
        found = _loaded.get(digest)
        if found is None:
            files = [_compiled(file) for file in stage_files(stage)]
            found = _loaded[digest] = (files[0], files[1] if generated.finish is not None else None)
    return Kernel(generated, found[0], found[1], digest)


def stage_files(stage: Stage) -> tuple[KernelFile, ...]:
    """The shared objects that a worker needs to run ``stage``."""
    generated = generate(stage)
    digest = cache.digest_of(generated.source)
    functions = [f for f in (generated.step, generated.finish) if f is not None]
    return tuple(KernelFile(generated, digest, f) for f in functions)


@dataclass(frozen=True)
class KernelFile:
    """One function of a kernel, as an existing or future shared object."""

    generated: Generated
    digest: str
    function: KernelFunction

    @property
    def name(self) -> str:
        """The prefix of its file name."""
        return self.function.name

    def build(self, target: Target) -> Path:
        """The file for ``target``, from the user's cache or built now; TargetUnavailable if it cannot be built."""
        return cache.built(self.name, self.digest, self.function.signature, _maker(self), target)


def _maker(file: KernelFile) -> Callable[[], Callable[..., int]]:
    def make() -> Callable[..., int]:
        plain: Callable[..., int] = getattr(_module(file.digest, file.generated.source), file.name)
        return plain

    return make


def _compiled(file: KernelFile) -> Callable[..., int]:
    signature, keep = file.function.signature, not file.generated.own_steps
    return cache.compiled(file.name, file.digest, signature, _maker(file), keep)


def is_cached(stage: Stage) -> bool:
    """Whether the kernel is in this process or on disk, so that running it compiles nothing."""
    generated = generate(stage)
    digest = cache.digest_of(generated.source)
    if digest in _loaded or cache.is_kept(generated.step.name, digest):
        return True
    kept = cache.mode() == "numba" and not generated.own_steps
    return kept and (cache.cache_folder() / f"k{digest}.py").exists()
