"""Typed expressions as DSL text, for messages."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.expressions.functions import FUNCTIONS
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.nodes import Typed, column_name
from operators.aggregates.json_values import from_bits
from operators.types import Type

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "and": "&", "or": "|",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_PREFIX = {"neg": "-", "not": "~"}
_INNER = ("read", "bin", "decimal_float", "increase", "before", "elapsed", "in_years")
"""Functions that binding introduces, as DSL text."""

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}
_LONGEST = 200


def described(e: Typed) -> str:
    """The text of an expression, truncated if it is long."""
    text = _text(e)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def described_uses(aggs: Sequence[BoundAgg]) -> dict[str, str]:
    """The aggregates as text, by the expressions that only aggregates introduce: bins of histograms, increments of
    counters."""
    out: dict[str, str] = {}
    for a in aggs:
        for e in (a.argument, a.other):
            if e is not None and e.fn in ("bin", "increase"):
                options = "".join(f", {n}={v!r}" for n, v in e.options)
                out[repr(e)] = f"{a.name} = {a.aggregate.name}({described(e)}{options})"
    return out


def _text(e: Typed, within: bool = False) -> str:
    if e.fn in ("in", "merged", "as_of"):
        return column_name(e).removeprefix("$")
    if e.fn == "lit":
        return _constant(e.type, e.option("value"))
    if e.fn in ("time", "begin", "now", "end", "slot"):
        return {"end": "end", "slot": "key"}.get(e.fn, "time()")
    if e.fn in ("affix", "joined"):
        parts = [repr(e.option("prefix")), _text(e.args[0], True), repr(e.option("suffix"))] if e.fn == "affix" else []
        return " + ".join(p for p in (parts or [_text(a, True) for a in e.args]) if p != "''")
    if e.fn in _INNER:
        return _text(e.args[0], within)
    if e.fn in _INFIX:
        text = f" {_INFIX[e.fn]} ".join(_text(a, True) for a in e.args)
        return f"({text})" if within else text
    if e.fn in _PREFIX:
        return _PREFIX[e.fn] + _text(e.args[0], True)
    if e.fn == "when":
        c, a, b = map(_text, e.args)
        return f"when({c}).then({a}).otherwise({b})"
    if e.fn in FUNCTIONS and FUNCTIONS[e.fn].of_df:
        return f"{e.fn}({', '.join(map(_text, e.args))})"
    given = [_text(a) for a in e.args[1:]] + [repr(v) for _, v in e.options if isinstance(v, str | int | float)]
    first = f"{_text(e.args[0], True)}." if e.args else ""
    return f"{first}{e.fn}({', '.join(given)})"


def _constant(kind: Type | None, value: object) -> str:
    if kind is Type.DURATION and isinstance(value, int):
        unit = next(u for u, size in _UNITS.items() if value % size == 0)
        return f"'{value // _UNITS[unit]}{unit}'"
    if kind is not None and (kind is Type.TIME or kind.places is not None) and isinstance(value, int):
        return str(from_bits(kind, value, []))
    return repr(value)
