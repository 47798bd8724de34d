"""Steps as the Python text that makes them, for ``repr`` of a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from keyword import iskeyword

from dataflow.expressions.aggregate_calls import Named, NamedAggs
from dataflow.expressions.node import Node, option_text, quoted, written
from dataflow.times.durations import written_duration

_WIDTH = 100


def call(name: str, given: Iterable[str]) -> str:
    """A method call."""
    return f".{name}({', '.join(given)})"


def keyword(name: str, text: str) -> str:
    """A keyword argument, also for names that are not identifiers."""
    return f"{name}={text}" if name.isidentifier() and not iskeyword(name) else f"**{{{quoted(name)}: {text}}}"


def columns_text(named: Named) -> list[str]:
    """Columns: plain names where a column keeps its name, else keyword arguments."""
    out: list[str] = []
    for n, e in named:
        name = e.option("name")
        plain = e.fn == "col" and isinstance(name, str) and name == n
        # Positional arguments precede keywords.
        out.append(quoted(n) if plain and not any("=" in o or o[:2] == "**" for o in out) else keyword(n, written(e)))
    return out


def aggs_text(aggs: NamedAggs) -> list[str]:
    """Named aggregates."""
    return [keyword(n, repr(a)) for n, a in aggs]


def given(pairs: Mapping[str, tuple[object, object]]) -> list[str]:
    """Keyword arguments that differ from their defaults; pairs of (value, default)."""
    return [f"{n}={option_text(n, v)}" for n, (v, usual) in pairs.items() if isinstance(v, Node) or v != usual]


def length_text(value: int | None) -> str | None:
    """A duration as text."""
    return None if value is None else written_duration(value)


def chained(parts: Sequence[str]) -> str:
    """A start and its calls: on one line if short, else in parentheses with one call per line."""
    line = "".join(parts)
    if len(parts) == 1 or ("\n" not in line and len(line) <= _WIDTH):
        return line
    return "(\n    " + "\n    ".join(map(_wrapped, parts)) + "\n)"


def _wrapped(part: str) -> str:
    """A call on one line, or with one argument per line if that is too long."""
    name, bracket, rest = part.partition("(")
    given = _apart(rest[:-1])
    if len(part) + 4 <= _WIDTH or len(given) < 2:
        return part
    return f"{name}{bracket}\n" + "".join(f"        {g},\n" for g in given) + "    )"


def _apart(text: str) -> list[str]:
    """The arguments of a call, split at commas outside of brackets and strings."""
    out, depth, quote, start, skip = [], 0, "", 0, False
    for i, c in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = c == "\\"
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        else:
            depth += (c in "([{") - (c in ")]}")
            if c == "," and not depth:
                out.append(text[start:i].strip())
                start = i + 1
    return [*out, text[start:].strip()]
