"""From a loop to a shared object on disk: compile, then link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from operators.compiler.link import link, linker
from operators.compiler.object_code import emitted, emitted_as_it_is, intermediate
from operators.compiler.targets import Target


def build(
    function: Callable[..., Any], signature: str, path: Path, target: Target, prepared: str | None = None
) -> None:
    """Compile ``function`` for ``target`` into the shared object ``path``, which appears whole or not at all;
    ``prepared``: its optimised code, where that is there.

    TargetUnavailable if nothing can link for it, OSError if the linker fails.
    """
    linker(target)  # before the slow part
    code = emitted_as_it_is(prepared, target) if prepared else emitted(intermediate(function, signature), target)
    link(code, path, target)
