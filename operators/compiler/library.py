"""All library loops as files: prebuilt, for workers that compile nothing; prepared, for a machine's first query."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import re
from collections.abc import Sequence
from pathlib import Path

from operators.compiler import cache, prepared
from operators.compiler.loops import LOOPS, Loop
from operators.compiler.targets import TARGETS, Target


def prebuild(folder: Path, target: Target, packages: Sequence[str] = ("operators", "runtime")) -> list[Path]:
    """Compile every loop that the modules of ``packages`` declare into ``folder`` (created), with a manifest; returns
    the files' paths.

    Files in the user's cache are copied. TargetUnavailable if they cannot be built on this machine.
    """
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    made, reached = [], dict(cache.reached(cache.OPERATORS))
    for loop in _loops(packages):
        reached.update(cache.reached(Path(loop.plain.__code__.co_filename).parent))
        file = loop.built(target)
        made.append(Path(shutil.copyfile(file, folder / file.name)))
    manifest = {"target": target.name, "reached": reached}
    (folder / cache.MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return sorted(made)


def compile_missing(modules: Sequence[str] = (), packages: Sequence[str] = ("operators", "runtime")) -> None:
    """Compile the loops of ``packages`` that are not in the user's cache: those first that take longest, then those of
    the named ``modules``, the last ones first, which are nearest to what is being done."""
    import numba  # noqa: F401 (meanwhile the process that started this one reads the sources, for both)

    place = {name: number for number, name in enumerate(modules, 1)}
    missing = [loop for loop in _loops(packages) if not cache.is_kept(loop.name, loop.digest)]
    for loop in sorted(missing, key=lambda loop: (not loop.slow, -place.get(loop.plain.__module__, 0))):
        with contextlib.suppress(Exception):  # the process that needs the loop shows the error
            _ = loop.compiled


def slow_loops(packages: Sequence[str] = ("operators", "runtime")) -> list[Loop]:
    """The loops of ``packages`` that take more than a second to compile."""
    return [loop for loop in _loops(packages) if loop.slow]


def prepare(folder: Path = prepared.FOLDER, loops: Sequence[Loop] | None = None) -> list[Path]:
    """Write the optimised code of ``loops`` (the slow ones of the library) for each architecture, replacing what is in
    ``folder`` (created); returns the files."""
    from operators.compiler.object_code import intermediate, optimised

    folder.mkdir(exist_ok=True)
    for path in folder.glob(f"*{prepared.SUFFIX}"):
        path.unlink()
    written = []
    for loop in slow_loops() if loops is None else loops:
        code = _without_places(intermediate(loop.plain, loop.signature))
        for target in TARGETS.values():
            path = folder / prepared.file_name(loop.name, target)
            path.write_bytes(prepared.packed(loop.digest, optimised(code, target)))
            written.append(path)
    return written


_PLACE = re.compile(r"^(@\.const\.picklebuf\.\S+ = internal constant \{[^}]*\}) .*$", re.MULTILINE)


def _without_places(code: str) -> str:
    """The code without what Numba would raise: nothing reads it, and it has the paths of this machine's files."""
    return _PLACE.sub(r"\1 zeroinitializer", code)


def _loops(packages: Sequence[str]) -> list[Loop]:
    for package in packages:
        _import_loops(package)
    return [loop for loop in LOOPS if loop.plain.__module__.partition(".")[0] in packages]


def _import_loops(package: str) -> None:
    """Import only those modules of ``package`` that declare loops; others may need packages that are not installed."""
    origin = importlib.import_module(package)
    for module in pkgutil.walk_packages(origin.__path__, f"{package}."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec is not None and spec.origin and "\n@loop(" in Path(spec.origin).read_text(encoding="utf-8"):
            importlib.import_module(module.name)
