"""Expressions, aggregates and steps as the Python text that makes them: what ``repr`` of them gives.

The text means the same where ``df`` is this package and ``datetime``, ``timedelta`` and ``UTC`` are those of the module
``datetime``. Only reference tables of many rows are abbreviated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta

from dataflow import graph as g
from dataflow.aggregate_forms import FORMS
from dataflow.durations import parse_every, written_duration
from dataflow.expr import Expr
from dataflow.reference import ReferenceTable
from dataflow.service import Calendar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS = 12
_WIDTH = 100
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_COMPARISON, _OR, _AND, _SUM, _PRODUCT, _SIGN, _ATOM = range(7)
"""How tightly Python binds: an operand that binds less than its place asks for gets parentheses."""

_INFIX: Mapping[str, tuple[str, int]] = {
    "eq": ("==", _COMPARISON), "ne": ("!=", _COMPARISON), "lt": ("<", _COMPARISON), "le": ("<=", _COMPARISON),
    "gt": (">", _COMPARISON), "ge": (">=", _COMPARISON), "or": ("|", _OR), "and": ("&", _AND), "add": ("+", _SUM),
    "sub": ("-", _SUM), "mul": ("*", _PRODUCT), "div": ("/", _PRODUCT), "floordiv": ("//", _PRODUCT),
    "mod": ("%", _PRODUCT),
}  # fmt: skip
_PREFIX = {"neg": "-", "not": "~"}
_POSITIONAL: Mapping[str, str] = {
    "truncate": "every", "decimal": "places", "starts_with": "prefix", "contains": "text", "hour": "zone",
    "weekday": "zone", "last": "hold",
}  # fmt: skip
"""The option that is written without its name."""
_USUAL: Mapping[str, object] = {
    "zone": "UTC", "rounding": "exact", "ddof": 1, "cap": 10_000, "hold": None, "edges": None, "width": None,
}  # fmt: skip
"""Options that need not be written when they are this."""


def quoted(text: str) -> str:
    """A text as Python's literal, in double quotes where that needs no more escapes."""
    plain = repr(text)
    return plain if plain[0] == '"' or '"' in text else f'"{plain[1:-1]}"'


# ---- expressions


def written(value: Expr | g.Agg) -> str:
    """The text of an expression or an aggregate."""
    return _agg(value) if isinstance(value, g.Agg) else _expr(value)[0]


def _expr(e: Expr) -> tuple[str, int]:
    """The text, and how tightly it binds."""
    if e.fn in _INFIX and len(e.args) == 2:
        sign, level = _INFIX[e.fn]
        left, right = e.args
        # Python turns 1 < x round to x > 1, and works out 1 + 2 itself.
        plain = _constant(left) if level != _COMPARISON and right.fn != "lit" else None
        first = _in(level + (level == _COMPARISON), left) if plain is None else plain
        second = _constant(right)
        return f"{first} {sign} {_in(level + 1, right) if second is None else second}", level
    if e.fn in _PREFIX and len(e.args) == 1:
        return f"{_PREFIX[e.fn]}{_in(_SIGN, e.args[0])}", _SIGN
    if e.fn == "col":
        return f"df.col({quoted(str(e.option('name')))})", _ATOM
    if e.fn == "lit":
        return f"df.lit({_constant(e)})", _ATOM
    if e.fn == "param":
        return _param(e), _ATOM
    if e.fn == "when":
        return _when(e), _ATOM
    if not e.args:
        return f"df.{e.fn}()", _ATOM
    receiver, *rest = e.args
    return f"{_in(_ATOM, receiver)}.{e.fn}({', '.join([*map(operand, rest), *_options(e)])})", _ATOM


def _in(level: int, e: Expr) -> str:
    text, binds = _expr(e)
    return text if binds >= level else f"({text})"


def operand(e: Expr) -> str:
    """The text of an expression where a constant may stand without ``df.lit``."""
    found = _constant(e)
    return _expr(e)[0] if found is None else found


def _constant(e: Expr) -> str | None:
    """The Python value of a literal as text; None for what is none."""
    return _value(e.option("type"), e.option("value")) if e.fn == "lit" else None


def _value(kind: object, value: object) -> str:
    match kind, value:
        case "time", int():
            try:
                moment = _EPOCH + timedelta(microseconds=value)
            except OverflowError:
                return f"<{value} microseconds UTC>"
            parts = [*moment.timetuple()[:6], moment.microsecond]
            while len(parts) > 3 and not parts[-1]:
                parts.pop()
            return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
        case "duration", int():
            return repr(timedelta(microseconds=value)).removeprefix("datetime.")
        case _, float():
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        case _, str():
            return quoted(value)
        case _:
            return repr(value)


def _param(e: Expr) -> str:
    name, default = quoted(str(e.option("name"))), e.option("default")
    if default is None:
        return f"df.param({name})"
    return f"df.param({name}, default={_value(e.option('type'), default)})"


def _when(e: Expr) -> str:
    out, rest = "df", e
    while rest.fn == "when":
        condition, then, rest = rest.args
        out += f".when({operand(condition)}).then({operand(then)})"
    return f"{out}.otherwise({operand(rest)})"


