"""``match``: runs of consecutive rows of a key that fit a pattern of conditions.

A row that takes a place of the pattern (``patterns/pattern_places.py``) continues an *attempt*, or begins one. Of the
attempts at one place only that with the earliest start is stored, and with ``within`` also that with the latest:
others can do nothing that these cannot. So the state per key is a few numbers for each place, for any number of rows,
and no row is looked at twice.

An attempt that completes the pattern becomes the *pending* match, and the others end. It is continued with the rows
that follow, and written once that has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.expressions.aggregate_calls import Named
from dataflow.expressions.call_text import call, given, keyword
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.patterns.pattern_places import Places, places_of
from dataflow.patterns.pattern_syntax import ANY_ROW, Pattern, names_of, parse_pattern
from dataflow.plan.row_times import RowTimes
from dataflow.plan.sink import Memory, NamedTyped, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.base import Bound
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.typed.nodes import Typed, column
from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import Type

MAX_CONDITIONS = 16
"""The maximum number of conditions; each has columns, and state per place."""

_MEASURES = ("first", "last", "count")


def condition_column(name: str, what: str) -> str:
    """The column about the rows of a match that were taken by the condition ``name``."""
    return f"{name}_{what}"


@dataclass(frozen=True)
class _Number:
    """One number of an attempt: its name and array type, and its value after a row (None: as before) that begins the
    attempt, or that takes a place of ``condition`` (empty: of any)."""

    name: str
    array: str
    begins: str
    condition: str = ""
    takes: str = ""


class MatchEmitter(FlowEmitter):
    """Emits the code of a ``Matches`` sink."""

    # A row writes one match at most, and moves nothing before its values are known.
    advances = False

    def __init__(self, w: SourceWriter, sink: Matches) -> None:
        super().__init__(w, sink.held)
        self.sink, self.pattern = sink, sink.places
        self.held_now = [name for name, _ in sink.held]
        self.also = [(n, e) for n, e in sink.reports if n not in self.held_now]
        for j, (_, e) in enumerate(self.also, start=len(sink.held)):
            self.keep((f"ch{j}", value_array(e.type)), (f"chk{j}", U1))
        self.numbers = list(self._numbers())
        self.further = self.pattern.further()
        # Whether rows can follow a complete match that complete it only later.
        self.tries = bool(set(self.further) - set(self.pattern.last))
        # Places are gone through downwards: a step back in the pattern would then read what is new.
        self.steps_back = any(q < p for p, after in enumerate(self.pattern.following) for q in after)
        self.ends = ("lo",) if sink.within is None else ("lo", "hi")
        self.keep(("rows", I8), ("live", I8), ("pending", U1), ("may", I8), ("m_end", I8), ("m_rows", I8))
        for at in self._stores():
            self.keep(*((f"{at}_{n.name}", n.array) for n in self.numbers))
        w.arg("o_count", I8, "out", "count")
        for name in sink.conditions_used:
            for what in sink.measures[name]:
                w.arg(f"o_{name}_{what}_v", I8, "out", condition_column(name, what))
                if what != "count":
                    w.arg(f"o_{name}_{what}_k", U1, "out_valid", condition_column(name, what))
        for n, (_, _, _, e) in enumerate(sink.values):
            w.arg(f"o_value{n}_v", value_array(e.type), "out", sink.values[n][0])
            w.arg(f"o_value{n}_k", U1, "out_valid", sink.values[n][0])

    def _stores(self) -> Iterator[str]:
        """The prefixes of the attempts' numbers: by place, of the pending match, and of rows that may yet extend it."""
        for end in self.ends:
            yield from (f"{end}{q}" for q in range(len(self.pattern.names)))
        yield "m"
        if self.tries:
            yield "c"

    def _numbers(self) -> Iterator[_Number]:
        """The numbers of an attempt: of its start, of each condition, and of values."""
        yield _Number("row", I8, "rows")
        yield _Number("time", I8, "t")
        for j, (_, e) in enumerate(self.sink.held):
            yield _Number(f"sh{j}", value_array(e.type), f"ch{j}")
            yield _Number(f"shk{j}", U1, f"chk{j}")
        for name, measures in self.sink.measures.items():
            if "first" in measures:
                yield _Number(f"{name}_first", I8, "0", name, "{count} == 0 ? t")
            if "last" in measures:
                yield _Number(f"{name}_last", I8, "0", name, "t")
        for n, (_, name, reported, e) in enumerate(self.sink.values):
            j = self._report(reported)
            yield _Number(f"value{n}", value_array(e.type), "0.0" if e.type is Type.FLOAT else "0", name, f"ch{j}")
            yield _Number(f"valid{n}", U1, "0", name, f"chk{j}")
        # After those that ask whether it is zero.
        for name, measures in self.sink.measures.items():
            if measures:
                yield _Number(f"{name}_count", I8, "0", name, "{count} + 1")

    def _report(self, name: str) -> int:
        return [*self.held_now, *(n for n, _ in self.also)].index(name)

    def constants(self, x: Emitter) -> None:
        """Load the longest time into a local, once."""
        if self.sink.within is not None:
            self.w.put(f"within = {x.integer(self.sink.within)}")

    def load(self) -> None:
        """See SinkEmitter."""
        super().load()
        if self.steps_back:
            for end in self.ends:
                for q in range(len(self.pattern.names)):
                    self._copy(f"n{end}{q}", f"{end}{q}")

    def remember(self, x: Emitter) -> None:
        """Update the columns that are held at the start, or of which the last values are asked."""
        super().remember(x)
        for j, (_, e) in enumerate(self.also, start=len(self.held)):
            v, k = x.emit(e)
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with self.w.block(f"if {k}:"):
                self.w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)")

    # ---- attempts

    def _copy(self, to: str, of: str) -> None:
        for n in self.numbers:
            self.w.put(f"{to}_{n.name} = {of}_{n.name}")

    def _begin(self, to: str) -> None:
        for n in self.numbers:
            value = n.begins
            self.w.put(f"{to}_{n.name} = {f'np.uint8({value})' if n.array == U1 else value}")

    def _take(self, to: str, place: int) -> None:
        """Count this row for the condition of ``place``."""
        name = self.pattern.names[place]
        for n in self.numbers:
            if n.condition != name or not n.condition:
                continue
            count = f"{to}_{name}_count"
            if "?" in n.takes:
                condition, value = n.takes.format(count=count).split(" ? ")
                with self.w.block(f"if {condition}:"):
                    self.w.put(f"{to}_{n.name} = {value}")
            else:
                self.w.put(f"{to}_{n.name} = {n.takes.format(count=count)}")

    def _enter(self, end: str, q: int) -> None:
        """The attempt at place ``q`` after this row, which fits it: of those before it the one that began first
        (``lo``), or last (``hi``); of attempts with one start, that at the first place."""
        w, to = self.w, f"{'n' if self.steps_back else ''}{end}{q}"
        before, begins = self.pattern.before(q), q in self.pattern.first
        w.put("origin = np.int64(-1)")
        if not (end == "hi" and begins):
            for n, p in enumerate(before):
                better = f" and (origin < 0 or {end}{p}_row {'<' if end == 'lo' else '>'} best)" if n else ""
                with w.block(f"if live & {1 << p} != 0{better}:"):
                    w.put(f"origin = np.int64({p})")
                    if len(before) > 1:
                        w.put(f"best = {end}{p}_row")
        word = "if"
        for p in before if not (end == "hi" and begins) else ():
            with w.block(f"{word} origin == {p}:"):
                if to != f"{end}{p}":
                    self._copy(to, f"{end}{p}")
                self._take(to, q)
                w.put(f"now |= {1 << q}")
            word = "elif"
        if begins:
            with w.block("else:" if word == "elif" else "if True:"):
                self._begin(to)
                self._take(to, q)
                w.put(f"now |= {1 << q}")

    def _search(self) -> None:
        """Continue the attempts with this row, or begin one; one that is complete becomes the pending match."""
        w, places = self.w, self.pattern
        first = sum(1 << q for q in places.first)
        with w.block(f"if live != 0 or hit & {first} != 0:"):
            w.put("now = np.int64(0)\nbest = np.int64(0)")
            for q in reversed(range(len(places.names))):
                with w.block(f"if hit & {1 << q} != 0:"):
                    for end in self.ends:
                        self._enter(end, q)
            if self.steps_back:
                for q in range(len(places.names)):
                    with w.block(f"if now & {1 << q} != 0:"):
                        for end in self.ends:
                            self._copy(f"{end}{q}", f"n{end}{q}")
            w.put("live = now")
            with w.block(f"if live & {sum(1 << q for q in places.last)} != 0:"):
                w.put("chosen = np.int64(-1)")
                for turn, end in enumerate(self.ends):
                    with w.block("if chosen < 0:" if turn else "if True:"):
                        self._choose(end, turn * len(places.names))
                with w.block("if chosen >= 0:"):
                    self._complete()

    def _choose(self, end: str, number: int) -> None:
        """The complete attempt with the earliest or latest start, if it is not too long."""
        w = self.w
        for n, q in enumerate(self.pattern.last):
            better = f" and (chosen < 0 or {end}{q}_row {'<' if end == 'lo' else '>'} best)" if n else ""
            with w.block(f"if live & {1 << q} != 0{better}:"):
                w.put(f"chosen = np.int64({number + q})\nbest = {end}{q}_row\nbegan = {end}{q}_time")
        if self.sink.within is not None:
            with w.block("if chosen >= 0 and t - began > within:"):
                w.put("chosen = np.int64(-1)")

    def _complete(self) -> None:
        w = self.w
        with w.block("if pending != 0:"):
            self._write()
        for turn, end in enumerate(self.ends):
            for q in self.pattern.last:
                with w.block(f"if chosen == {turn * len(self.pattern.names) + q}:"):
                    self._copy("m", f"{end}{q}")
                    if self.tries:
                        self._copy("c", "m")
                    w.put(f"may = np.int64({self._after(q)})")
        w.put("pending = np.uint8(1)\nlive = np.int64(0)\nm_end = t\nm_rows = rows - m_row + 1")

    def _after(self, q: int) -> int:
        return sum(1 << p for p in self.pattern.following[q])

    def _continue(self) -> None:
        """Continue the pending match with this row, at the first place that it fits, or write it."""
        w, at = self.w, "c" if self.tries else "m"
        with w.block("if pending != 0:"):
            w.put("further = may & hit")
            if self.sink.within is not None:
                with w.block("if t - m_time > within:"):
                    w.put("further = np.int64(0)")
            with w.block("if further == 0:"):
                self._write()
                w.put("pending = np.uint8(0)")
            word = "elif"
            for q in self.further:
                with w.block(f"{word} further & -further == {1 << q}:"):
                    self._take(at, q)
                    w.put(f"may = np.int64({self._after(q)})")
                    if q in self.pattern.last:
                        if self.tries:
                            self._copy("m", "c")
                        w.put("m_end = t\nm_rows = rows - m_row + 1\nlive = hit = np.int64(0)")

    # ---- rows

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        self.remember(x)
        with w.block("if t >= since:"), x.scope():
            w.put("rows += 1")
            always = sum(1 << q for q, name in enumerate(self.pattern.names) if name == ANY_ROW)
            w.put(f"hit = np.int64({always})")
            for name, condition in sink.conditions:
                v, k = x.emit(condition)
                with w.block(f"if {both(k, v)}:"):
                    w.put(f"hit |= {sum(1 << q for q, n in enumerate(self.pattern.names) if n == name)}")
            self._continue()
            self._search()

    def finish(self, x: Emitter) -> None:
        """The match that was pending at the end of the range."""
        with self.w.block("if pending != 0:"):
            self._write()

    def _write(self) -> None:
        w = self.w
        w.put("o_time[on] = m_time\no_end[on] = m_end\no_count[on] = m_rows")
        for name in self.sink.conditions_used:
            for what in self.sink.measures[name]:
                w.put(f"o_{name}_{what}_v[on] = m_{name}_{what}")
                if what != "count":
                    w.put(f"o_{name}_{what}_k[on] = m_{name}_count != 0")
        for n in range(len(self.sink.values)):
            w.put(f"o_value{n}_v[on] = m_value{n}\no_value{n}_k[on] = m_valid{n}")
        self.write_held("m_sh", "m_shk")
        w.put("on += 1")


