"""Custom aggregates: declared like built-in ones and registered by name.

A name refers to code loaded by this process. A metric's JSON and messages to workers contain only the name, so every
process that runs the metric must have registered the aggregate.
"""

from __future__ import annotations

import hashlib
import inspect
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from operators.aggregates import REGISTRY, SIGNATURES, AnyAggregate
from operators.compiler.loops import Inlined, inline
from operators.contract import Aggregate
from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import Type

INPUTS = ("value", "other", "cond", "flag", "hash", "time", "tie", "duration", "known")
"""The possible inputs of a step (``operators.contract.Aggregate``)."""

_FIELD_DTYPES = ("i8", "f8")
_own: dict[tuple[str, Type | None], Aggregate] = {}
_marks: dict[tuple[str, Type | None], str] = {}
_count = 0


class RegistrationError(DataflowError):
    """An aggregate that cannot be registered."""


def register(op: Aggregate) -> None:
    """Register ``op`` under its name, for its argument type; ``step`` may be a plain function of scalars.

    Registering again from the same module replaces it. RegistrationError for a wrong declaration or a name that is
    taken.
    """
    _check(op)
    key = (op.name, op.argument)
    before = _own.get(key)
    if before is not None and before.step.__module__ != op.step.__module__:
        raise RegistrationError(f"the aggregate {op.name!r} is already registered by {before.step.__module__}")
    step = op.step if isinstance(op.step, Inlined) or hasattr(op.step, "py_func") else inline(op.step)
    count_registration()
    _own[key] = replace(op, step=step)
    _marks[key] = mark_of_code(op.step)


def count_registration() -> None:
    """Record that a name has a new meaning."""
    global _count
    _count += 1


def registrations() -> int:
    """The number of registrations so far: if it is unchanged, so is the meaning of every name."""
    return _count


def _check(op: Aggregate) -> None:
    if not isinstance(op, Aggregate):
        raise RegistrationError(f"register takes an Aggregate, got {op!r}")
    what = f"the aggregate {op.name!r}"
    if not op.name.isidentifier() or len(op.name) > 100:
        raise RegistrationError(f"{what}: its name must be an identifier")
    if op.name in SIGNATURES:
        raise RegistrationError(f"{what}: the name is that of a built-in aggregate; choose another")
    if unknown := [i for i in op.inputs if i not in INPUTS]:
        raise RegistrationError(
            f"{what}: there is no input {unknown[0]!r}; {meant(unknown[0], INPUTS, 'there')} are {', '.join(INPUTS)}"
        )
    if wrong := [f for f in op.fields if f.dtype not in _FIELD_DTYPES]:
        raise RegistrationError(f"{what}: the field {wrong[0].name!r} must be of dtype {' or '.join(_FIELD_DTYPES)}")
    names = [f.name for f in op.fields] + [s.name for s in op.sums]
    if not all(n.isidentifier() for n in names) or len(set(names)) < len(names):
        raise RegistrationError(f"{what}: its fields and sums must have different identifiers as names")
    coded = any(f.is_code for f in op.fields)
    if op.argument is Type.STRING and "value" in op.inputs and not op.tally and not coded:
        raise RegistrationError(
            f"{what}: strings are codes, which differ between tasks; take the hash, tally, or keep codes in a field "
            "with is_code=True"
        )
    if coded and "n" not in names:
        raise RegistrationError(f"{what}: a field of codes needs a field 'n' that counts the values in it")
    if coded and Type.STRING not in (op.argument, op.other):
        raise RegistrationError(f"{what}: it keeps codes of strings, and takes none")


def mark_of_code(step: Callable[..., Any]) -> str:
    """A digest of the code that a step may use: kernels with different steps are different kernels."""
    digest = hashlib.sha256()
    try:
        _add(digest, step, set())
    except (OSError, TypeError):
        # Defined at a prompt, or using an object without a digest: its kernels are not found in the cache.
        return uuid.uuid4().hex
    return digest.hexdigest()


_OURS = ("operators", "numpy", "numba", "math", "builtins")
"""Packages whose functions are identified by name: the first is in every kernel's digest, Numba compiles the
others."""


def _add(digest: Any, value: Any, seen: set[int]) -> None:
    """Add ``value`` as compiled code uses it: for functions their files, and the globals that they use."""
    value = getattr(value, "plain", None) or getattr(value, "py_func", value)
    kind, name = type(value), getattr(value, "__qualname__", getattr(value, "__name__", ""))
    module = str(getattr(value, "__module__", None) or "")
    digest.update(f"{kind.__name__} {module} {name} ".encode())
    if isinstance(value, FunctionType) and module.partition(".")[0] not in _OURS:
        if id(value) in seen:
            return
        seen.add(id(value))
        digest.update(Path(value.__code__.co_filename).read_bytes())
        found = inspect.getclosurevars(value)
        for used, what in sorted({**found.globals, **found.nonlocals}.items()):
            digest.update(used.encode())
            attributes = [vars(what).get(n) for n in value.__code__.co_names] if isinstance(what, ModuleType) else []
            for part in [what, *(a for a in attributes if a is not None)]:
                _add(digest, part, seen)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, tuple):
        for part in value:
            _add(digest, part, seen)
    elif isinstance(value, int | float | complex | str | bytes | np.generic) or value is None:
        digest.update(repr(value).encode())
    elif not isinstance(value, type | ModuleType | FunctionType | np.ufunc) and module.partition(".")[0] not in _OURS:
        raise TypeError(f"{name} is not a constant")


def is_registered(name: str) -> bool:
    """Whether a custom aggregate has this name."""
    return any(n == name for n, _ in _own)


def arity_of(name: str) -> int:
    """How many arguments the registered aggregate takes."""
    op = next(a for (n, _), a in _own.items() if n == name)
    return (op.argument is not None) + (op.other is not None)


def find(name: str, argument: Type | None) -> AnyAggregate | None:
    """The aggregate of this name for an argument of this type, built-in or registered."""
    return REGISTRY.get((name, argument)) or _own.get((name, argument))


def argument_types(name: str) -> list[Type]:
    """The argument types of an aggregate."""
    return [t for n, t in [*REGISTRY, *_own] if n == name and t is not None]


def mark_of(op: AnyAggregate) -> str | None:
    """The digest of a registered aggregate's code; None for built-in ones."""
    return _marks.get((op.name, op.argument)) if _own.get((op.name, op.argument)) == op else None


def step_of(name: str, argument: str | None) -> Callable[..., None]:
    """The step of a registered aggregate, for the kernels that call it."""
    return _own[name, None if argument is None else Type(argument)].step