def _options(e: Expr) -> list[str]:
    if e.fn == "is_in":
        values = e.option("values")
        assert isinstance(values, tuple)
        return [f"[{', '.join(_value(e.option('type'), v) for v in values)}]"]
    first = _POSITIONAL.get(e.fn)
    given = [(n, v) for n, v in e.options if not _is_usual(n, v)]
    out = [_option(n, v) for n, v in given if n == first]
    return out + [f"{n}={_option(n, v)}" for n, v in given if n != first]


def _is_usual(name: str, value: object) -> bool:
    return name in _USUAL and _USUAL[name] == value


def _option(name: str, value: object) -> str:
    if name in ("hold", "gap", "within", "timeout", "tolerance") and isinstance(value, int):
        return quoted(written_duration(value))
    if isinstance(value, Expr):
        return operand(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_option('', v) for v in value)}]"
    return _value("", value)


# ---- aggregates


def _agg(a: g.Agg) -> str:
    given = [_column_or(e) for e in a.args]
    given += [f"{n}={_option(n, v)}" for n, v in a.options if not _is_usual(n, v)]
    if a.where is not None:
        given.append(f"where={operand(a.where)}")
    if a.fn not in FORMS:
        return f"df.aggregate({', '.join([quoted(a.fn), *given])})"
    return f"df.{a.fn}({', '.join(given)})"


def _column_or(e: Expr) -> str:
    """An argument for which a text is the name of a column."""
    if e.fn == "col":
        return quoted(str(e.option("name")))
    return _expr(e)[0] if e.fn == "lit" and e.option("type") in ("string", "null") else operand(e)


# ---- steps


def written_steps(steps: tuple[g.Step, ...], end: Sequence[str] = ()) -> str:
    """The text of a chain of steps: on one line if it is short, else in parentheses with a step on each."""
    first, *rest = steps
    if rest and isinstance(rest[0], g.Timeline):
        parts = [_combined(first, rest.pop(0))]  # type: ignore[arg-type]
    else:
        parts = [f"df.stream({quoted(first.name)})"] if isinstance(first, g.Source) else _step(first)
    for s in rest:
        parts += _step(s)
    parts += end
    line = "".join(parts)
    if len(parts) == 1 or ("\n" not in line and len(line) <= _WIDTH):
        return line
    return "(\n    " + "\n    ".join(map(_wrapped, parts)) + "\n)"


def _wrapped(part: str) -> str:
    """A step on one line, or its arguments on a line each if that is too long."""
    name, bracket, rest = part.partition("(")
    given = _apart(rest[:-1])
    if len(part) + 4 <= _WIDTH or len(given) < 2:
        return part
    return f"{name}{bracket}\n" + "".join(f"        {g},\n" for g in given) + "    )"


def _apart(text: str) -> list[str]:
    """The arguments of a call: what stands between commas that are in no brackets and no text."""
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


def written_group(by: g.Named, empty: bool) -> list[str]:
    """The calls of a ``group_by``."""
    return [_call("group_by", _columns(by)), *([".with_empty_buckets()"] if empty else [])]


def _step(s: g.Step) -> list[str]:
    """The calls that make a step."""
    if isinstance(s, g.GroupBy):
        return [*(written_group(s.by, s.empty) if s.by or s.empty else []), _call("agg", _aggs(s.aggs))]
    found = _STEPS.get(type(s))
    if found is not None:
        return [found(s)]
    # A step of which nothing is written here: by its fields.
    given = [f"{f.name}={_option(f.name, getattr(s, f.name))}" for f in fields(s)]
    return [_call(g.name_of(s), given)]


def _call(name: str, given: Iterable[str]) -> str:
    return f".{name}({', '.join(given)})"


def _keyword(name: str, text: str) -> str:
    from keyword import iskeyword

    return f"{name}={text}" if name.isidentifier() and not iskeyword(name) else f"**{{{quoted(name)}: {text}}}"


def _columns(named: g.Named) -> list[str]:
    out: list[str] = []
    for n, e in named:
        plain = e.fn == "col" and e.option("name") == n
        # Names stand before keywords.
        out.append(quoted(n) if plain and not any("=" in o or o[:2] == "**" for o in out) else _keyword(n, _expr(e)[0]))
    return out


def _aggs(aggs: g.NamedAggs) -> list[str]:
    return [_keyword(n, _agg(a)) for n, a in aggs]


def _given(pairs: Mapping[str, tuple[object, object]]) -> list[str]:
    """Keywords whose values are not the usual ones; pairs of (value, usual value)."""
    return [f"{n}={_option(n, v)}" for n, (v, usual) in pairs.items() if v != usual]


def _length(value: int | None) -> str | None:
    return None if value is None else written_duration(value)


def _state_duration(s: g.StateDuration) -> str:
    usual = str(s.state.option("name")) if s.state.fn == "col" else "state"
    return _call("state_duration", [_column_or(s.state), *_given({"hold": (s.hold, None), "name": (s.name, usual)})])


def _held(s: g.Held) -> str:
    return _call("held", [*map(quoted, s.names), *_given({"hold": (s.columns[0][1].option("hold"), None)})])


