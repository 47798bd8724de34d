"""Parameters: in expressions, and in place of constants that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from dataflow.expressions.expr import Expr, expr
from dataflow.times.durations import as_text
from dataflow.values.constants import Literal
from dataflow.values.mistaken import listed_values, shown, without_call
from operators.errors import DataflowError


def param(name: str, default: Literal | Sequence[Literal] = None, choices: Sequence[Literal] | None = None) -> Expr:
    """A parameter, given when the metric is run; required without a default. Its type is that of the default.

    It stands in an expression, or wherever a step or function takes a constant: ``hold``, ``gap``, ``within``,
    ``every``, ``size``, a zone, the list of ``is_in`` (with a list as the default), the number of ``limit``. With
    ``choices`` it takes only these; with choices it may also name a column: ``df.col(df.param("by", choices=[...]))``.
    """
    if not isinstance(name, str) or not name or name.startswith("$"):
        raise DataflowError(without_call(name) or f"param takes a name, got {shown(name)}")
    listed = None if choices is None else [expr(c) for c in listed_values(choices, "param: choices= is a list")]
    if listed is not None and (not listed or any(e.fn != "lit" or e.option("value") is None for e in listed)):
        raise DataflowError(f"param {name!r}: choices are constants, at least one")
    if isinstance(default, list | tuple):
        if listed is not None:
            raise DataflowError(f"param {name!r}: a list has no choices")
        values = tuple(expr(_as_text(v, name)).option("value") for v in default)
        if any(not isinstance(v, bool | int | float | str) for v in values):
            raise DataflowError(f"the default of param {name!r} is a list of constants, got {shown(default)}")
        return Expr("param", (), (("default", values), ("name", name), ("type", "list")))
    value = expr(default)  # type: ignore[arg-type]
    if value.fn != "lit":
        raise DataflowError(f"the default of param {name!r} must be a constant")
    kind = value.option("type")
    if listed is None:
        return Expr("param", (), (("default", value.option("value")), ("name", name), ("type", kind)))
    kinds = {e.option("type") for e in listed}
    if len(kinds) > 1 or (kind != "null" and kinds != {kind}):
        raise DataflowError(f"param {name!r}: choices and default are of one type, got {', '.join(map(str, kinds))}")
    found = tuple(e.option("value") for e in listed)
    if kind != "null" and value.option("value") not in found:
        raise DataflowError(f"param {name!r}: the default {shown(default)} is none of its choices")
    return Expr(
        "param", (), (("choices", found), ("default", value.option("value")), ("name", name), ("type", kinds.pop()))
    )


def _as_text(value: Literal, name: str) -> Literal:
    """A time or duration in a list as its text: a list has no type of its own."""
    try:
        return cast(Literal, as_text(value))
    except ValueError:
        raise DataflowError(
            f"param {name!r}: a list has no durations that are not positive, got {shown(value)}"
        ) from None
