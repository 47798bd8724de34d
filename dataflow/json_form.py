"""The canonical JSON form of a graph: versioned, closed, bounded; no field is ignored and none is guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dataflow import graph as g
from dataflow.aggregate_forms import FORMS, form_of, options_of
from dataflow.decimals import ROUNDINGS
from dataflow.durations import parse_every
from dataflow.expr import Expr
from dataflow.functions import FUNCTIONS
from dataflow.json_errors import JsonFormError
from dataflow.json_errors import short as _short
from dataflow.json_timelines import FIELDS, check_tables, step_in, step_out
from dataflow.reference import MAX_TABLE_BYTES
from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import MAX_PLACES

VERSION = 1
_KINDS = ("bool", "int64", "float64", "string", "time", "duration", "null")


# ---- writing


def _expr_out(e: Expr) -> dict[str, Any]:
    options = dict(e.options)
    if e.fn == "col":
        return {"col": options["name"]}
    if e.fn == "lit":
        return {"lit": _number_out(options["value"]), "type": options["type"]}
    if e.fn == "param":
        return {"param": options["name"], "default": _number_out(options["default"]), "type": options["type"]}
    out: dict[str, Any] = {"fn": e.fn, "args": [_expr_out(a) for a in e.args]}
    for name, value in options.items():
        out[name] = [_number_out(v) for v in value] if isinstance(value, tuple) else value
    return out


def _number_out(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonFormError(f"the constant {value} has no JSON form; use a finite number")
    return value


def _agg_out(a: g.Agg) -> dict[str, Any]:
    where = None if a.where is None else _expr_out(a.where)
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in a.options}
    return {"fn": a.fn, "args": [_expr_out(e) for e in a.args], "where": where, **options}


def _named_out(named: g.Named) -> list[dict[str, Any]]:
    return [{"name": n, "expr": _expr_out(e)} for n, e in named]


def _aggs_out(aggs: g.NamedAggs) -> list[dict[str, Any]]:
    return [{"name": n, "agg": _agg_out(a)} for n, a in aggs]


def _step_out(step: g.Step) -> dict[str, Any]:
    match step:
        case g.Source(name):
            body: dict[str, Any] = {"name": name}
        case g.Filter(where):
            body = {"where": _expr_out(where)}
        case g.Held():
            body = {"columns": list(step.names), "hold": step.hold}
        case g.WithColumns(columns) | g.Select(columns):
            body = {"columns": _named_out(columns)}
        case g.StateDuration(state, name, hold):
            body = {"state": _expr_out(state), "name": name, "hold": hold}
        case g.Heartbeat(timeout):
            body = {"timeout": timeout}
        case g.Sessionize(gap, max_length, aggs, split):
            body = {"gap": gap, "max_length": max_length, "aggs": _aggs_out(aggs)}
            if split is not None:
                body["split_when"] = _expr_out(split)
        case g.Window(every, zone, aggs, size, empty):
            body = {"every": every, "zone": zone, "aggs": _aggs_out(aggs)}
            body |= ({"size": size} if size > 1 else {}) | ({"empty": True} if empty else {})
        case g.Funnel(steps, within, mode):
            body = {"steps": [_expr_out(e) for e in steps], "within": within, "mode": mode}
        case g.Cohorts(start, returns, every, zone):
            body = {"start": _expr_out(start), "returns": _expr_out(returns), "every": every, "zone": zone}
        case g.Transitions(of, gap):
            body = {"of": _expr_out(of), "gap": gap}
        case g.GroupBy(by, aggs, empty):
            body = {"by": _named_out(by), "aggs": _aggs_out(aggs), **({"empty": True} if empty else {})}
        case g.Sort(keys):
            body = {"by": [{"column": c, "descending": d} for c, d in keys]}
        case g.Limit(n):
            body = {"n": n}
        case g.Timeline() | g.Join() | g.During() | g.Concurrent():
            body = step_out(step, _expr_out, _step_out)
    return {"op": g.OPS[type(step)], **body}


def to_dict(steps: Sequence[g.Step]) -> dict[str, Any]:
    """The graph as JSON-ready objects."""
    return {"antfold": VERSION, "steps": [_step_out(s) for s in steps]}


def to_json(steps: Sequence[g.Step]) -> str:
    """Canonical text: sorted keys, no spaces; equal graphs give equal text."""
    text = json.dumps(to_dict(steps), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if len(text.encode()) - check_tables(steps) > g.MAX_BYTES:
        raise JsonFormError(f"the metric's JSON form is over {g.MAX_BYTES} bytes; shorten its lists of constants")
    return text


# ---- reading


_OPTIONAL = {"sessionize": ("split_when",), "window": ("size", "empty"), "group_by": ("empty",)}
"""Fields that are written only where they say something."""


class _Reader:
    """Reads one graph, counting nodes as it goes."""

    def __init__(self) -> None:
        self._nodes = 0

    def fields(
        self, value: object, where: str, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise JsonFormError(f"{where}: expected an object, got {_short(value)}")
        known = [*names, *optional]
        if unknown := sorted(set(value) - set(known)):
            raise JsonFormError(
                f"{where}: unknown field {unknown[0]!r}; {meant(unknown[0], known, 'known')} are {', '.join(known)}"
            )
        if missing := [n for n in names if n not in value]:
            raise JsonFormError(f"{where}: the field {missing[0]!r} is missing")
        return value

    def text(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise JsonFormError(f"{where}: expected a text, got {_short(value)}")
        return value

    def micros(self, value: object, where: str, *, optional: bool = False) -> int | None:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**62:
            raise JsonFormError(f"{where}: expected positive microseconds, got {_short(value)}")
        return value

    def whole(self, value: object, where: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise JsonFormError(f"{where}: expected {low} to {high:,}, got {_short(value)}")
        return value

    def said(self, d: Mapping[str, Any], name: str, where: str) -> bool:
        if d.get(name, True) is not True:
            raise JsonFormError(f"{where}.{name}: expected true, or no such field")
        return name in d

    def rows(self, value: object, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise JsonFormError(f"{where}: expected a list, got {_short(value)}")
        return value

    def constant(self, value: object, kind: object, where: str) -> object:
        if kind not in _KINDS:
            raise JsonFormError(f"{where}: unknown type {_short(kind)}; known are {', '.join(_KINDS)}")
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
        }[str(kind)]
        if not good:
            raise JsonFormError(f"{where}: {_short(value)} is not a constant of type {kind}")
        return value

    def count(self, nodes: int, where: str, depth: int = 0) -> None:
        self._nodes += nodes
        if self._nodes > g.MAX_NODES or depth > g.MAX_DEPTH:
            raise JsonFormError(f"{where}: more than {g.MAX_NODES} nodes or deeper than {g.MAX_DEPTH}")

    def expr(self, value: object, where: str, depth: int = 0) -> Expr:
        self.count(1, where, depth)
        if not isinstance(value, dict):
            raise JsonFormError(f"{where}: expected an expression object, got {_short(value)}")
        if "col" in value:
            return Expr("col", (), (("name", self.text(self.fields(value, where, ["col"])["col"], where)),))
        if "lit" in value:
            d = self.fields(value, where, ["lit", "type"])
            return Expr("lit", (), (("type", d["type"]), ("value", self.constant(d["lit"], d["type"], where))))
        if "param" in value:
            d = self.fields(value, where, ["param", "default", "type"])
            default = self.constant(d["default"], d["type"], where)
            return Expr(
                "param", (), (("default", default), ("name", self.text(d["param"], where)), ("type", d["type"]))
            )
        fn = value.get("fn")
        spec = FUNCTIONS.get(fn) if isinstance(fn, str) else None
        if spec is None:
            raise JsonFormError(
                f"{where}: unknown function {_short(fn)}; {meant(fn, FUNCTIONS, 'known')} are {', '.join(FUNCTIONS)}"
            )
        d = self.fields(value, where, ["fn", "args", *spec.options])
        args = self.rows(d["args"], f"{where}.args")
        if len(args) != spec.arity:
            raise JsonFormError(f"{where}: {fn} takes {spec.arity} arguments, got {len(args)}")
        options: list[tuple[str, object]] = []
        for name in sorted(spec.options):
            option = d[name]
            here = f"{where}.{name}"
            if name == "hold":
                option = self.micros(option, here, optional=True)
            elif name == "every":
                parse_every(self.text(option, here), here)
            elif name == "places":
                if isinstance(option, bool) or not isinstance(option, int) or not 0 <= option <= MAX_PLACES:
                    raise JsonFormError(f"{here}: expected 0 to {MAX_PLACES} places, got {_short(option)}")
            elif name == "rounding":
                if option not in ROUNDINGS:
                    raise JsonFormError(f"{here}: expected one of {', '.join(ROUNDINGS)}, got {_short(option)}")
            elif name == "values":
                option = tuple(self.constant(v, d["type"], here) for v in self.rows(option, here))
            elif not isinstance(option, str):
                raise JsonFormError(f"{here}: expected a text, got {_short(option)}")
            options.append((name, option))
        inner = tuple(self.expr(a, f"{where}.args[{i}]", depth + 1) for i, a in enumerate(args))
        return Expr(str(fn), inner, tuple(options))

    def agg(self, value: object, where: str) -> g.Agg:
        self._nodes += 1
        fn = value.get("fn") if isinstance(value, dict) else None
        form = form_of(fn)
        if form is None and isinstance(value, dict) and "fn" in value:
            raise JsonFormError(
                f"{where}: unknown aggregate {_short(fn)}; {meant(fn, FORMS, 'one')}"
                " of your own must be registered before: df.register(...)"
            )
        options = () if form is None else form.options
        names = [o.name for o in options if o.default is None]
        optional = [o.name for o in options if o.default is not None]
        d = self.fields(value, where, ["fn", "args", "where", *names], optional)
        assert form is not None
        args = self.rows(d["args"], f"{where}.args")
        if len(args) not in form.arity:
            raise JsonFormError(f"{where}: {d['fn']} does not take {len(args)} arguments")
        condition = None if d["where"] is None else self.expr(d["where"], f"{where}.where")
        try:
            given = options_of(d["fn"], form, d, where)
        except DataflowError as error:
            raise JsonFormError(str(error)) from None
        inner = tuple(self.expr(a, f"{where}.args[{i}]") for i, a in enumerate(args))
        return g.Agg(d["fn"], inner, condition, given)

    def named(self, value: object, where: str) -> g.Named:
        out = []
        for i, item in enumerate(self.rows(value, where)):
            d = self.fields(item, f"{where}[{i}]", ["name", "expr"])
            out.append((self.text(d["name"], f"{where}[{i}].name"), self.expr(d["expr"], f"{where}[{i}].expr")))
        _distinct([n for n, _ in out], where)
        return tuple(out)

    def aggs(self, value: object, where: str) -> g.NamedAggs:
        out = []
        for i, item in enumerate(self.rows(value, where)):
            d = self.fields(item, f"{where}[{i}]", ["name", "agg"])
            out.append((self.text(d["name"], f"{where}[{i}].name"), self.agg(d["agg"], f"{where}[{i}].agg")))
        _distinct([n for n, _ in out], where)
        return tuple(out)

    def step(self, value: object, where: str) -> g.Step:
        op = value.get("op") if isinstance(value, dict) else None
        fields = {
            "stream": ["name"],
            "filter": ["where"],
            "with_columns": ["columns"],
            "held": ["columns", "hold"],
            "select": ["columns"],
            "state_duration": ["state", "name", "hold"],
            "heartbeat": ["timeout"],
            "sessionize": ["gap", "max_length", "aggs"],
            "window": ["every", "zone", "aggs"],
            "funnel": ["steps", "within", "mode"],
            "cohorts": ["start", "returns", "every", "zone"],
            "transitions": ["of", "gap"],
            **FIELDS,
            "group_by": ["by", "aggs"],
            "sort": ["by"],
            "limit": ["n"],
        }.get(op if isinstance(op, str) else "")
        if fields is None:
            raise JsonFormError(
                f"{where}: unknown operator {_short(op)}; {meant(op, g.OPS.values(), 'known')}"
                f" are {', '.join(g.OPS.values())}"
            )
        d = self.fields(value, where, ["op", *fields], _OPTIONAL.get(str(op), ()))
        match op:
            case "stream":
                return g.Source(self.text(d["name"], f"{where}.name"))
            case "filter":
                return g.Filter(self.expr(d["where"], f"{where}.where"))
            case "with_columns":
                return g.WithColumns(self.named(d["columns"], f"{where}.columns"))
            case "held":
                names = [self.text(n, f"{where}.columns[{i}]") for i, n in enumerate(self.rows(d["columns"], where))]
                if not names:
                    raise JsonFormError(f"{where}.columns: expected one column at least")
                _distinct(names, f"{where}.columns")
                # Each is an expression of two nodes.
                self.count(2 * len(names), where)
                return g.held(names, self.micros(d["hold"], f"{where}.hold", optional=True))
            case "select":
                return g.Select(self.named(d["columns"], f"{where}.columns"))
            case "state_duration":
                hold = self.micros(d["hold"], f"{where}.hold", optional=True)
                return g.StateDuration(self.expr(d["state"], f"{where}.state"), self.text(d["name"], where), hold)
            case "heartbeat":
                return g.Heartbeat(self.micros(d["timeout"], f"{where}.timeout") or 0)
            case "sessionize":
                limit = self.micros(d["max_length"], f"{where}.max_length", optional=True)
                pause = self.micros(d["gap"], f"{where}.gap") or 0
                split = self.expr(d["split_when"], f"{where}.split_when") if "split_when" in d else None
                return g.Sessionize(pause, limit, self.aggs(d["aggs"], f"{where}.aggs"), split)
            case "window":
                every = parse_every(self.text(d["every"], where), f"{where}.every").text
                size = self.whole(d.get("size", 1), f"{where}.size", 1 + ("size" in d), g.MAX_WINDOW)
                aggs = self.aggs(d["aggs"], f"{where}.aggs")
                return g.Window(every, self.text(d["zone"], where), aggs, size, self.said(d, "empty", where))
            case "funnel":
                steps = [self.expr(e, f"{where}.steps[{i}]") for i, e in enumerate(self.rows(d["steps"], where))]
                self.whole(len(steps), f"{where}.steps", 2, g.MAX_FUNNEL)
                if d["mode"] not in g.FUNNEL_MODES:
                    raise JsonFormError(f"{where}.mode: unknown; known are {', '.join(g.FUNNEL_MODES)}")
                return g.Funnel(tuple(steps), self.micros(d["within"], f"{where}.within") or 0, d["mode"])
            case "cohorts":
                every = parse_every(self.text(d["every"], where), f"{where}.every").text
                start, returns = (self.expr(d[n], f"{where}.{n}") for n in ("start", "returns"))
                return g.Cohorts(start, returns, every, self.text(d["zone"], where))
            case "transitions":
                gap = self.micros(d["gap"], f"{where}.gap", optional=True)
                return g.Transitions(self.expr(d["of"], f"{where}.of"), gap)
            case "group_by":
                by = self.named(d["by"], f"{where}.by")
                aggs = self.aggs(d["aggs"], f"{where}.aggs")
                _distinct([n for n, _ in by] + [n for n, _ in aggs], where)
                return g.GroupBy(by, aggs, self.said(d, "empty", where))
            case "timeline" | "join" | "during" | "concurrent":
                return step_in(self, str(op), d, where)
            case "sort":
                keys = []
                for i, item in enumerate(self.rows(d["by"], f"{where}.by")):
                    k = self.fields(item, f"{where}.by[{i}]", ["column", "descending"])
                    if not isinstance(k["descending"], bool):
                        raise JsonFormError(f"{where}.by[{i}].descending: expected true or false")
                    keys.append((self.text(k["column"], f"{where}.by[{i}].column"), k["descending"]))
                return g.Sort(tuple(keys))
            case _:
                n = d["n"]
                if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**62:
                    raise JsonFormError(f"{where}.n: expected a number of rows, got {_short(n)}")
                return g.Limit(n)


def _distinct(names: Sequence[str], where: str) -> None:
    for n in names:
        if names.count(n) > 1:
            raise JsonFormError(f"{where}: the name {n!r} is given twice")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _distinct([k for k, _ in pairs], "the metric's JSON")
    return dict(pairs)


def from_dict(value: object) -> tuple[g.Step, ...]:
    """The steps of a graph in JSON-ready objects; JsonFormError naming the place of what is wrong."""
    reader = _Reader()
    d = reader.fields(value, "the metric", ["antfold", "steps"])
    if d["antfold"] != VERSION or isinstance(d["antfold"], bool):
        raise JsonFormError(f"the metric has version {_short(d['antfold'])}; this antfold reads version {VERSION}")
    items = reader.rows(d["steps"], "steps")
    if not 0 < len(items) <= g.MAX_STEPS:
        raise JsonFormError(f"steps: a metric has 1 to {g.MAX_STEPS} steps, got {len(items)}")
    steps = tuple(reader.step(s, f"steps[{i}]") for i, s in enumerate(items))
    check_tables(steps)
    if [i for i, s in enumerate(steps) if isinstance(s, g.Source)] != [0]:
        raise JsonFormError("steps: the first step, and only the first, names the stream")
    return steps


def from_json(text: str) -> tuple[g.Step, ...]:
    """The steps of a graph in JSON text."""
    if len(text.encode()) > g.MAX_BYTES + MAX_TABLE_BYTES:
        raise JsonFormError(f"the metric's JSON is over {g.MAX_BYTES + MAX_TABLE_BYTES} bytes")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates)
    except (json.JSONDecodeError, RecursionError) as error:
        raise JsonFormError(f"the metric is not valid JSON: {error}") from None
    steps = from_dict(value)
    to_json(steps)
    return steps
