"""The nodes of expressions, one function applied to arguments, and the Python text that builds them.

The text can be evaluated with ``df`` as this package and ``datetime``, ``timedelta`` and ``UTC`` from the module
``datetime``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from dataflow.expressions.functions import FUNCTIONS
from dataflow.times.durations import written_duration
from operators.signatures import WrittenLength


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """One function applied to arguments. ``fn`` is ``col``, ``lit``, ``param`` or a function's name; ``options``
    are its constant settings, as (name, value) pairs."""

    fn: str
    args: tuple[Self, ...] = ()
    options: tuple[tuple[str, object], ...] = ()

    may_be_parameter: ClassVar[bool] = True
    """See ``dataflow.values.settings``."""

    def option(self, name: str) -> object:
        """The value of one option; None if absent."""
        return dict(self.options).get(name)

    def __repr__(self) -> str:
        return written(self)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COMPARISON, _OR, _AND, _SUM, _PRODUCT, _SIGN, _ATOM = range(7)
"""Precedence of Python's operators: an operand of lower precedence gets parentheses."""

_INFIX: Mapping[str, tuple[str, int]] = {
    "eq": ("==", _COMPARISON), "ne": ("!=", _COMPARISON), "lt": ("<", _COMPARISON), "le": ("<=", _COMPARISON),
    "gt": (">", _COMPARISON), "ge": (">=", _COMPARISON), "or": ("|", _OR), "and": ("&", _AND), "add": ("+", _SUM),
    "sub": ("-", _SUM), "mul": ("*", _PRODUCT), "div": ("/", _PRODUCT), "floordiv": ("//", _PRODUCT),
    "mod": ("%", _PRODUCT),
}  # fmt: skip
_PREFIX = {"neg": "-", "not": "~"}
_POSITIONAL: Mapping[str, str] = {
    "offset_by": "by", "truncate": "every", "decimal": "places", "starts_with": "prefix", "contains": "text",
    "last": "hold", "previous": "rows", "round": "n", "ewm": "half_life",
    "substring": "start", "split": "separator", "replace": "old", "ends_with": "suffix", "like": "pattern",
    "extract": "pattern",
    "cast": "type", "try_cast": "type", "parse_time": "format",
    "year": "zone", "quarter": "zone", "month": "zone", "iso_week": "zone", "day": "zone", "day_of_year": "zone",
    "hour": "zone", "minute": "zone", "second": "zone", "weekday": "zone",
}  # fmt: skip
"""The option that is written without its name, by function."""
_USUAL: Mapping[str, object] = {
    "zone": "UTC", "rounding": "exact", "ddof": 1, "cap": 10_000, "hold": None, "edges": None, "width": None,
    "per": None,
}  # fmt: skip
"""Defaults of options, which are not written."""


CALL_TEXTS: dict[str, Callable[[Node], str]] = {}
"""The text of functions that are written in a way of their own."""


def quoted(text: str) -> str:
    """A string as a Python literal, in double quotes unless that needs more escapes."""
    if isinstance(text, Node):
        return operand(text)
    plain = repr(text)
    return plain if plain[0] == '"' or '"' in text else f'"{plain[1:-1]}"'


def written(node: Node) -> str:
    """The text of an expression."""
    return _expr(node)[0]


def _expr(e: Node) -> tuple[str, int]:
    """The text and its precedence."""
    if e.fn in _INFIX and len(e.args) == 2:
        sign, level = _INFIX[e.fn]
        left, right = e.args
        # Python evaluates 1 < x as x > 1, and 1 + 2 at once.
        plain = _constant(left) if level != _COMPARISON and right.fn != "lit" else None
        first = _in(level + (level == _COMPARISON), left) if plain is None else plain
        second = None if level == _COMPARISON and _is_null(right) else _constant(right)
        return f"{first} {sign} {_in(level + 1, right) if second is None else second}", level
    if e.fn in _PREFIX and len(e.args) == 1:
        return f"{_PREFIX[e.fn]}{_in(_SIGN, e.args[0])}", _SIGN
    if e.fn == "col":
        name = e.option("name")
        return f"df.col({operand(name) if isinstance(name, Node) else quoted(str(name))})", _ATOM
    if e.fn == "lit":
        return f"df.lit({_constant(e)})", _ATOM
    if e.fn == "param":
        return _param(e), _ATOM
    if e.fn == "when":
        return _when(e), _ATOM
    if e.fn == "over":
        return _over(e), _ATOM
    if e.fn in CALL_TEXTS:
        return CALL_TEXTS[e.fn](e), _ATOM
    if not e.args:
        return f"df.{e.fn}()", _ATOM
    if e.fn in FUNCTIONS and FUNCTIONS[e.fn].of_df:
        return f"df.{e.fn}({', '.join(map(operand, e.args))})", _ATOM
    receiver, *rest = e.args
    given = [written(a) if e.fn == "between" and _is_null(a) else operand(a) for a in rest]
    if e.fn in FUNCTIONS:
        # Arguments that may be left out are written with their names; columns by theirs.
        arity = FUNCTIONS[e.fn].arity
        for i, name in enumerate(FUNCTIONS[e.fn].more[: len(e.args) - arity], arity - 1):
            given[i] = f"{name}={column_text(rest[i])}"
    named = FUNCTIONS[e.fn].more if e.fn in FUNCTIONS else ()
    texts = [*given, *options_of(e)] if not named else [*options_of(e), *given]
    return f"{_in(_ATOM, receiver)}.{e.fn}({', '.join(texts)})", _ATOM


