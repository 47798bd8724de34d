"""Parameters: in expressions, and in place of constants that are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from dataflow.expressions.expr import Expr, expr
from dataflow.values.constants import Literal
from dataflow.values.mistaken import listed_values, shown, without_call
from dataflow.values.settings import Setting
from operators.errors import DataflowError


@dataclass(frozen=True, eq=False, repr=False)
class ParameterExpr(Expr, Setting):
    """A parameter: an expression, or a setting of a step or function."""

    @property
    def name(self) -> str:
        """See Setting."""
        return str(self.option("name"))

    def checked_name(self, read: Callable[[Any], object]) -> Self:
        """See Setting."""
        if self.option("choices") is None:
            raise DataflowError(f"col: the parameter {self.name!r} needs choices=, the columns that it may name")
        return self.checked(read)

    def checked(self, read: Callable[[Any], object]) -> Self:
        """See Setting."""
        default, choices = self.option("default"), self.option("choices")
        for value in (*(() if default is None else (default,)), *(choices if isinstance(choices, tuple) else ())):
            kind = self.option("type")
            read(timedelta(microseconds=value) if kind == "duration" and isinstance(value, int) else value)
        return self


def param(
    name: str, default: Literal | Sequence[Literal] = None, choices: Sequence[Literal] | None = None
) -> ParameterExpr:
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
        values = tuple(expr(v).option("value") for v in default)
        if any(not isinstance(v, bool | int | float | str) for v in values):
            raise DataflowError(f"the default of param {name!r} is a list of constants, got {shown(default)}")
        return ParameterExpr("param", (), (("default", values), ("name", name), ("type", "list")))
    value = expr(default)  # type: ignore[arg-type]
    if value.fn != "lit":
        raise DataflowError(f"the default of param {name!r} must be a constant")
    kind = value.option("type")
    if listed is None:
        return ParameterExpr("param", (), (("default", value.option("value")), ("name", name), ("type", kind)))
    kinds = {e.option("type") for e in listed}
    if len(kinds) > 1 or (kind != "null" and kinds != {kind}):
        raise DataflowError(f"param {name!r}: choices and default are of one type, got {', '.join(map(str, kinds))}")
    found = tuple(e.option("value") for e in listed)
    if kind != "null" and value.option("value") not in found:
        raise DataflowError(f"param {name!r}: the default {shown(default)} is none of its choices")
    return ParameterExpr(
        "param", (), (("choices", found), ("default", value.option("value")), ("name", name), ("type", kinds.pop()))
    )