@dataclass(frozen=True)
class Matches(Flow):
    """Matches: one row for each run of rows that fits the pattern.

    Writes start (as time), end, ``count``, what ``measures`` lists of each condition, and ``values``: the names of
    columns, each with a condition, the column and its expression, as last reported at the condition's last row.
    """

    pattern: Pattern
    conditions: NamedTyped
    within: int | None
    measured: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[tuple[str, str, str, Typed], ...]

    once_a_key = True

    @property
    def places(self) -> Places:
        """The places of the pattern."""
        return places_of(self.pattern)

    @property
    def measures(self) -> Mapping[str, tuple[str, ...]]:
        """``first``, ``last`` and ``count``, as far as they are needed, by condition."""
        return dict(self.measured)

    @property
    def conditions_used(self) -> Sequence[str]:
        """The conditions with measures."""
        return [name for name, measures in self.measured if measures]

    @property
    def reports(self) -> NamedTyped:
        """See Flow: at the start, or at a condition's row."""
        return tuple({n: (n, e) for n, e in (*self.held, *((n, e) for _, _, n, e in self.values))}.values())

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.conditions)
        yield from super().expressions()

    def memory(self) -> Memory:
        """See Sink: only points of the range count."""
        return Memory(values=tuple(e for _, e in self.reports), rows=False)

    def emitter(self, w: SourceWriter) -> MatchEmitter:
        """See Sink."""
        return MatchEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        length = "" if self.within is None else f" within {self.within / 1e6:g} s"
        return with_held(f"matches of {str(self.pattern)!r}{length}", self.held)


