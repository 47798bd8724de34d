"""Reads expressions and aggregates from JSON-ready objects; errors name the place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dataflow.expressions.aggregate_calls import (
    WINDOWED,
    Agg,
    Named,
    NamedAggs,
    distinct_names,
    windowed,
)
from dataflow.expressions.aggregate_signatures import options_of, signature_of
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import CASTS, FUNCTIONS
from dataflow.expressions.over_calls import RANKS, over_options, what_is_wrong
from dataflow.expressions.scan_calls import scan_call
from dataflow.expressions.text_patterns import pattern_of
from dataflow.expressions.whole_options import is_whole, whole_option
from dataflow.json.errors import JsonFormError, short
from dataflow.times.durations import parse_every, parse_offset
from dataflow.typed.decimals import ROUNDINGS
from dataflow.values.mistaken import whole_text
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import DECIMALS

MAX_NODES, MAX_DEPTH = 1000, 32
"""Limits on the expressions of a metric."""

_KINDS = ("bool", "int64", "float64", "string", "time", "duration", "null", *DECIMALS)


def check_distinct(names: Sequence[str], where: str) -> None:
    """JsonFormError if a name occurs twice."""
    if (twice := distinct_names(names)) is not None:
        raise JsonFormError(f"{where}: the name {twice!r} is given twice")


def _whole_option(fn: str, name: str, value: object, where: str) -> object:
    try:
        return whole_option(fn, name, value)
    except DataflowError as error:
        raise JsonFormError(f"{where}: {error}") from None


def _pattern(value: object, where: str) -> str:
    try:
        return pattern_of(value)
    except DataflowError as error:
        raise JsonFormError(f"{where}: {error}") from None


def _check_offset(value: object, where: str) -> None:
    try:
        parse_offset(value, where)  # type: ignore[arg-type]
    except DataflowError as error:
        raise JsonFormError(str(error)) from None


class Reader:
    """Reads one metric, counting its nodes."""

    def __init__(self) -> None:
        self._nodes = 0
        self._nested = 0

    def fields(
        self, value: object, where: str, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        """The fields of an object; JsonFormError for unknown and missing ones."""
        if not isinstance(value, dict):
            raise JsonFormError(f"{where}: expected an object, got {short(value)}")
        known = [*names, *optional]
        if unknown := sorted(set(value) - set(known)):
            raise JsonFormError(
                f"{where}: unknown field {unknown[0]!r}; {meant(unknown[0], known, 'known')} are {', '.join(known)}"
            )
        if missing := [n for n in names if n not in value]:
            raise JsonFormError(f"{where}: the field {missing[0]!r} is missing")
        return value

    def text(self, value: object, where: str) -> str:
        """A string that is not empty."""
        if not isinstance(value, str) or not value:
            raise JsonFormError(f"{where}: expected a text, got {short(value)}")
        try:
            return whole_text(value)
        except DataflowError as error:
            raise JsonFormError(f"{where}: {error}") from None

    def micros(self, value: object, where: str, *, optional: bool = False) -> int | None:
        """Positive microseconds."""
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**62:
            raise JsonFormError(f"{where}: expected positive microseconds, got {short(value)}")
        return value

    def whole(self, value: object, where: str, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise JsonFormError(f"{where}: expected {low} to {high:,}, got {short(value)}")
        return value

    def rows(self, value: object, where: str) -> list[Any]:
        """A list."""
        if not isinstance(value, list):
            raise JsonFormError(f"{where}: expected a list, got {short(value)}")
        return value

    def constant(self, value: object, kind: object, where: str) -> object:
        """A constant of a type."""
        if kind not in _KINDS:
            raise JsonFormError(f"{where}: unknown type {short(kind)}; known are {', '.join(_KINDS)}")
        if kind == "float64" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        integer = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        good = {
            "bool": isinstance(value, bool),
            "int64": integer,
            "time": integer,
            "duration": integer,
            "float64": isinstance(value, float) and math.isfinite(value),
            "string": isinstance(value, str),
            "null": value is None,
        }.get(str(kind), integer)  # a decimal is given in units
        if not good:
            raise JsonFormError(f"{where}: {short(value)} is not a constant of type {kind}")
        return value

    def count(self, nodes: int, where: str, depth: int = 0) -> None:
        """Count nodes and check the limits."""
        self._nodes += nodes
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise JsonFormError(f"{where}: more than {MAX_NODES} nodes or deeper than {MAX_DEPTH}")

    @contextmanager
    def inside(self, where: str, most: int) -> Iterator[None]:
        """Reads a metric inside another; JsonFormError if that is deeper than ``most``."""
        self._nested += 1
        if self._nested > most:
            raise JsonFormError(f"{where}: metrics are inside each other at most {most} deep")
        yield
        self._nested -= 1

    def expr(self, value: object, where: str, depth: int = 0) -> Expr:
        """An expression."""
        self.count(1, where, depth)
        if not isinstance(value, dict):
            raise JsonFormError(f"{where}: expected an expression object, got {short(value)}")
        if "col" in value:
            name = self.fields(value, where, ["col"])["col"]
            parameter = self.setting(name, where)
            return Expr("col", (), (("name", self.text(name, where) if parameter is None else parameter),))
        if "lit" in value:
            d = self.fields(value, where, ["lit", "type"])
            return Expr("lit", (), (("type", d["type"]), ("value", self.constant(d["lit"], d["type"], where))))
        if "param" in value:
            return self.parameter(value, where)
        if "over" in value:
            return self._over(value, where, depth)
        fn = value.get("fn")
        if fn in WINDOWED:
            return self._windowed(fn, value, where, depth)
        spec = FUNCTIONS.get(fn) if isinstance(fn, str) else None
        if spec is None:
            raise JsonFormError(
                f"{where}: unknown function {short(fn)}; {meant(fn, FUNCTIONS, 'known')} are {', '.join(FUNCTIONS)}"
            )
        d = self.fields(value, where, ["fn", "args", *spec.options], list(spec.defaults))
        args = self.rows(d["args"], f"{where}.args")
        if fn == "scan":
            return self._scan(d, args, where, depth)
        most = len(args) if spec.any_number else spec.arity + len(spec.more)
        if not spec.arity <= len(args) <= most:
            raise JsonFormError(
                f"{where}: {fn} takes {spec.arity} arguments{' or more' * spec.any_number}, got {len(args)}"
            )
        options: list[tuple[str, object]] = []
        for name in sorted([*spec.options, *(n for n in spec.defaults if n in d)]):
            option = d[name]
            here = f"{where}.{name}"
            if (parameter := self.setting(option, here)) is not None:
                option = parameter
            elif name == "count" and option is None:
                pass
            elif is_whole(str(fn), name):
                option = _whole_option(str(fn), name, option, here)
            elif name == "by":
                _check_offset(option, here)
            elif fn == "extract":
                option = _pattern(option, here)
            elif name == "half_life":
                option = self.micros(option, here)
            elif name == "hold":
                option = self.micros(option, here, optional=True)
            elif name == "every":
                parse_every(self.text(option, here), here)
            elif name == "type" and fn in ("cast", "try_cast"):
                if option not in CASTS:
                    raise JsonFormError(f"{here}: expected one of {', '.join(CASTS)}, got {short(option)}")
            elif name == "rounding":
                if option not in ROUNDINGS:
                    raise JsonFormError(f"{here}: expected one of {', '.join(ROUNDINGS)}, got {short(option)}")
            elif name == "values":
                option = tuple(self.constant(v, d["type"], here) for v in self.rows(option, here))
            elif not isinstance(option, str):
                raise JsonFormError(f"{here}: expected a text, got {short(option)}")
            options.append((name, option))
        inner = tuple(self.expr(a, f"{where}.args[{i}]", depth + 1) for i, a in enumerate(args))
        return Expr(str(fn), inner, tuple(options))

    def parameter(self, value: object, where: str) -> Expr:
        """A parameter."""
        d = self.fields(value, where, ["param", "default", "type"], ["choices"])
        kind, name, options = d["type"], self.text(d["param"], where), []
        if "choices" in d:
            found = self.rows(d["choices"], f"{where}.choices")
            options.append(("choices", tuple(self.constant(c, kind, f"{where}.choices") for c in found)))
        if kind == "list":
            default: object = tuple(self.rows(d["default"], f"{where}.default"))
        else:
            default = None if d["default"] is None else self.constant(d["default"], kind, where)
        return Expr("param", (), (*options, ("default", default), ("name", name), ("type", kind)))

    def setting(self, value: object, where: str) -> Expr | None:
        """The parameter that stands in place of a constant; None if it is none."""
        return self.parameter(value, where) if isinstance(value, dict) and "param" in value else None

    def _over(self, value: object, where: str, depth: int) -> Expr:
        """A function of other rows of a table."""
        d = self.fields(value, where, ["over"], ["args", "n", "per", "order", "descending", "rows"])
        listed = {
            name: tuple(
                self.expr(c, f"{where}.{name}[{i}]", depth + 1)
                for i, c in enumerate(self.rows(d.get(name, []), f"{where}.{name}"))
            )
            for name in ("args", "per", "order")
        }
        of = d["over"] if isinstance(d["over"], str) else self.agg(d["over"], f"{where}.over", depth + 1)
        args = listed.pop("args")
        n = 1 if isinstance(of, str) and of in RANKS else len(listed["order"])
        flags = tuple(self.rows(d.get("descending", [False] * n), f"{where}.descending"))
        settings = {name: self.setting(d.get(name), f"{where}.{name}") for name in ("n", "rows")}
        numbers = {name: d.get(name) if setting is None else setting for name, setting in settings.items()}
        options = over_options(of, **listed, descending=flags, **numbers)
        if (wrong := what_is_wrong(args, dict(options))) is not None:
            raise JsonFormError(f"{where}: {wrong}")
        return Expr("over", args, options)

    def _scan(self, d: Mapping[str, Any], args: Sequence[Any], where: str, depth: int) -> Expr:
        """A registered scan."""
        inner = [self.expr(a, f"{where}.args[{i}]", depth + 1) for i, a in enumerate(args)]
        try:
            return scan_call(self.text(d["name"], f"{where}.name"), inner)
        except DataflowError as error:
            raise JsonFormError(f"{where}: {error}") from None

    def _windowed(self, fn: str, value: Mapping[str, Any], where: str, depth: int) -> Expr:
        """An aggregate over trailing or leading windows."""
        d = self.fields(value, where, ["fn", "agg", "length", "rows"], ["offset"])
        if (d["length"] is None) == (d["rows"] is None):
            raise JsonFormError(f"{where}: expected a length or a number of rows, the other null")
        if d["length"] is None and "offset" in d:
            raise JsonFormError(f"{where}.offset: expected a length, too")
        length = None if d["length"] is None else self._length(d["length"], f"{where}.length")
        offset = self._length(d["offset"], f"{where}.offset") if "offset" in d else None
        rows: Any = self.setting(d["rows"], f"{where}.rows")
        if rows is None and d["rows"] is not None:
            rows = _whole_option(fn, "rows", d["rows"], f"{where}.rows")
        return windowed(fn, self.agg(d["agg"], f"{where}.agg", depth + 1), length, rows, offset)

    def _length(self, value: object, where: str) -> Any:
        parameter = self.setting(value, where)
        return self.micros(value, where) if parameter is None else parameter

    def agg(self, value: object, where: str, depth: int = 0) -> Agg:
        """An aggregate."""
        self.count(1, where, depth)
        fn = value.get("fn") if isinstance(value, dict) else None
        form = signature_of(fn)
        if form is None and isinstance(value, dict) and "fn" in value:
            raise JsonFormError(
                f"{where}: unknown aggregate {short(fn)}; {meant(fn, SIGNATURES, 'a')}"
                " custom aggregate must be registered first: df.register(...)"
            )
        options = () if form is None else form.options
        names = [o.name for o in options if o.default is None]
        optional = [o.name for o in options if o.default is not None]
        d = self.fields(value, where, ["fn", "args", "where", *names], optional)
        assert form is not None
        args = self.rows(d["args"], f"{where}.args")
        if len(args) not in form.arity:
            raise JsonFormError(f"{where}: {d['fn']} does not take {len(args)} arguments")
        condition = None if d["where"] is None else self.expr(d["where"], f"{where}.where", depth)
        try:
            settings = {n: self.setting(v, f"{where}.{n}") for n, v in d.items() if n not in ("args", "where")}
            chosen: dict[str, object] = {**d, **{n: p for n, p in settings.items() if p is not None}}
            given = options_of(d["fn"], form, chosen, where)
        except DataflowError as error:
            raise JsonFormError(str(error)) from None
        inner = tuple(self.expr(a, f"{where}.args[{i}]", depth) for i, a in enumerate(args))
        return Agg(d["fn"], inner, condition, given)

    def named(self, value: object, where: str) -> Named:
        """Named expressions."""
        out = []
        for i, item in enumerate(self.rows(value, where)):
            d = self.fields(item, f"{where}[{i}]", ["name", "expr"])
            out.append((self.text(d["name"], f"{where}[{i}].name"), self.expr(d["expr"], f"{where}[{i}].expr")))
        check_distinct([n for n, _ in out], where)
        return tuple(out)

    def aggs(self, value: object, where: str) -> NamedAggs:
        """Named aggregates."""
        out = []
        for i, item in enumerate(self.rows(value, where)):
            d = self.fields(item, f"{where}[{i}]", ["name", "agg"])
            out.append((self.text(d["name"], f"{where}[{i}].name"), self.agg(d["agg"], f"{where}[{i}].agg")))
        check_distinct([n for n, _ in out], where)
        return tuple(out)
