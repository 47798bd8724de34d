"""All library loops as files, for a worker that compiles none."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from operators.compiler import cache
from operators.compiler.loops import LOOPS, Loop
from operators.compiler.targets import Target

_FIRST = ("unpack_blocks", "changes")
"""The loops that take longest to compile."""


def prebuild(folder: Path, target: Target, packages: Sequence[str] = ("operators", "runtime")) -> list[Path]:
    """Compile every loop that the modules of ``packages`` declare into ``folder`` (created), with a manifest beside
    them; the files' paths.

    What the user's cache holds is copied. TargetUnavailable where it cannot be made on this machine.
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


def compile_missing(packages: Sequence[str] = ("operators", "runtime")) -> None:
    """Compile the loops of ``packages`` that are not in the user's cache, those first that take longest."""
    missing = [loop for loop in _loops(packages) if not cache.is_kept(loop.name, loop.digest)]
    for loop in sorted(missing, key=lambda loop: loop.name not in _FIRST):
        with contextlib.suppress(Exception):  # the process that needs the loop shows the error
            _ = loop.compiled


def _loops(packages: Sequence[str]) -> list[Loop]:
    for package in packages:
        _import_loops(package)
    return [loop for loop in LOOPS if loop.plain.__module__.partition(".")[0] in packages]


def _import_loops(package: str) -> None:
    """Import those modules of ``package`` that declare loops, and no others: some need what is not installed."""
    origin = importlib.import_module(package)
    for module in pkgutil.walk_packages(origin.__path__, f"{package}."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec is not None and spec.origin and "\n@loop(" in Path(spec.origin).read_text(encoding="utf-8"):
            importlib.import_module(module.name)
