"""Expressions and aggregates as JSON-ready objects."""

from __future__ import annotations

import math
from typing import Any

from dataflow.expressions.aggregate_calls import WINDOWED, Agg, Named, NamedAggs, agg_in
from dataflow.expressions.expr import Expr
from dataflow.json.errors import JsonFormError


def expr_out(e: Expr) -> dict[str, Any]:
    """An expression."""
    options = dict(e.options)
    if e.fn == "col":
        name = options["name"]
        return {"col": expr_out(name) if isinstance(name, Expr) else name}
    if e.fn == "lit":
        return {"lit": _number_out(options["value"]), "type": options["type"]}
    if e.fn == "param":
        found = {"param": options["name"], "default": option_out(options["default"]), "type": options["type"]}
        return found | ({"choices": option_out(options["choices"])} if "choices" in options else {})
    if e.fn == "over":
        return _over_out(options, e)
    if e.fn in WINDOWED:
        return {
            "fn": e.fn,
            "agg": agg_out(agg_in(e)),
            "length": option_out(options["length"]),
            "rows": option_out(options["rows"]),
            **({"offset": option_out(options["offset"])} if "offset" in options else {}),
        }
    out: dict[str, Any] = {"fn": e.fn, "args": [expr_out(a) for a in e.args]}
    for name, value in options.items():
        out[name] = option_out(value)
    return out


def option_out(value: object) -> object:
    """An option: a constant, a list of constants, or a parameter."""
    if isinstance(value, Expr):
        return expr_out(value)
    return [_number_out(v) for v in value] if isinstance(value, tuple) else _number_out(value)


def _over_out(options: dict[str, Any], e: Expr) -> dict[str, Any]:
    """A function of other rows of a table; what it does not have is not written."""
    of = options["of"]
    found = {
        "args": [expr_out(a) for a in e.args],
        "n": option_out(options["n"]),
        "per": [expr_out(c) for c in options["per"]],
        "order": [expr_out(c) for c in options["order"]],
        "descending": list(options["descending"]) if any(options["descending"]) else [],
        "rows": option_out(options["rows"]),
    }
    given = {name: value for name, value in found.items() if value not in (None, [])}
    return {"over": agg_out(of) if isinstance(of, Agg) else of, **given}


def _number_out(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonFormError(f"the constant {value} has no JSON form; use a finite number")
    return value


def agg_out(a: Agg) -> dict[str, Any]:
    """An aggregate."""
    where = None if a.where is None else expr_out(a.where)
    options = {name: option_out(value) for name, value in a.options}
    return {"fn": a.fn, "args": [expr_out(e) for e in a.args], "where": where, **options}


def named_out(named: Named) -> list[dict[str, Any]]:
    """Named expressions."""
    return [{"name": n, "expr": expr_out(e)} for n, e in named]


def aggs_out(aggs: NamedAggs) -> list[dict[str, Any]]:
    """Named aggregates."""
    return [{"name": n, "agg": agg_out(a)} for n, a in aggs]
