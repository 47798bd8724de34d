"""``Function``, the table of all functions (each declared beside its source in ``codegen``), shared typing rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from operators.types import Type

NULL = None
"""The type of a bare null constant."""

Kind = Type | None
Rule = Callable[[Sequence[Kind]], Type | str]
"""Returns the result type for argument types, or a description of the wrong ones."""


ANY = -1
"""The arity of a function whose options say how many arguments it takes."""


@dataclass(frozen=True)
class Function:
    """One function: how many arguments, its typing rule of them, and which options.

    ``defaults`` are options that may be left out, with their values. ``more``: the names of further arguments that may
    be left out, which do not decide its type. ``any_number``: there may be more arguments of the same kind. ``of_df``:
    it is written ``df.least(a, b)``, not as a method of its first argument.
    """

    arity: int
    rule: Rule
    options: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    any_number: bool = False
    of_df: bool = False


def common(kinds: Sequence[Kind]) -> Type | str:
    """The one type that all values can take: equal types, or int64 widened to float64."""
    found = sorted({k for k in kinds if k is not NULL})
    if not found:
        return "only null"
    if len(found) == 1:
        return found[0]
    if set(found) == {Type.INT, Type.FLOAT}:
        return Type.FLOAT
    return " and ".join(found)


def without_unit(kinds: Sequence[Kind]) -> str:
    """What to write instead of a number beside a length of time, to follow the types; empty if there is none."""
    has_number = Type.INT in kinds or Type.FLOAT in kinds
    hint = "; a number has no unit: write a length of time, like '5m' or a timedelta"
    return hint if Type.DURATION in kinds and has_number else ""


def additive_rule(sign: str) -> Rule:
    """Sums (``+``) and differences (``-``): of numbers, lengths of time, and times with lengths."""

    def rule(kinds: Sequence[Kind]) -> Type | str:
        a, b = _known(kinds)
        if a is Type.TIME and b is Type.TIME and sign == "-":
            return Type.DURATION
        if Type.TIME in (a, b):
            pair = (a, b) if sign == "-" else tuple(sorted((a, b), key=lambda k: k is not Type.TIME))
            if pair == (Type.TIME, Type.DURATION):
                return Type.TIME
            text = "; make the text a time with .cast('time')" if Type.STRING in pair else ""
            return f"{a} {sign} {b}{text or without_unit((*pair, Type.DURATION))}"
        return _of_one_kind(a, sign, b)

    return rule


def product_rule(kinds: Sequence[Kind]) -> Type | str:
    """Products: of numbers, or of a number and a length of time."""
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric) or (a is Type.DURATION and b is Type.DURATION):
        return f"{a} * {b}"
    if Type.DURATION in (a, b):
        return Type.DURATION
    return Type.FLOAT if Type.FLOAT in (a, b) else Type.INT


def quotient_rule(kinds: Sequence[Kind]) -> Type | str:
    """Quotients: floats, or lengths of time."""
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric):
        return f"{a} / {b}"
    return Type.DURATION if a is Type.DURATION and b is not Type.DURATION else Type.FLOAT


def floor_rule(kinds: Sequence[Kind]) -> Type | str:
    """Quotients rounded down."""
    a, b = (k if k is not NULL else Type.INT for k in kinds)
    if not (a.is_numeric and b.is_numeric):
        return f"{a} // {b}"
    if a is Type.DURATION and b is Type.DURATION:
        return Type.INT
    if a is Type.DURATION:
        return Type.DURATION
    return Type.FLOAT if Type.FLOAT in (a, b) else Type.INT


def remainder_rule(kinds: Sequence[Kind]) -> Type | str:
    """Remainders, of the type of both."""
    a, b = _known(kinds)
    return _of_one_kind(a, "%", b)


def _known(kinds: Sequence[Kind]) -> tuple[Type, Type]:
    """The types of two operands; a null is of the other's kind."""
    null = Type.DURATION if Type.DURATION in kinds else Type.INT
    a, b = (k if k is not NULL else null for k in kinds)
    return a, b


def _of_one_kind(a: Type, sign: str, b: Type) -> Type | str:
    """The type of two numbers, or of two lengths of time."""
    both = common((a, b))
    good = isinstance(both, Type) and a.is_numeric and b.is_numeric
    texts = Type.STRING in (a, b) and sign == "+"
    hint = "; only texts are put together: group_by and dedupe take numbers as they are" if texts else ""
    return both if good else f"{a} {sign} {b}{hint or without_unit((a, b))}"


def number_rule(kinds: Sequence[Kind]) -> Type | str:
    """A number, of the same type."""
    (a,) = kinds
    return a if a is not NULL and a.is_numeric else f"{a or 'null'}, which is no number"


def real_rule(kinds: Sequence[Kind]) -> Type | str:
    """A float of numbers."""
    wrong = [k for k in kinds if k not in (Type.INT, Type.FLOAT, NULL)]
    if Type.DURATION in wrong:
        return "a duration; divide it by a length of time, like '1h'"
    return f"{wrong[0]}, which is no number" if wrong else Type.FLOAT


