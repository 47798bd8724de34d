"""Hints for values of the wrong kind where an expression, aggregate or column is expected: a function without its
parentheses, an aggregate, a stream, a list."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sized
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError

_LONGEST = 100


def shown(value: object) -> str:
    """A value as messages show it: as Python code, at most a line long."""
    name = _called(value)
    if name is not None:
        return name
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Sized) and not isinstance(value, str | bytes | list | tuple | dict | set | frozenset | range):
        return f"a {type(value).__name__}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _called(value: object) -> str | None:
    """The name of a function or method, in the DSL's spelling if it is part of it; None for anything else."""
    if not isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        return None
    name = value.__name__
    if name == "<lambda>":
        return "a lambda"
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, ModuleType | type):
        return f"{_start(owner)}.{name}"
    if "." in value.__qualname__:
        return f".{name}"
    return f"df.{name}" if is_ours(value) else name


def _start(owner: object) -> str:
    text = repr(owner)
    return text if len(text) <= 40 and "\n" not in text else "(...)"


def is_ours(value: object) -> bool:
    """Whether a function, method or class is part of the DSL."""
    return str(getattr(value, "__module__", "")).partition(".")[0] == "dataflow"


def without_call(value: object) -> str | None:
    """What to write instead of a function that was not called; None for all other values."""
    name = _called(value)
    if name is None:
        return None
    if name == "a lambda" or not is_ours(value):
        return f"{name} is a function: a metric does not run Python functions; write an expression of df.col(...)"
    return f"{name} needs parentheses: {name}({'' if _needs_nothing(value) else '...'})"


def _needs_nothing(value: Any) -> bool:
    from inspect import Parameter, signature

    by_place = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    given = (p for p in signature(value).parameters.values() if p.kind in by_place)
    return all(p.default is not Parameter.empty for p in given)


def listed_values(values: object, wanted: str) -> list[Any]:
    """The values of a list or other collection; DataflowError that says what is ``wanted`` for anything else."""
    if (
        isinstance(values, Iterable)
        and not isinstance(values, str | bytes | type)
        and _own(values, NO_AGGREGATE) is None
    ):
        return list(values)
    raise DataflowError(without_call(values) or f"{wanted}, got {shown(values)}")


NO_EXPRESSION, NO_AGGREGATE = "_no_expression", "_no_aggregate"
"""Attributes of the DSL's classes: why their values are not an expression, or not an aggregate; templates for the
value's ``text`` and its ``name``."""


def _own(value: object, attribute: str) -> str | None:
    return getattr(type(value), attribute, None)


def mistaken(value: object) -> str:
    """Why a value cannot be used as an expression or constant, and what to write."""
    if (call := without_call(value)) is not None:
        return call
    text = shown(value)
    if (why := _own(value, NO_EXPRESSION)) is not None:
        return why.format(text=text)
    match value:
        case Decimal() | Fraction():
            return f"{text} cannot be a constant; write a number: 0.1 compares equal to a decimal of 0.10"
        case date():
            return f"the date {value} is not a time; use datetime({value.year}, {value.month}, {value.day}, tzinfo=UTC)"
        case time():
            return f"{text} is not a constant; compare the hour with df.time().hour(zone)"
        case bytes():
            return f"{text} is bytes; decode it to a string"
        case type() | ModuleType():
            return f"{text} is not an expression; columns are df.col('name')"
        case Sized():
            return f"{text} has several values; to match any of them write df.col(...).is_in([...])"
        case _:
            return f"{text} of type {type(value).__name__} cannot be used as a constant in an expression"


def not_aggregate(name: str, value: object, known: Container[str]) -> str:
    """Why a value cannot be used in ``agg(name=value)``, and what to write; ``known`` are the aggregates."""
    if (call := without_call(value)) is not None:
        return call
    text = shown(value)
    if isinstance(value, str):
        write = f"df.{value}()" if value == "count" else f"df.{value}(...)" if value in known else f"df.mean({text})"
        return f"{name}={text} is a string; write {name}={write}"
    why = _own(value, NO_AGGREGATE) or "{name} must be an aggregate like df.mean('temp'), got {text}"
    return why.format(name=name, text=text)


def whole_text(value: str) -> str:
    """A text as UTF-8 can hold it; DataflowError for one with half of a pair of surrogates, which is no character."""
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataflowError(f"the text {text!r:.100} has half of a pair of surrogates, which is no character") from None
    return text


def text_of(value: object, where: str) -> str:
    """The string constant ``value``, or the parameter; DataflowError naming ``where`` for anything else."""
    if isinstance(value, Setting):
        return cast(str, checked_setting(value, lambda v: text_of(v, where)))
    if not isinstance(value, str):
        raise DataflowError(f"{where} takes a string constant, got {shown(value)}")
    return whole_text(value)
