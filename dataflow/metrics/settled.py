"""A metric with the values of its settings: parameters in place of constants that are no expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

from dataflow.binding.parameters import converted, defaults_in, params_in
from dataflow.binding.typing import GraphError
from dataflow.expressions.aggregate_calls import WINDOWED, Agg, agg_in, windowed
from dataflow.expressions.aggregate_signatures import option_written, options_of, signature_of
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import RANGE
from dataflow.expressions.text_patterns import pattern_of
from dataflow.expressions.whole_options import is_whole, whole_option
from dataflow.json.fields import form_of
from dataflow.steps.base import Step
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.times.durations import parse_duration, parse_every, parse_offset
from dataflow.values.mistaken import shown, text_of
from dataflow.values.settings import Setting, setting_name
from operators.errors import DataflowError
from operators.nearest import listed, meant

T = TypeVar("T")


def settled(steps: Sequence[Step], params: Mapping[str, object]) -> tuple[tuple[Step, ...], dict[str, object]]:
    """The steps with the values of all parameters that are settings, and the parameters that are left.

    A value is one of ``params`` or the default; GraphError names the step for one that is missing or wrong. A metric
    without settings is returned as it is.
    """
    check_params(steps, params)
    found = tuple(_Values(params, f"step {i + 1} ({step.method})").of_step(step) for i, step in enumerate(steps))
    if all(a is b for a, b in zip(found, steps, strict=True)):
        return tuple(steps), dict(params)
    left = params_in(found)
    return found, {n: v for n, v in params.items() if n in left}


def check_params(steps: Sequence[Step], params: Mapping[str, object]) -> None:
    """GraphError for parameters that the metric does not have, and for those of which it is not clear what they are."""
    defaults = defaults_in(tuple(steps))
    for name, found in defaults.items():
        if name not in params and len({repr(d) for d in found}) > 1:
            several = ", ".join(sorted({shown(d) for d in found if d is not None}))
            raise GraphError(
                f"the parameter {name!r} occurs with different defaults, or without one (of {several}); give it a value"
            )
    known = sorted(defaults)
    if unknown := sorted(n for n in set(params) - set(known) if not n.startswith("$")):
        raise GraphError(
            f"the metric has no parameter {unknown[0]!r}; {meant(unknown[0], known, 'its')} parameters: {listed(known)}"
        )
    if wrong := [(n, v) for n, v in params.items() if isinstance(v, Expr)]:
        raise GraphError(f"the parameter {wrong[0][0]!r} has a constant as its value, got {shown(wrong[0][1])}")


def asks_range(steps: Sequence[Step]) -> bool:
    """Whether an expression has ``df.since()`` or ``df.until()``."""
    return any(_has_range(step) for step in steps)


def _has_range(part: object) -> bool:
    if isinstance(part, Expr) and part.fn in RANGE:
        return True
    if isinstance(part, tuple):
        return any(map(_has_range, part))
    inside = is_dataclass(part) and not isinstance(part, type | ReferenceTable | Calendar)
    return inside and any(_has_range(getattr(part, f.name)) for f in fields(part))  # type: ignore[arg-type]


def _length(micros: int, where: str) -> timedelta:
    try:
        return timedelta(microseconds=micros)
    except OverflowError:
        raise GraphError(f"{where}: a duration is at most 10,000 years, got {shown(micros)} microseconds") from None


class _Values:
    def __init__(self, params: Mapping[str, object], where: str) -> None:
        self._params, self._where = params, where

    def value(self, e: Setting, read: Callable[[Any], T]) -> T:
        """The value of a parameter as its place takes it."""
        name, kind = setting_name(e), str(e.option("type"))
        given, choices = self._params.get(name, e.option("default")), e.option("choices")
        if given is None:
            raise self._fail(f"the parameter {name!r} has no default; give it a value")
        try:
            if kind == "list":
                if not isinstance(given, list | tuple | str):
                    raise self._fail(f"the parameter {name!r} is a list, got {shown(given)}")
                given = list(given) if isinstance(given, list | tuple) else given.split(",")
            elif kind == "duration" and not isinstance(given, int):
                given = parse_duration(given, f"the parameter {name!r}")  # type: ignore[arg-type]
            elif name in self._params and kind not in ("null", "string", "duration"):
                given = converted(kind, given)
        except ValueError:
            raise self._fail(f"the parameter {name!r} is of type {kind}, which {given!r} is not") from None
        if isinstance(choices, tuple) and given not in choices:
            raise self._fail(f"the parameter {name!r} is one of {', '.join(map(str, choices))}, not {shown(given)}")
        if kind == "duration" and isinstance(given, int):
            given = _length(given, f"{self._where}: the parameter {name!r}")
        try:
            return read(given)
        except DataflowError as error:
            raise self._fail(f"the parameter {name!r}: {error}") from None

    def _fail(self, text: str) -> GraphError:
        return GraphError(f"{self._where}: {text}")

    def of_step(self, step: Step) -> Step:
        """A step, or a step within a step."""
        changed: dict[str, Any] = {}
        for f in fields(step):  # type: ignore[arg-type]
            found = getattr(step, f.name)
            if isinstance(found, Setting) and not str(f.type).startswith("Expr"):
                others = {g.name: getattr(step, g.name) for g in fields(step)} | changed  # type: ignore[arg-type]
                read = partial(form_of(f).value, where=f.name, others=others)
                changed[f.name] = self.value(found, read)
            elif (inside := self.of_part(found)) is not found:
                changed[f.name] = inside
        return replace(step, **changed) if changed else step  # type: ignore[type-var]

    def of_part(self, part: Any) -> Any:
        """Part of a step."""
        if isinstance(part, Expr):
            return self.of_expr(part)
        if isinstance(part, Agg):
            return self.of_agg(part)
        if isinstance(part, Step):
            return self.of_step(part)
        if isinstance(part, tuple):
            found = tuple(map(self.of_part, part))
            return part if all(a is b for a, b in zip(found, part, strict=True)) else found
        if is_dataclass(part) and not isinstance(part, type | ReferenceTable | Calendar):
            changed = {}
            for f in fields(part):
                before = getattr(part, f.name)
                if (after := self.of_part(before)) is not before:
                    changed[f.name] = after
            return replace(part, **changed) if changed else part
        return part

    def of_expr(self, e: Expr) -> Expr:
        """An expression with the values of the options of its functions."""
        if e.fn in WINDOWED:
            agg, before = agg_in(e), [(name, e.option(name)) for name in ("length", "rows", "offset")]
            inside = self.of_agg(agg)
            after = [self._option(e.fn, name, v) if isinstance(v, Setting) else v for name, v in before]
            if inside is agg and all(a is b for a, (_, b) in zip(after, before, strict=True)):
                return e
            return windowed(e.fn, inside, *cast(list[int | None], after))
        args = self.of_part(e.args)
        values = dict(e.options).get("values")
        if e.fn == "is_in" and isinstance(values, Setting):
            of: Expr = args[0]
            return self.value(values, of.is_in)
        given = [self._option(e.fn, n, v) if isinstance(v, Setting) else self.of_part(v) for n, v in e.options]
        if args is e.args and all(a is b for a, (_, b) in zip(given, e.options, strict=True)):
            return e
        return replace(e, args=args, options=tuple((n, v) for (n, _), v in zip(e.options, given, strict=True)))

    def _option(self, fn: str, name: str, e: Setting) -> object:
        where = f"{fn}({name})"
        if is_whole(fn, name):
            return self.value(e, lambda v: whole_option(fn, name, v))
        if name == "by":
            return self.value(e, lambda v: (parse_offset(v, where), v)[1])
        if fn == "extract":
            return self.value(e, pattern_of)
        if name in ("hold", "half_life", "length", "offset"):
            return self.value(e, lambda v: parse_duration(v, where))
        if name == "every":
            return self.value(e, lambda v: parse_every(v, where).text)
        return self.value(e, lambda v: text_of(v, where))

    def of_agg(self, a: Agg) -> Agg:
        """An aggregate with the values of its options."""
        args, where = self.of_part(a.args), self.of_part(a.where)
        options, form = a.options, signature_of(a.fn)
        if any(isinstance(v, Setting) for _, v in options):
            assert form is not None
            known = {o.name: o for o in form.options}
            values = {
                n: self.value(v, partial(option_written, a.fn, known[n])) if isinstance(v, Setting) else v
                for n, v in options
            }
            options = options_of(a.fn, form, values, a.fn)
        if args is a.args and where is a.where and options is a.options:
            return a
        return replace(a, args=args, where=where, options=options)
