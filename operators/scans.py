"""Custom scans: running functions of a key's rows, declared by the user and registered by name.

A scan has a state of a few numbers per key. For every row, its ``step`` takes the state and the row's values, and
returns the new state and the result. As with custom aggregates (``registry.py``), a name refers to code loaded by this
process: a metric's JSON contains only the name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from operators.compiler.loops import Inlined, inline
from operators.registry import RegistrationError, count_registration, mark_of_code
from operators.types import Type

TYPES = (Type.BOOL, Type.INT, Type.FLOAT, Type.TIME, Type.DURATION)
"""Types of arguments and results: those whose values are the same in every process."""

_MOST = 64


@dataclass(frozen=True)
class RegisteredScan:
    """A scan: ``step(*state, *values)`` returns ``(*state, result)``, all plain numbers.

    ``init`` is the state before a key's first row: floats, or integers of 64 bits. ``arguments`` and ``result`` are the
    types of the values and of the result; times and durations are microseconds.
    """

    name: str
    step: Callable[..., Any]
    init: tuple[int | float, ...]
    arguments: tuple[Type, ...]
    result: Type
    mark: str = ""
    """The digest of the code that the step may use."""


_known: dict[str, RegisteredScan] = {}


def register_scan(scan: RegisteredScan) -> None:
    """Register ``scan`` under its name. Registering again from the same module replaces it.

    RegistrationError for a wrong declaration or a name that is taken.
    """
    _check(scan)
    before = _known.get(scan.name)
    if before is not None and before.step.__module__ != scan.step.__module__:
        raise RegistrationError(f"the scan {scan.name!r} is already registered by {before.step.__module__}")
    compiled = isinstance(scan.step, Inlined) or hasattr(scan.step, "py_func")
    step = scan.step if compiled else inline(scan.step)
    _known[scan.name] = replace(scan, step=step, mark=mark_of_code(scan.step))
    count_registration()


def numbers_taken(step: Callable[..., Any]) -> int:
    """The number of parameters of a step; RegistrationError if it has others than positional ones."""
    plain: Any = getattr(step, "plain", None) or getattr(step, "py_func", step)
    try:
        found = inspect.signature(plain).parameters.values()
    except (TypeError, ValueError):
        raise RegistrationError(f"a scan's step must be a function of numbers, got {step!r}") from None
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) or p.default is not p.empty for p in found):
        raise RegistrationError("a scan's step takes its state and the row's values, without defaults or *args")
    return len(found)


def _check(scan: RegisteredScan) -> None:
    what = f"the scan {scan.name!r}"
    if not isinstance(scan.name, str) or not scan.name.isidentifier() or len(scan.name) > 100:
        raise RegistrationError(f"{what}: its name must be an identifier")
    if not scan.init or len(scan.init) > _MOST:
        raise RegistrationError(f"{what}: init is its state before a key's first row, 1 to {_MOST} numbers")
    for value in scan.init:
        whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        if not whole and not (isinstance(value, float) and isfinite(value)):
            raise RegistrationError(f"{what}: init has {value!r}; its numbers are floats, or integers of 64 bits")
    if not scan.arguments or len(scan.arguments) > _MOST:
        raise RegistrationError(f"{what}: it takes 1 to {_MOST} values of each row")
    for kind in (*scan.arguments, scan.result):
        if kind not in TYPES:
            raise RegistrationError(f"{what}: its arguments and result may be {', '.join(TYPES)}, not {kind}")
    takes, given = numbers_taken(scan.step), len(scan.init) + len(scan.arguments)
    if takes != given:
        raise RegistrationError(
            f"{what}: its step takes {takes} numbers, and is given {given}: {len(scan.init)} of its state, then "
            f"{len(scan.arguments)} of the row"
        )


def find_scan(name: object) -> RegisteredScan | None:
    """The registered scan of this name."""
    return _known.get(name) if isinstance(name, str) else None


def scan_names() -> list[str]:
    """The names of all registered scans."""
    return sorted(_known)


def scan_step_of(name: str) -> Callable[..., Any]:
    """The step of a registered scan, for the kernels that call it."""
    return _known[name].step