def rounding_rule(kinds: Sequence[Kind]) -> Type | str:
    """An integer or a float, of the same type."""
    (a,) = kinds
    return a if a in (Type.INT, Type.FLOAT) else f"{a or 'null'}, which is no number"


def sign_rule(kinds: Sequence[Kind]) -> Type | str:
    """An integer or a float, of the same type; an integer of a duration."""
    return Type.INT if kinds[0] is Type.DURATION else rounding_rule(kinds)


def extreme_rule(kinds: Sequence[Kind]) -> Type | str:
    """One of some numbers, durations or times, of the type that all can take."""
    found = common(kinds)
    if found in (Type.INT, Type.FLOAT, Type.DURATION, Type.TIME) or found == "only null":
        return found
    return f"{found}; it takes numbers, durations or times, all of one kind{without_unit(kinds)}"


def clip_rule(kinds: Sequence[Kind]) -> Type | str:
    """The same of a value and its bounds."""
    return "null" if kinds[0] is NULL else extreme_rule(kinds)


def comparison_rule(kinds: Sequence[Kind]) -> Type | str:
    """A condition of values that compare."""
    both = common(kinds)
    return (
        Type.BOOL
        if isinstance(both, Type) or both == "only null"
        else f"{both}, which do not compare{without_unit(kinds)}"
    )


def logic_rule(kinds: Sequence[Kind]) -> Type | str:
    """A condition of conditions."""
    bad = [k for k in kinds if k not in (Type.BOOL, NULL)]
    bits = bad and bad[0] is Type.INT
    hint = "; of a bit: df.col('word') // 8 % 2 == 1" if bits else ""
    return f"{bad[0]}, where a condition is expected{hint}" if bad else Type.BOOL


def same_rule(kinds: Sequence[Kind]) -> Type | str:
    """The one type that all arguments can take."""
    both = common(kinds)
    return both if isinstance(both, Type) else f"{both}{without_unit(kinds)}"


def branches_rule(kinds: Sequence[Kind]) -> Type | str:
    """The type of the branches after a condition."""
    if kinds[0] not in (Type.BOOL, NULL):
        return f"{kinds[0]} as a condition"
    return same_rule(kinds[1:])


def always(result: Type) -> Rule:
    """This type, whatever the argument."""
    return lambda kinds: result


def takes(argument: Type, result: Type) -> Rule:
    """This result, of just this type of argument."""
    return lambda kinds: result if kinds[0] in (argument, NULL) else f"{kinds[0]}, where {argument} is expected"


def hash_rule(kinds: Sequence[Kind]) -> Type | str:
    """A number, of a text or an integer."""
    (a,) = kinds
    return Type.INT if a in (Type.STRING, Type.INT, NULL) else f"{a}, where string or int64 is expected"


def membership_rule(kinds: Sequence[Kind]) -> Type | str:
    """A condition; the values are checked against the argument elsewhere."""
    return Type.BOOL


def decimal_rule(kinds: Sequence[Kind]) -> Type | str:
    """A decimal of a number."""
    (a,) = kinds
    takes = a in (Type.INT, Type.FLOAT) or (a is not NULL and a.places is not None)
    # The option sets the number of places.
    return Type.DECIMAL_0 if takes else f"{a or 'null'}, which is no number"


CASTS: Mapping[Type, tuple[Type, ...]] = {
    Type.INT: (Type.BOOL, Type.FLOAT, Type.STRING),
    Type.FLOAT: (Type.BOOL, Type.INT, Type.STRING),
    Type.BOOL: (Type.INT, Type.STRING),
    Type.TIME: (Type.STRING,),
}
"""The types that can be cast to each type, besides that type itself; to numbers, decimals, too."""

RANGE = ("since", "until")
"""The ends of the range that is asked for."""

FUNCTIONS: dict[str, Function] = {fn: Function(0, lambda kinds: Type.TIME) for fn in ("time", *RANGE)}
"""All functions by name. Those of ``dataflow/codegen`` declare themselves beside their source; ``next`` has none, since
validation puts a column in its place."""

FUNCTIONS["next"] = Function(1, same_rule, defaults={"rows": 1}, more=("within",))

LOOKING = ("trailing", "leading", "next")
AHEAD = ("leading", "next")
"""What is worked out in a stage of its own, before the step in which it is written."""


def ordered_rule(kinds: Sequence[Kind]) -> Type | str:
    """A value of an order that is not that of texts, of the same type."""
    (a,) = kinds
    takes = a is not NULL and (a.is_numeric or a is Type.TIME or a.places is not None)
    return a if takes and a is not NULL else f"{a or 'null'}, which is no number and no time"


STATEFUL = (
    "last", "previous", "first", "changed", "row_number", "cumulative_sum", "cumulative_max", "cumulative_min",
    "ewm", "scan", "before", "increase", "elapsed", "apart",
)  # fmt: skip
"""Functions that remember a key's earlier rows; the last three only inside aggregates: the previously reported value,
the increase of a counter since then, and the time since then."""
