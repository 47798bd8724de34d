"""Descriptors of the JSON fields of steps: each declares once how a field is written and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from typing import Any

from dataflow.expressions.expr import Expr
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader, check_distinct
from dataflow.json.writing import aggs_out, expr_out, named_out
from dataflow.times.durations import parse_duration, parse_every
from dataflow.values.mistaken import text_of
from dataflow.values.settings import Setting

Value = Callable[..., Any]
Read = Callable[[Reader, Any, str], Any]
"""Reads a field's value from JSON; the text is the place, for errors."""


@dataclass(frozen=True)
class FieldForm:
    """How a field is written and read. A field with a default is written only if its value differs."""

    write: Callable[[Any], Any]
    read: Read
    value: Value
    """The field's value from the constant that a parameter has. The mapping has the fields before it."""


def _given(value: Any, where: str, others: Mapping[str, Any]) -> Any:
    return value


def field_of(
    write: Callable[[Any], Any], read: Read, default: Any = MISSING, name: str = "", value: Value = _given
) -> Any:
    """A field of a step with this form, under its own name or another. A parameter may stand in place of its value."""

    def out(found: Any) -> Any:
        return expr_out(found) if isinstance(found, Expr) and isinstance(found, Setting) else write(found)

    def of(r: Reader, found: Any, where: str) -> Any:
        parameter = r.setting(found, where)
        return read(r, found, where) if parameter is None else parameter

    return field(default=default, metadata={"json": FieldForm(out, of, value), "name": name})


def form_of(f: Field[Any]) -> FieldForm:
    """The form of a field."""
    form: FieldForm = f.metadata["json"]
    return form


def name_of(f: Field[Any]) -> str:
    """The name of a field in JSON."""
    return f.metadata["name"] or f.name


def _same(value: Any) -> Any:
    return value


def expression() -> Any:
    """An expression."""
    return field_of(expr_out, lambda r, v, where: r.expr(v, where))


def optional_expression() -> Any:
    """An expression; None is written as no field."""
    return field_of(expr_out, lambda r, v, where: r.expr(v, where), None)


def expressions(low: int, high: int, default: Any = MISSING) -> Any:
    """A list of ``low`` to ``high`` expressions."""

    def read(r: Reader, value: Any, where: str) -> Any:
        found = tuple(r.expr(e, f"{where}[{i}]") for i, e in enumerate(r.rows(value, where)))
        r.whole(len(found), where, low, high)
        return found

    return field_of(lambda value: [expr_out(e) for e in value], read, default)


def columns() -> Any:
    """Named expressions."""
    return field_of(named_out, lambda r, v, where: r.named(v, where))


def aggregates() -> Any:
    """Named aggregates."""
    return field_of(aggs_out, lambda r, v, where: r.aggs(v, where))


def _text(value: Any, where: str, others: Mapping[str, Any]) -> str:
    return text_of(value, where)


def text() -> Any:
    """A string that is not empty."""
    return field_of(_same, lambda r, v, where: r.text(v, where), value=_text)


def optional_text() -> Any:
    """A string that is not empty; None is written as no field."""
    return field_of(_same, lambda r, v, where: r.text(v, where), None, value=_text)


def choice(*known: str) -> Any:
    """One of these strings."""

    def read(r: Reader, value: Any, where: str) -> Any:
        if value not in known:
            raise JsonFormError(f"{where}: expected one of {', '.join(known)}, got {short(value)}")
        return value

    return field_of(_same, read)


def _micros(value: Any, where: str, others: Mapping[str, Any]) -> int:
    return parse_duration(value, where)


def _bucket(value: Any, where: str, others: Mapping[str, Any]) -> str:
    return parse_every(value, where).text


def length() -> Any:
    """A duration: positive microseconds."""
    return field_of(_same, lambda r, v, where: r.micros(v, where), value=_micros)


def optional_length() -> Any:
    """A duration, or null."""
    return field_of(_same, lambda r, v, where: r.micros(v, where, optional=True), value=_micros)


