"""The aggregates that a metric may use, and their options checked."""

from __future__ import annotations

from collections.abc import Mapping

from dataflow.values.constants import plain
from dataflow.values.mistaken import shown
from dataflow.values.settings import Setting, checked_setting
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.registry import arity_of, is_registered
from operators.signatures import Option, Signature


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
    found = ((o, checked(name, o, given[o.name], where)) for o in signature.options if o.name in given)
    return tuple((o.name, value) for o, value in found if o.default is None or value != o.default)


def checked(name: str, option: Option, value: object, where: str) -> object:
    """The canonical value of an aggregate's option, or the parameter; DataflowError naming the place."""
    if isinstance(value, Setting):
        return checked_setting(value, lambda v: checked(name, option, v, where))
    try:
        return option.check(plain(value))
    except ValueError as error:
        raise DataflowError(f"{where}: {option.name} of {name} is {error}, got {shown(value)}") from None