@dataclass(frozen=True, eq=False)
class Match(KeyedStep, op="match"):
    """The runs of rows that fit ``pattern``, whose names stand for ``conditions``, in at most ``within``
    microseconds."""

    pattern: str = json.field_of(str, lambda r, v, where: _canonical(r.text(v, where), where))
    conditions: Named = json.columns()
    within: int | None = json.optional_length()

    looks_back = True

    @property
    def row_times(self) -> RowTimes:
        """See Step."""
        return RowTimes(lasts=self.within)

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        try:
            checked_pattern(self.pattern, [name for name, _ in self.conditions])
        except DataflowError as error:
            raise JsonFormError(f"{where}.pattern: {error}") from None

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        values = {} if shape.kind == "table" else self._values(b, shape)
        bound = super().bind(b, shape)
        # Columns of the conditions' rows are there for those who refer to them.
        added = {
            name: e.type for name, (_, _, e) in values.items() if e.type is not None and name not in bound.shape.env
        }
        bound.shape.env |= {name: column(name, kind) for name, kind in added.items()}
        bound.shape.inputs |= added
        bound.shape.held |= frozenset(added)
        return bound

    def _values(self, b: Expressions, shape: Shape) -> dict[str, tuple[str, str, Typed]]:
        """The columns with values of a condition's rows: its name, the column's name, and what that is computed
        from."""
        held = {n: t for n, t in shape.env.items() if n not in (b.stream.key, b.stream.time) and t.type is not None}
        return {f"{name}.{n}": (name, n, t) for name, _ in self.conditions for n, t in held.items()}

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        pattern = parse_pattern(self.pattern)
        conditions = tuple((n, b.condition(e, shape, f"the condition {n}")) for n, e in self.conditions)
        b.fix_all([e for _, e in conditions], shape)
        values = self._values(b, shape)
        kinds = {"first": Type.TIME, "last": Type.TIME, "count": Type.INT}
        columns = {"count": Type.INT}
        columns |= {condition_column(n, what): kinds[what] for n, _ in conditions for what in _MEASURES}

        def sink(held: NamedTyped, needed: set[str]) -> Matches:
            found = tuple((c, *values[c]) for c in sorted(needed) if c in values and c not in shape.env)
            # Whether there was a row is known by their number.
            asked = {n: {w for w in _MEASURES if condition_column(n, w) in needed} for n, _ in conditions}
            measured = {n: w | ({"count"} if w else set()) for n, w in asked.items()}
            in_order = tuple((n, tuple(w for w in _MEASURES if w in measured[n])) for n, _ in conditions)
            return Matches(held, pattern, conditions, self.within, in_order, found)

        return KeyedRows("matches", columns, sink, {})

    def calls(self) -> list[str]:
        """See Step."""
        conditions = [keyword(n, operand(e)) for n, e in self.conditions]
        return [call("match", [quoted(self.pattern), *conditions, *given({"within": (self.within, None)})])]