def every() -> Any:
    """Calendar buckets, for example "10m"."""
    return field_of(_same, lambda r, v, where: parse_every(r.text(v, where), where).text, value=_bucket)


def whole(low: int, high: int, default: Any = MISSING, value: Value | None = None) -> Any:
    """An integer from ``low`` to ``high``."""

    def given(found: Any, where: str, others: Mapping[str, Any]) -> int:
        return Reader().whole(found, where, low, high)

    return field_of(_same, lambda r, v, where: r.whole(v, where, low, high), default, value=value or given)


def flag() -> Any:
    """True; False is written as no field."""

    def read(r: Reader, value: Any, where: str) -> Any:
        if value is not True:
            raise JsonFormError(f"{where}: expected true, or no such field")
        return True

    return field_of(_same, read, False)


def truth(default: Any = MISSING) -> Any:
    """True or false."""

    def read(r: Reader, value: Any, where: str) -> Any:
        if not isinstance(value, bool):
            raise JsonFormError(f"{where}: expected true or false")
        return value

    return field_of(_same, read, default)


def names(name: str) -> Any:
    """A non-empty list of distinct column names, as the field ``name``."""

    def read(r: Reader, value: Any, where: str) -> Any:
        found: Sequence[str] = [r.text(n, f"{where}[{i}]") for i, n in enumerate(r.rows(value, where))]
        if not found:
            raise JsonFormError(f"{where}: expected at least one column")
        check_distinct(found, where)
        return tuple(found)

    return field_of(list, read, name=name)


def name_or_names(name: str) -> Any:
    """Distinct column names, as the field ``name``: one alone as a text, several as a list."""

    def read(r: Reader, value: Any, where: str) -> Any:
        if not isinstance(value, list):
            return (r.text(value, where),)
        found = tuple(r.text(n, f"{where}[{i}]") for i, n in enumerate(value))
        if len(found) < 2:
            raise JsonFormError(f"{where}: expected the name of a column, or a list of several")
        check_distinct(found, where)
        return found

    return field_of(lambda found: found[0] if len(found) == 1 else list(found), read, name=name)


def pairs(first: str, second: str) -> Any:
    """A list of pairs of texts, as objects with these fields; the first texts are distinct."""

    def read(r: Reader, value: Any, where: str) -> Any:
        found = []
        for i, item in enumerate(r.rows(value, where)):
            d = r.fields(item, f"{where}[{i}]", [first, second])
            found.append((r.text(d[first], f"{where}[{i}]"), r.text(d[second], f"{where}[{i}]")))
        check_distinct([a for a, _ in found], where)
        return tuple(found)

    return field_of(lambda found: [{first: a, second: b} for a, b in found], read)


def length_or_lengths() -> Any:
    """A duration, or a list of durations."""

    def read(r: Reader, value: Any, where: str) -> Any:
        if isinstance(value, list):
            return tuple(r.micros(v, f"{where}[{i}]") for i, v in enumerate(value))
        return r.micros(value, where)

    def given(value: Any, where: str, others: Mapping[str, Any]) -> Any:
        listed = isinstance(value, list | tuple)
        return tuple(parse_duration(v, where) for v in value) if listed else parse_duration(value, where)

    return field_of(lambda value: list(value) if isinstance(value, tuple) else value, read, value=given)


def length_if_given() -> Any:
    """A duration; None is written as no field."""
    return field_of(_same, lambda r, v, where: r.micros(v, where), None, value=_micros)


def every_if_given() -> Any:
    """Calendar buckets, for example "1d"; None is written as no field."""
    return field_of(_same, lambda r, v, where: parse_every(r.text(v, where), where).text, None, value=_bucket)


def text_or(usual: str | None) -> Any:
    """A string that is not empty; ``usual`` is written as no field."""
    return field_of(_same, lambda r, v, where: r.text(v, where), usual, value=_text)
