"""Expressions and aggregates as JSON-ready objects."""

from __future__ import annotations

import math
from typing import Any

from dataflow.expressions.aggregate_calls import Agg, Named, NamedAggs, agg_in
from dataflow.expressions.expr import Expr
from dataflow.json.errors import JsonFormError


def expr_out(e: Expr) -> dict[str, Any]:
    """An expression."""
    options = dict(e.options)
    if e.fn == "col":
        return {"col": options["name"]}
    if e.fn == "lit":
        return {"lit": _number_out(options["value"]), "type": options["type"]}
    if e.fn == "param":
        return {"param": options["name"], "default": _number_out(options["default"]), "type": options["type"]}
    if e.fn == "trailing":
        return {"fn": e.fn, "agg": agg_out(agg_in(e)), "length": options["length"], "rows": options["rows"]}
    out: dict[str, Any] = {"fn": e.fn, "args": [expr_out(a) for a in e.args]}
    for name, value in options.items():
        out[name] = [_number_out(v) for v in value] if isinstance(value, tuple) else value
    return out


def _number_out(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonFormError(f"the constant {value} has no JSON form; use a finite number")
    return value


def agg_out(a: Agg) -> dict[str, Any]:
    """An aggregate."""
    where = None if a.where is None else expr_out(a.where)
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in a.options}
    return {"fn": a.fn, "args": [expr_out(e) for e in a.args], "where": where, **options}


def named_out(named: Named) -> list[dict[str, Any]]:
    """Named expressions."""
    return [{"name": n, "expr": expr_out(e)} for n, e in named]


def aggs_out(aggs: NamedAggs) -> list[dict[str, Any]]:
    """Named aggregates."""
    return [{"name": n, "agg": agg_out(a)} for n, a in aggs]
