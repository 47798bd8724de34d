"""A value of the wrong kind anywhere in the DSL: the message says what to write, and shows no memory address."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.errors import DataflowError

# ruff: noqa: SIM300, E721 (constants are compared with the column C, on purpose)

S: Any = df.stream("s")
C: Any = df.col("a")
D: Any = df


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: S.agg(m=df.count), "agg: df.count needs parentheses: df.count()"),
        (lambda: S.agg(df.count), "agg: df.count needs parentheses: df.count()"),
        (lambda: S.agg(m=df.mean), "df.mean needs parentheses: df.mean(...)"),
        (lambda: S.window("1h", m=df.count), "window: df.count needs parentheses: df.count()"),
        (lambda: S.agg(m="count"), "agg: m='count' is a string; write m=df.count()"),
        (lambda: S.agg(m="mean"), "write m=df.mean(...)"),
        (lambda: S.agg(m="temp"), "write m=df.mean('temp')"),
        (lambda: S.agg(m=C), 'got the expression df.col("a"); write e.g. df.max(...)'),
        (lambda: S.agg(m=S), 'm=df.stream("s") is a stream, not an aggregate; write m=df.count()'),
        (lambda: S.agg(m=[df.count()]), "must be an aggregate like df.mean('temp'), got [df.count()]"),
        (lambda: S.agg(m=None), "must be an aggregate like df.mean('temp'), got None"),
        (lambda: S.agg(m=df), "got the module dataflow"),
        (lambda: S.agg(m=int), "got the class int"),
        (lambda: S.agg(m=len), "len is a function: a metric does not run Python functions"),
        (lambda: S.agg(m=lambda x: x), "a lambda is a function"),
        (lambda: S.agg(m=S.filter), 'df.stream("s").filter needs parentheses'),
        (lambda: df.mean(D.time), "df.time needs parentheses: df.time()"),
        (lambda: df.mean(C.abs), 'df.col("a").abs needs parentheses: df.col("a").abs()'),
        (lambda: df.mean(S), "a stream is not an expression: df.stream(\"s\"); columns are df.col('name')"),
        (lambda: df.mean(D.count()), "df.count() is an aggregate: give it a name in agg(...)"),
        (lambda: D.mean([1, 2]), "has several values; to match any of them write df.col(...).is_in([...])"),
        (lambda: df.count(where=D.any_true), "df.any_true needs parentheses"),
        (lambda: D.sum("a") / df.count(), 'an aggregate is not an expression: df.sum("a"); name it in agg(...)'),
        (lambda: D.count() > 5, "then compute with that column"),
        (lambda: 1 + D.count(), "an aggregate is not an expression: df.count()"),
        (lambda: C + D.count(), "df.count() is an aggregate"),
        (lambda: C & D.count, "df.count needs parentheses"),
        (lambda: S.filter(D.when(C)), 'df.when(df.col("a")) is not finished; add .then(...).otherwise(...)'),
        (lambda: S.filter(df.when(C).then(1)), "is not finished; add .otherwise(...)"),
        (lambda: C == [1, 2], "is_in"),
        (lambda: C == np.array([1]), "a ndarray has several values"),
        (lambda: C == date(2024, 1, 2), "the date 2024-01-02 is not a time; use datetime(2024, 1, 2, tzinfo=UTC)"),
        (lambda: C == time(1), "compare the hour"),
        (lambda: C == Decimal("0.1"), "write a number"),
        (lambda: C == b"x", "bytes"),
        (lambda: C == int, "the class int is not an expression"),
        (lambda: C == math, "the module math is not an expression"),
        (lambda: C == 1j, "of type complex cannot be used as a constant"),
        (lambda: S.group_by(D.time), "group_by: df.time needs parentheses: df.time()"),
        (lambda: S.group_by(h=C.hour), 'df.col("a").hour needs parentheses'),
        (lambda: S.select(C.abs), "select: df.col"),
        (lambda: S.held(5), "held takes names of columns"),
        (lambda: S.state_duration(D.col), "df.col needs parentheses: df.col(...)"),
        (lambda: S.state_duration(S), "a stream is not an expression"),
        (lambda: S.state_duration("a", hold=D.count), "state_duration(hold): df.count needs parentheses"),
        (lambda: S.state_duration("a", name=D.count), "state_duration(name) takes a string constant, got df.count"),
        (lambda: S.heartbeat(5), "heartbeat(timeout): 5 is not a duration"),
        (lambda: S.window("1h", zone=D.time), "window(zone) takes a string constant, got df.time"),
        (lambda: S.cohorts(C, C, "1d", 5), "cohorts(zone) takes a string constant, got 5"),
        (lambda: S.funnel([D.count, C], "5m"), "df.count needs parentheses"),
        (lambda: S.transitions(S), "a stream is not an expression"),
        (lambda: S.join([1], on="a"), "join takes a reference table"),
        (lambda: S.join(D.table, on="a"), "got the class ReferenceTable"),
        (lambda: S.during(D.calendar), "df.calendar needs parentheses"),
        (lambda: S.during("mon-fri"), "during takes df.calendar({...}) or a reference table"),
        (lambda: S & 5, "is not a timeline"),
        (lambda: df.combine(C, a=D.stream), "df.stream needs parentheses"),
        (lambda: S.sort(C), 'sort takes names of columns, got df.col("a")'),
        (lambda: S.limit("5"), "limit takes a number of rows, got '5'"),
        (lambda: df.col(D.col), "df.col needs parentheses"),
        (lambda: df.col(C), 'col takes a column name, got df.col("a")'),
        (lambda: df.stream(D.stream), "df.stream needs parentheses"),
        (lambda: df.param(D.col), "df.col needs parentheses"),
        (lambda: df.param("a", default=D.count), "df.count needs parentheses"),
        (lambda: df.any_of([D.col]), "df.col needs parentheses"),
        (lambda: df.all_of([D.count()]), "is an aggregate"),
        (lambda: C.is_in(D.count), "df.count needs parentheses"),
        (lambda: C.is_in(5), "is_in takes a list of constants, is_in([...]), got 5"),
        (lambda: C.truncate(D.time), "truncate: df.time is not a bucket"),
        (lambda: C.contains(C), "contains takes a string constant"),
        (lambda: df.histogram("a", edges=D.count), "df.count needs parentheses"),
        (lambda: df.histogram("a", edges=5), "edges are a list of numbers, got 5"),  # type: ignore[arg-type]
        (lambda: df.top_k("a", D.count), "got df.count"),
        (lambda: df.aggregate(D.count), "there is no custom aggregate df.count"),
    ],
)  # fmt: skip
def test_messages(call: Callable[[], object], said: str) -> None:
    with pytest.raises(DataflowError) as caught:
        call()
    assert said in str(caught.value)
    assert " at 0x" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: D.count().alias("n"), "an aggregate has no 'alias'; name it in agg(...): agg(n=df.count())"),
        (lambda: S.count(), "on a stream write .agg(...), like .agg(n=df.count(...))"),
    ],
)
def test_attributes(call: Callable[[], object], said: str) -> None:
    with pytest.raises(AttributeError) as caught:
        call()
    assert str(caught.value) == said


WRONG = [df.count, df.mean, df, int, lambda x: x, S, [1], object(), datetime(2024, 1, 1), timedelta, C.last, S.agg, 1j]


def _methods() -> list[tuple[str, Callable[..., object], inspect.Signature]]:
    out: list[tuple[str, Callable[..., object], inspect.Signature]] = []
    left_out = ("explain", "register", "check_laws", "from_json", "option", "merge_by_adding")
    for owner in (S, S.group_by("a"), C, df.when(C), df):
        names = df.__all__ if owner is df else [n for n in dir(type(owner)) if not n.startswith("_")]
        for name in names:
            found = getattr(owner, name)
            if inspect.isroutine(found) and name not in left_out:
                out.append((name, found, inspect.signature(found)))
    return out


@pytest.mark.parametrize(("name", "method", "signature"), _methods(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_argument_of_every_method(name: str, method: Callable[..., Any], signature: inspect.Signature) -> None:
    """Each argument in turn is something else: the metric is made all the same, or a DataflowError says what is wrong;
    never another exception, and never an address in memory."""
    parameters = [p for p in signature.parameters.values() if p.kind != inspect.Parameter.VAR_KEYWORD]
    right: dict[str, Any] = {
        "every": "1d", "within": "5m", "gap": "5m", "timeout": "5m", "steps": [C, C], "k": 2, "q": 0.5, "n": 2,
        "places": 2, "table": df.table({"a": ["x"], "b": [1]}), "on": "a",
        "periods": df.calendar({"mon": "08:00-09:00"}), "of": [S.heartbeat("5m")] if name == "at_least" else "a",
        "conditions": [C], "values": ["x"], "hours": {}, "method": "last", "first": 2, "pattern": "A+",
        "weekly": {"mon": "08:00-09:00"}, "by": "a", "columns": "a", "name": "a", "text": "a", "prefix": "a",
    }  # fmt: skip
    for wrong in parameters:
        for value in WRONG:
            needed = {p: value if p is wrong else right.get(p.name, C) for p in parameters if p.default is p.empty}
            given = [found for p, found in needed.items() if p.kind != p.KEYWORD_ONLY]
            options = {} if wrong.default is wrong.empty else {wrong.name: value}
            options |= {p.name: found for p, found in needed.items() if p.kind == p.KEYWORD_ONLY}
            if wrong.kind == wrong.POSITIONAL_ONLY and options:
                continue
            try:
                made = method(*given, **options)
                text = repr(made)
            except DataflowError as e:
                text = str(e)
            assert " at 0x" not in text or value.__class__ is object, (name, wrong.name, value)