def _sessionize(s: g.Sessionize) -> str:
    given = _given({"max_length": (_length(s.max_length), None)})
    if s.split_when is not None:
        given.append(f"split_when={operand(s.split_when)}")
    return _call("sessionize", [quoted(written_duration(s.gap)), *given, *_aggs(s.aggs)])


def _window(s: g.Window) -> str:
    every = parse_every(s.every, "window")
    size = f"{s.size * every.count}{every.unit}" if s.size != 1 else None
    given = _given({"zone": (s.zone, "UTC"), "size": (size, None), "empty": (s.empty, False)})
    return _call("window", [quoted(s.every), *given, *_aggs(s.aggs)])


def _funnel(s: g.Funnel) -> str:
    steps = f"[{', '.join(map(operand, s.steps))}]"
    return _call("funnel", [steps, quoted(written_duration(s.within)), *_given({"mode": (s.mode, "strict")})])


def _cohorts(s: g.Cohorts) -> str:
    return _call("cohorts", [operand(s.start), operand(s.returns), quoted(s.every), *_given({"zone": (s.zone, "UTC")})])


def _transitions(s: g.Transitions) -> str:
    return _call("transitions", [_column_or(s.of), *_given({"gap": (s.gap, None)})])


def _sort(s: g.Sort) -> str:
    flags = tuple(d for _, d in s.by)
    descending = [] if not any(flags) else ["descending=True"] if all(flags) else [f"descending={flags}"]
    return _call("sort", [*(quoted(n) for n, _ in s.by), *descending])


# ---- tables, calendars, timelines


def _table(table: ReferenceTable) -> str:
    if table.rows > _ROWS:
        return f"df.table(<{table.rows:,} rows of {', '.join(n for n, _, _ in table.columns)}, {table.digest[:12]}>)"
    cells = (f"{quoted(n)}: [{', '.join(_value(str(kind), v) for v in values)}]" for n, kind, values in table.columns)
    return f"df.table({{{', '.join(cells)}}})"


def _windows(w: g.Windows, on: Expr | None) -> list[str]:
    same = on is not None and on.fn == "col" and on.option("name") == w.key
    given = [] if on is None else [f"on={_column_or(on)}"]
    if not same:
        given.append(f"key={quoted(w.key)}")
    return [_table(w.table), *given, *_given({"valid_from": (w.valid_from, None), "valid_to": (w.valid_to, None)})]


def _join(s: g.Join) -> str:
    return _call("join", [*_windows(s.windows, s.on), *_given({"how": (s.how, "left")})])


def _during(s: g.During) -> str:
    periods = [_calendar(s.periods)] if isinstance(s.periods, Calendar) else _windows(s.periods, s.on)
    return _call("during" if s.inside else "outside", periods)


def _calendar(c: Calendar) -> str:
    hours: dict[str, list[str]] = {}
    for day, a, b in c.weekly:
        hours.setdefault(_DAYS[day], []).append(f"{_clock(a)}-{_clock(b)}")
    weekly = ", ".join(
        f"{quoted(d)}: {quoted(h[0]) if len(h) == 1 else '[' + ', '.join(map(quoted, h)) + ']'}"
        for d, h in hours.items()
    )
    given = _given({"zone": (c.zone, "UTC")})
    if c.except_:
        spans = (f"({_value('time', a)}, {_value('time', b)})" for a, b in c.except_)
        given.append(f"except_=[{', '.join(spans)}]")
    return f"df.calendar({', '.join([f'{{{weekly}}}', *given])})"


def _clock(seconds: int) -> str:
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02}"


def _combined(source: g.Source, s: g.Timeline) -> str:
    start = f"df.stream({quoted(source.name)})"
    tracks = [_keyword(t.name, start + "".join(c for x in (*t.steps, t.interval) for c in _step(x))) for t in s.tracks]
    name = _given({"name": (s.name, "state")})
    return f"df.combine({', '.join([operand(s.state), *name, *tracks])})"


def _concurrent(s: g.Concurrent) -> str:
    given = [operand(s.condition), *_columns(s.by)]
    return _call("concurrent", given) if s.at_least is None else _call("at_least", [str(s.at_least), *given])


_STEPS: Mapping[type, Callable[..., str]] = {
    g.Filter: lambda s: _call("filter", [operand(s.where)]),
    g.WithColumns: lambda s: _call("with_columns", [_keyword(n, _expr(e)[0]) for n, e in s.columns]),
    g.Held: _held,
    g.Select: lambda s: _call("select", _columns(s.columns)),
    g.StateDuration: _state_duration,
    g.Heartbeat: lambda s: _call("heartbeat", [quoted(written_duration(s.timeout))]),
    g.Sessionize: _sessionize,
    g.Window: _window,
    g.Funnel: _funnel,
    g.Cohorts: _cohorts,
    g.Transitions: _transitions,
    g.Sort: _sort,
    g.Limit: lambda s: _call("limit", [str(s.n)]),
    g.Join: _join,
    g.During: _during,
    g.Concurrent: _concurrent,
}
"""The text of each step but the first ones, the source and timelines, which are combined from streams."""
