"""The closed list of functions, and their typing rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from operators.types import Type

NULL = None
"""The type of a bare null constant."""

Kind = Type | None
Rule = Callable[[Sequence[Kind]], Type | str]
"""Returns the result type for argument types, or a description of the wrong ones."""


@dataclass(frozen=True)
class Function:
    """One function: how many arguments, which options, and its typing rule."""

    arity: int
    rule: Rule
    options: tuple[str, ...] = ()


def common(kinds: Sequence[Kind]) -> Type | str:
    """The one type that all values can take: equal types, or int64 widened to float64."""
    found = sorted({k for k in kinds if k is not NULL})
    if not found:
        return "only null"
    if len(found) == 1:
        return found[0]
    if set(found) == {Type.INT, Type.FLOAT}:
        return Type.FLOAT
    if set(found) == {Type.INT, Type.DURATION}:
        return Type.DURATION
    return " and ".join(found)


def _additive(sign: str) -> Rule:
    def rule(kinds: Sequence[Kind]) -> Type | str:
        a, b = (k if k is not NULL else Type.INT for k in kinds)
        if a is Type.TIME and b is Type.TIME and sign == "-":
            return Type.DURATION
        if Type.TIME in (a, b):
            pair = (a, b) if sign == "-" else tuple(sorted((a, b), key=lambda k: k is not Type.TIME))
            return Type.TIME if pair == (Type.TIME, Type.DURATION) else f"{a} {sign} {b}"
        if a.is_numeric and b.is_numeric:
            both = common((a, b))
            return both if isinstance(both, Type) else f"{a} {sign} {b}"
        return f"{a} {sign} {b}"

    return rule


def _product(kinds: Sequence[Kind]) -> Type | str:
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric) or (a is Type.DURATION and b is Type.DURATION):
        return f"{a} * {b}"
    if Type.DURATION in (a, b):
        return Type.DURATION
    return Type.FLOAT if Type.FLOAT in (a, b) else Type.INT


def _quotient(kinds: Sequence[Kind]) -> Type | str:
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric):
        return f"{a} / {b}"
    return Type.DURATION if a is Type.DURATION and b is not Type.DURATION else Type.FLOAT


def _floor(kinds: Sequence[Kind]) -> Type | str:
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric):
        return f"{a} // {b}"
    if a is Type.DURATION and b is Type.DURATION:
        return Type.INT
    if a is Type.DURATION:
        return Type.DURATION
    return Type.FLOAT if Type.FLOAT in (a, b) else Type.INT


def _remainder(kinds: Sequence[Kind]) -> Type | str:
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric):
        return f"{a} % {b}"
    both = common((a, b))
    return both if isinstance(both, Type) else f"{a} % {b}"


def _number(kinds: Sequence[Kind]) -> Type | str:
    (a,) = kinds
    return a if a is not NULL and a.is_numeric else f"{a or 'null'}, which is no number"


def _comparison(kinds: Sequence[Kind]) -> Type | str:
    both = common(kinds)
    return Type.BOOL if isinstance(both, Type) or both == "only null" else f"{both}, which do not compare"


def _logic(kinds: Sequence[Kind]) -> Type | str:
    bad = [k for k in kinds if k not in (Type.BOOL, NULL)]
    return f"{bad[0]}, where a condition is expected" if bad else Type.BOOL


def _same(kinds: Sequence[Kind]) -> Type | str:
    return common(kinds)


def _branches(kinds: Sequence[Kind]) -> Type | str:
    if kinds[0] not in (Type.BOOL, NULL):
        return f"{kinds[0]} as a condition"
    return _same(kinds[1:])


def _always(result: Type) -> Rule:
    return lambda kinds: result


def _takes(argument: Type, result: Type) -> Rule:
    return lambda kinds: result if kinds[0] in (argument, NULL) else f"{kinds[0]}, where {argument} is expected"


def _membership(kinds: Sequence[Kind]) -> Type | str:
    return Type.BOOL


def _decimal(kinds: Sequence[Kind]) -> Type | str:
    (a,) = kinds
    takes = a in (Type.INT, Type.FLOAT) or (a is not NULL and a.places is not None)
    # The option sets the number of places.
    return Type.DECIMAL_0 if takes else f"{a or 'null'}, which is no number"


FUNCTIONS: dict[str, Function] = {
    "add": Function(2, _additive("+")),
    "sub": Function(2, _additive("-")),
    "mul": Function(2, _product),
    "div": Function(2, _quotient),
    "floordiv": Function(2, _floor),
    "mod": Function(2, _remainder),
    "neg": Function(1, _number),
    "abs": Function(1, _number),
    "eq": Function(2, _comparison),
    "ne": Function(2, _comparison),
    "lt": Function(2, _comparison),
    "le": Function(2, _comparison),
    "gt": Function(2, _comparison),
    "ge": Function(2, _comparison),
    "between": Function(3, _comparison),
    "and": Function(2, _logic),
    "or": Function(2, _logic),
    "not": Function(1, _logic),
    "is_in": Function(1, _membership, ("type", "values")),
    "is_null": Function(1, _always(Type.BOOL)),
    "is_not_null": Function(1, _always(Type.BOOL)),
    "fill_null": Function(2, _same),
    "starts_with": Function(1, _takes(Type.STRING, Type.BOOL), ("prefix",)),
    "contains": Function(1, _takes(Type.STRING, Type.BOOL), ("text",)),
    "last": Function(1, _same, ("hold",)),
    "previous": Function(1, _same),
    "changed": Function(1, _always(Type.BOOL)),
    "cumulative_sum": Function(1, _number),
    "decimal": Function(1, _decimal, ("places", "rounding")),
    "when": Function(3, _branches),
    "time": Function(0, _always(Type.TIME)),
    "truncate": Function(1, _takes(Type.TIME, Type.TIME), ("every", "zone")),
    "hour": Function(1, _takes(Type.TIME, Type.INT), ("zone",)),
    "weekday": Function(1, _takes(Type.TIME, Type.INT), ("zone",)),
}

STATEFUL = ("last", "previous", "changed", "cumulative_sum", "before", "increase", "elapsed")
"""Functions that remember a key's earlier rows; the last three only inside aggregates: the previously reported value,
the increase of a counter since then, and the time since then."""