def _is_null(e: Node) -> bool:
    """Whether it is the constant null, which comparisons take as ``df.lit(None)`` only."""
    return e.fn == "lit" and e.option("type") == "null"


def _in(level: int, e: Node) -> str:
    text, binds = _expr(e)
    return text if binds >= level else f"({text})"


def operand(e: Node) -> str:
    """The text of an expression where constants need no ``df.lit``."""
    found = _constant(e)
    return _expr(e)[0] if found is None else found


def _constant(e: Node) -> str | None:
    """The Python value of a literal as text; None for other nodes."""
    return value_text(e.option("type"), e.option("value")) if e.fn == "lit" else None


def value_text(kind: object, value: object) -> str:
    """A constant of this type (empty: as it is) as Python's literal."""
    match kind, value:
        case "time", int():
            try:
                moment = _EPOCH + timedelta(microseconds=value)
            except OverflowError:
                return f"<{value} microseconds UTC>"
            parts = [*moment.timetuple()[:6], moment.microsecond]
            while len(parts) > 3 and not parts[-1]:
                parts.pop()
            return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
        case "duration", int():
            return repr(timedelta(microseconds=value)).removeprefix("datetime.")
        case _, float():
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        case _, str():
            return quoted(value)
        case _:
            return repr(value)


def _param(e: Node) -> str:
    name, default, choices = quoted(str(e.option("name"))), e.option("default"), e.option("choices")
    kind = e.option("type")
    given = [name]
    if default is not None:
        given.append(f"default={option_text('', default) if isinstance(default, tuple) else value_text(kind, default)}")
    if isinstance(choices, tuple):
        given.append(f"choices=[{', '.join(value_text(kind, c) for c in choices)}]")
    return f"df.param({', '.join(given)})"


def _when(e: Node) -> str:
    out, rest = "df", e
    while rest.fn == "when":
        condition, then, rest = rest.args
        out += f".when({written(condition)}).then({operand(then)})"
    return f"{out}.otherwise({operand(rest)})"


def _over(e: Node) -> str:
    """``df.sum("n").over("site", order="h")``, or ``df.col("d").rank(per="site")``."""
    of, n, rows = e.option("of"), e.option("n"), e.option("rows")
    per, order, flags = e.option("per"), e.option("order"), e.option("descending")
    assert isinstance(per, tuple)
    assert isinstance(order, tuple)
    assert isinstance(flags, tuple)
    sorting = [f"order={columns_text(order)}"] if order else []
    down = ["descending=True"] if flags and all(flags) else [f"descending={list(flags)}"] if any(flags) else []
    last = [] if rows is None else [f"rows={rows}"]
    if not isinstance(of, str):
        return f"{of!r}.over({', '.join([*map(column_text, per), *sorting, *down, *last])})"
    number = [str(n)] if n is not None and (of == "ntile" or str(n) != "1") else []
    among = [f"per={columns_text(per)}"] if per and of != "share" else [*map(column_text, per)]
    return f"{_in(_ATOM, e.args[0])}.{of}({', '.join([*number, *sorting, *among, *down, *last])})"


def column_text(e: Node) -> str:
    """The text of an expression where a name is a column."""
    name = e.option("name")
    return quoted(name) if e.fn == "col" and isinstance(name, str) else operand(e)


def columns_text(columns: tuple[Node, ...]) -> str:
    """The text of one such expression, or of a list of them."""
    return column_text(columns[0]) if len(columns) == 1 else f"[{', '.join(map(column_text, columns))}]"


def options_of(e: Node) -> list[str]:
    """The texts of the options that differ from their defaults."""
    if e.fn == "is_in":
        values = e.option("values")
        if isinstance(values, Node):
            return [operand(values)]
        assert isinstance(values, tuple)
        return [f"[{', '.join(value_text(e.option('type'), v) for v in values)}]"]
    first = _POSITIONAL.get(e.fn)
    given = [(n, v) for n, v in e.options if not is_usual(n, v)]
    out = [option_text(n, v) for n, v in given if n == first]
    return out + [f"{n}={option_text(n, v)}" for n, v in given if n != first]


def is_usual(name: str, value: object) -> bool:
    """Whether an option has its default value."""
    return name in _USUAL and not isinstance(value, Node) and _USUAL[name] == value


def option_text(name: str, value: object) -> str:
    """The text of the value of an option."""
    lengths = ("hold", "gap", "within", "timeout", "tolerance", "per", "half_life")
    if (name in lengths and isinstance(value, int)) or isinstance(value, WrittenLength):
        return quoted(written_duration(value))
    if isinstance(value, Node):
        return operand(value)
    if isinstance(value, tuple):
        return f"[{', '.join(option_text('', v) for v in value)}]"
    return value_text("", value)