def _canonical(text: str, where: str) -> str:
    try:
        return str(parse_pattern(text))
    except DataflowError as error:
        raise JsonFormError(f"{where}: {error}") from None


def checked_pattern(text: object, conditions: Sequence[str]) -> str:
    """The canonical text of a pattern; DataflowError if it is wrong, or if its names are not those of
    ``conditions``."""
    pattern = parse_pattern(text)
    used = list(dict.fromkeys(names_of(pattern)))
    if wrong := [n for n in conditions if not n.isidentifier() or not n.isascii() or iskeyword(n) or n == "within"]:
        raise DataflowError(f"match: {wrong[0]!r} cannot be the name of a condition; use a word like DOWN")
    if missing := [n for n in used if n not in conditions]:
        raise DataflowError(
            f"match: the pattern names {missing[0]!r}, which is no condition; "
            f"{meant(missing[0], conditions, 'the')} conditions are {', '.join(conditions) or 'none'}; give "
            f"{missing[0]}=df.col(...) ..., or write '.' for any row"
        )
    if unused := [n for n in conditions if n not in used]:
        raise DataflowError(f"match: the condition {unused[0]!r} does not occur in the pattern {str(pattern)!r}")
    if len(conditions) > MAX_CONDITIONS:
        raise DataflowError(f"match takes at most {MAX_CONDITIONS} conditions, got {len(conditions)}")
    places_of(pattern)
    return str(pattern)
