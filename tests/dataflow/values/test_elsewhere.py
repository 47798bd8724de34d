"""Names of other libraries: none is one of ours, and what to write instead is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

import dataflow as df
from dataflow.values import elsewhere
from operators.errors import DataflowError

S = df.stream("s")
OWNERS: dict[str, tuple[Any, Mapping[str, str]]] = {
    "an expression": (df.col("x"), elsewhere.EXPRESSION),
    "a stream": (S, elsewhere.STREAM),
    "group_by(...)": (S.group_by("x"), elsewhere.GROUPS),
    "an aggregate": (df.count(), elsewhere.AGGREGATE),
    "dataflow": (df, elsewhere.MODULE),
}
METHODS = {name for owner, _ in OWNERS.values() for name in dir(type(owner))} | {"query", "then", "otherwise"}


@pytest.mark.parametrize("owner", OWNERS)
def test_each_name_says_what_to_write(owner: str) -> None:
    of, names = OWNERS[owner]
    for name, cure in names.items():
        with pytest.raises(AttributeError, match=rf"^{re.escape(owner)} has no '{name}'; {re.escape(cure)}$"):
            getattr(of, name)
        named = {n for n in re.findall(r"(?<![\w'])(?:df)?\.([a-z_]+)", cure)}
        assert named <= METHODS | set(dir(df)), named


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: df.count().trailing("-7d"), "'-7d' is not a duration; leave the sign out: '7d'"),
        (lambda: S.group_by("x").agg(n=df.count()).compare("-1mo"), "'-1mo' is not of one length; shift by days"),
        (lambda: df.col("x").previous(per="a"), r"needs order=, the columns .* \(so do per= and descending=\)"),
        (lambda: S.with_columns(n=df.count()), r"beside rows write \.over\(\.\.\.\), \.trailing"),
        (lambda: df.col("x").cast("string"), "numbers do not become texts: group_by takes several columns"),
        (
            lambda: df.col("x").previous("1h"),
            r"the first value within a length of time is df.first\('x'\).trailing\('1h'\), got '1h'",
        ),
        (lambda: S.window("10m", offset="3m", n=df.count()), r"\(df.time\(\) - '3m'\).truncate\('10m'\) \+ '3m'\)$"),
        (lambda: S.match("A [^B]* C", A=df.lit(True), C=df.lit(True)), r"'\[' has no meaning here; for rows of which"),
    ],
)
def test_cures(make: Any, message: str) -> None:
    with pytest.raises(DataflowError, match=message):
        make()
