"""Parameters in place of constants that are no expressions: lengths of time, zones, lists, names of columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any


class _OfParameters(type):
    def __instancecheck__(cls, value: object) -> bool:
        return getattr(type(value), "may_be_parameter", False) and value.fn == "param"  # type: ignore[attr-defined]


class Setting(metaclass=_OfParameters):
    """A parameter (``df.param``) where a step or a function takes a constant. A metric has its value before it is bound
    (``dataflow.metrics.settled``); until then it stands in the field.

    A parameter is an expression like others, so this class has no instances of its own: it tells parameters apart.
    """

    def option(self, name: str) -> object:
        """An option of the parameter: ``name``, ``default``, ``type``, ``choices``."""
        raise AssertionError


def setting_name(setting: Setting) -> str:
    """The name of the parameter."""
    return str(setting.option("name"))


def checked_setting(setting: Setting, read: Callable[[Any], object]) -> Setting:
    """The parameter itself, after ``read`` has taken its default and choices; else the error of ``read``."""
    default, choices = setting.option("default"), setting.option("choices")
    for value in (*(() if default is None else (default,)), *(choices if isinstance(choices, tuple) else ())):
        kind = setting.option("type")
        read(timedelta(microseconds=value) if kind == "duration" and isinstance(value, int) else value)
    return setting
