"""Guards the packages ``operators``, ``runtime`` and ``deploy`` against others of the same name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_SIBLINGS = ("operators", "runtime", "deploy")


def check_home() -> None:
    """Check that the sibling packages resolve to the folder this package lives in; nothing is imported.

    Raises ImportError that names the file in the way and the fix.
    """
    home = Path(__file__).resolve().parent.parent
    for name in _SIBLINGS:
        found = _origin(name)
        if found is None:
            raise ImportError(
                f"antfold's package '{name}' is missing from {home}: "
                "install antfold again (pip install --force-reinstall)"
            )
        if found.parent.parent != home:
            what = found if found.name != "__init__.py" else found.parent
            raise ImportError(
                f"{what} hides antfold's own package '{name}' (in {home}): rename it, "
                "or start Python with `python -P`, which keeps the script's folder off the import path"
            )


def _origin(name: str) -> Path | None:
    """The file that ``import name`` would run; None if there is none (a namespace package has none)."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module already imported that carries no spec
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve()
