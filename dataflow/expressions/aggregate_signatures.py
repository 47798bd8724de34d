"""The aggregates that a metric may use, and their options checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dataflow.times.durations import parse_duration
from dataflow.values.constants import is_numpy_length, plain
from dataflow.values.mistaken import shown
from dataflow.values.settings import Setting, checked_setting
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.registry import arity_of, is_registered
from operators.signatures import Option, Signature, WrittenLength, WrittenNumber


def signature_of(name: object) -> Signature | None:
    """The signature of an aggregate: one of ours, or one that was registered."""
    if not isinstance(name, str):
        return None
    if name in SIGNATURES:
        return SIGNATURES[name]
    return Signature((arity_of(name),)) if is_registered(name) else None


def options_of(
    name: str, signature: Signature, given: Mapping[str, object], where: str
) -> tuple[tuple[str, object], ...]:
    """The canonical options of an aggregate; DataflowError naming the place of one that is wrong."""
    found = ((o, _checked(name, o, given[o.name], where)) for o in signature.options if o.name in given)
    return tuple((o.name, v) for o, v in found if o.default is None or isinstance(v, Setting) or v != o.default)


def option_written(name: str, option: Option, value: Any) -> Any:
    """The canonical value of an aggregate's option as it is written in Python, or the parameter; else DataflowError."""
    if isinstance(value, Setting):
        return checked_setting(value, lambda v: option_written(name, option, v))
    several = isinstance(value, list | tuple)
    return _checked(
        name, option, [_micros(name, option, v) for v in value] if several else _micros(name, option, value), name
    )


def _micros(name: str, option: Option, value: Any) -> Any:
    """A value with its microseconds, if it is a length of time."""
    where, value = f"{name}({option.name})", plain(value)
    if value is None or not option.length:
        return value
    if option.length == "only":
        return parse_duration(value, where)
    if isinstance(value, str | timedelta) or is_numpy_length(value):
        return WrittenLength(parse_duration(value, where))
    return WrittenNumber(value) if type(value) is int else value


def _checked(name: str, option: Option, value: object, where: str) -> object:
    if isinstance(value, Setting):
        return option_written(name, option, value)
    try:
        return option.check(plain(value))
    except ValueError as error:
        raise DataflowError(f"{where}: {option.name} of {name} is {error}, got {shown(value)}") from None
