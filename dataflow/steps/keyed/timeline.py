"""``combine``: several states of a key side by side, and the intervals of an expression of them.

Track i has the value ``tv{i}`` (valid if ``tk{i}``) since its last report at ``tr{i}``; ``hold`` after that a state is
unknown again and a heartbeat is false. As in ``states.py``, all rows of one time are applied before the current values
since ``tc`` are compared with the pending interval, which starts at ``ps``. Between rows, tracks expire one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflow.binding.interval_cuts import own_columns
from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import KeyedEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.expressions.call_text import given, keyword
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import STATEFUL
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.sink import Memory, Reach, Sink, with_held
from dataflow.plan.stages import Stage
from dataflow.steps.base import INTERVALS, Bound, InnerChain, Step, from_object, to_object
from dataflow.steps.keyed.states import NEVER, Heartbeat, StateDuration
from dataflow.steps.source import Source, points_of
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import Typed, column
from dataflow.typed.row_operations import AsOf, Keep, Merge, NullTally, RowOp, from_inputs
from operators.types import Type


def track_node(name: str, kind: Type) -> Typed:
    """The node by which the combined expression refers to a track's state."""
    return Typed("track", kind, (), (("name", name),))


def _kind(track: BoundTrack) -> Type:
    return Type.BOOL if track.state is None else track.state.type or Type.BOOL


class TracksEmitter(KeyedEmitter):
    """Emits the code of a ``Tracks`` sink."""

    def __init__(self, w: SourceWriter, sink: Tracks) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self._text = ""
        # Each track may expire between two rows.
        self.at_end = len(sink.tracks) + 3
        self.full = f"on + {self.at_end} > cap"
        array = value_array(sink.state.type)
        self.keep(("seen", U1), ("dirty", U1), ("pn", U1), ("pk", U1), ("tc", I8), ("ps", I8), ("pv", array))
        for i, track in enumerate(sink.tracks):
            self.keep((f"tv{i}", value_array(_kind(track))), (f"tk{i}", U1), (f"live{i}", U1), (f"tr{i}", I8))
        for j, (_, e) in enumerate(sink.held):
            kind = value_array(e.type)
            self.keep((f"ph{j}", kind), (f"ch{j}", kind), (f"phk{j}", U1), (f"chk{j}", U1))
        w.arg("o_known", I8, "out", "$known")
        w.arg("o_v", array, "out", sink.name)
        w.arg("o_k", U1, "out_valid", sink.name)

    def constants(self, x: Emitter) -> None:
        """Load the tracks' holds into locals, once, and emit ``_settle`` into lines that are reused: they have the same
        constants wherever they are used."""
        for i, track in enumerate(self.sink.tracks):
            self.w.put(f"hold{i} = {x.integer(NEVER if track.hold is None else track.hold)}")
        w, begin, depth = self.w, len(self.w.lines), self.w.depth
        w.depth = 0
        self._compare()
        w.depth = depth
        self._text = "\n".join(w.lines[begin:])
        del w.lines[begin:]

    def _settle(self) -> None:
        """Compare the current values since ``tc`` with the pending interval."""
        self.w.put(self._text)

    def _write(self, start: str, end: str, *, lead: bool = False) -> None:
        """The pending interval, cut to the range; nothing if it is empty."""
        w = self.w
        w.put(f"lo = max({start}, since)\nhi = min({end}, until)")
        with w.block("if lo < hi:"):
            w.put("o_time[on] = lo\no_end[on] = hi")
            known, value, valid = ("2", "0", "0") if lead else ("pk", "pv", "pk")
            w.put(f"o_known[on] = {known}\no_v[on] = {value}\no_k[on] = {valid}")
            for j in range(len(self.sink.held)):
                w.put(f"oh{j}_v[on] = {'0' if lead else f'ph{j}'}\noh{j}_k[on] = {'0' if lead else f'phk{j}'}")
            w.put("on += 1")

    def _compare(self) -> None:
        w, sink = self.w, self.sink
        with w.block("if dirty != 0:"):
            x = Emitter(w, row="np.int64(-1)")
            for i, track in enumerate(sink.tracks):
                text = f"tv{i} != 0" if _kind(track) is Type.BOOL else f"tv{i}"
                x.given(track_node(track.name, _kind(track)), x.name(text, f"tk{i} != 0"))
            v, k = x.emit(sink.state)
            v = f"np.int64({v})" if sink.state.type is not Type.FLOAT else v
            w.put(f"now = {v}\nnk = {k}")
            held = range(len(sink.held))
            differs = ["pn == 0", "(pk != 0) != nk", "(nk and pv != now)"]
            differs += [f"phk{j} != chk{j} or (chk{j} != 0 and ph{j} != ch{j})" for j in held]
            with w.block(f"if {' or '.join(differs)}:"):
                with w.block("if pn != 0:"):
                    self._write("ps", "tc")
                w.put("pn = np.uint8(1)\npk = np.uint8(nk)\npv = now\nps = tc")
                w.put("\n".join(f"ph{j} = ch{j}\nphk{j} = chk{j}" for j in held))
            w.put("dirty = np.uint8(0)")

    def _pass(self, now: str) -> None:
        """Advance from ``tc`` to ``now``: tracks whose last report is too old expire, the oldest first."""
        w, tracks = self.w, self.sink.tracks
        # Only now is it certain that no row at ``tc`` refreshes what ends there.
        self._expire("tc", "<=")
        self._settle()
        with w.block("while True:"):
            w.put(f"nx = {now}")
            for i in range(len(tracks)):
                with w.block(f"if live{i} != 0:"):
                    w.put(f"nx = min(nx, tr{i} + hold{i})")
            with w.block(f"if nx >= {now}:"):
                w.put("break")
            self._expire("nx", "==")
            w.put("tc = nx")
            self._settle()

    def _expire(self, now: str, test: str) -> None:
        for i, track in enumerate(self.sink.tracks):
            with self.w.block(f"if live{i} != 0 and tr{i} + hold{i} {test} {now}:"):
                self.w.put(f"live{i} = np.uint8(0)\ndirty = np.uint8(1)")
                self.w.put(f"tv{i} = np.int64(0)" if track.state is None else f"tk{i} = np.uint8(0)")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        held = [x.emit(e) for _, e in sink.held]
        with w.block("if seen == 0:"):
            w.put("seen = np.uint8(1)\ndirty = np.uint8(1)\ntc = t")
            if sink.lead:
                self._write("since", "t", lead=True)
        with w.block("elif t > tc:"):
            self._pass("t")
            w.put("tc = t")
        for i, track in enumerate(sink.tracks):
            with x.scope():
                self._report(x, i, track)
        for j, ((v, k), (_, e)) in enumerate(zip(held, sink.held, strict=True)):
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with w.block(f"if {k}:"), w.block(f"if chk{j} == 0 or ch{j} != {v}:"):
                w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)\ndirty = np.uint8(1)")

    def _report(self, x: Emitter, i: int, track: BoundTrack) -> None:
        """Apply the row to track ``i``, if it passes the track's operations."""
        w = self.w
        depth = w.depth
        for op in track.ops:
            if isinstance(op, NullTally):
                x.tally(op)
            elif isinstance(op, Keep):
                v, k = x.emit(op.condition)
                w.put(f"if {both(k, v)}:")
                w.depth += 1
            else:
                assert not isinstance(op, Merge | AsOf), "a timeline is made of the points of one stream"
                x.emit(op.value)
        value = "np.int64(1)"
        if track.state is not None:
            v, k = x.emit(track.state)
            w.put(f"if {k}:")
            w.depth += 1
            value = v if track.state.type is Type.FLOAT else f"np.int64({v})"
        w.put(f"tr{i} = t\nlive{i} = np.uint8(1)")
        with w.block(f"if tk{i} == 0 or tv{i} != {value}:"):
            w.put(f"tv{i} = {value}\ntk{i} = np.uint8(1)\ndirty = np.uint8(1)")
        w.depth = depth

    def finish(self, x: Emitter) -> None:
        """The key's last interval, up to ``until``."""
        with self.w.block("if seen != 0:"):
            self._pass("until")
            self._write("ps", "until")


@dataclass(frozen=True)
class BoundTrack:
    """One state among several: rows that pass ``ops`` report ``state`` (None: a heartbeat) for ``hold``."""

    name: str
    ops: tuple[RowOp, ...]
    state: Typed | None
    hold: int | None


@dataclass(frozen=True)
class Tracks(Sink):
    """Sink: intervals of ``state``, an expression of ``track`` nodes. Writes the same columns as ``States``."""

    tracks: tuple[BoundTrack, ...]
    state: Typed
    name: str
    held: tuple[tuple[str, Typed], ...]
    lead: bool

    follows_keys = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        for track in self.tracks:
            for op in track.ops:
                yield from op.expressions()
            yield from () if track.state is None else (track.state,)
        yield self.state
        yield from (e for _, e in self.held)

    def emitter(self, w: SourceWriter) -> TracksEmitter:
        """See Sink."""
        return TracksEmitter(w, self)

    def row_operations(self) -> Iterator[RowOp]:
        """See Sink."""
        for track in self.tracks:
            yield from track.ops

    def memory(self) -> Memory:
        """See Sink."""
        reports = tuple(track.state for track in self.tracks if track.state is not None)
        return Memory(reports, tuple(e for _, e in self.held), computed=(self.state,), first_of_equal=True)

    @property
    def timeline_columns(self) -> tuple[tuple[str, ...], str]:
        """See Sink."""
        return tuple(n for n, _ in self.held), self.name

    def looks_back(self, first: bool) -> Reach:
        """See Sink."""
        return None

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None

    def describe(self) -> str:
        """See Sink."""
        return with_held(f"{len(self.tracks)} timelines", self.held)


@dataclass(frozen=True, eq=False)
class Track:
    """One timeline of a ``Timeline``: row steps over the points, then the step that makes its intervals."""

    name: str
    steps: tuple[Step, ...]
    interval: StateDuration | Heartbeat
    stream: str | None = None
    """Whose points, where timelines of several streams are combined."""


MAX_TRACKS = 32
"""The maximum number of timelines that one step combines."""


def _tracks_out(tracks: tuple[Track, ...]) -> list[dict[str, Any]]:
    return [
        {"name": t.name, "steps": [to_object(s) for s in (*t.steps, t.interval)]}
        | ({} if t.stream is None else {"stream": t.stream})
        for t in tracks
    ]


def _tracks_in(reader: Reader, value: Any, where: str) -> tuple[Track, ...]:
    tracks: list[Track] = []
    items = reader.rows(value, where)
    if not 0 < len(items) <= MAX_TRACKS:
        raise JsonFormError(f"{where}: expected 1 to {MAX_TRACKS} timelines, got {len(items)}")
    for i, item in enumerate(items):
        here = f"{where}[{i}]"
        t = reader.fields(item, here, ["name", "steps"], ["stream"])
        listed = reader.rows(t["steps"], f"{here}.steps")
        steps = [from_object(reader, s, f"{here}.steps[{j}]") for j, s in enumerate(listed)]
        interval = steps[-1] if steps else None
        if not isinstance(interval, StateDuration | Heartbeat) or not all(s.in_timelines for s in steps[:-1]):
            raise JsonFormError(f"{here}.steps: a timeline is made of row steps, then state_duration or heartbeat")
        if any(t["name"] == known.name for known in tracks):
            raise JsonFormError(f"{here}: the name {t['name']!r} is given twice")
        stream = reader.text(t["stream"], f"{here}.stream") if "stream" in t else None
        tracks.append(Track(reader.text(t["name"], f"{here}.name"), tuple(steps[:-1]), interval, stream))
    return tuple(tracks)


@dataclass(frozen=True, eq=False)
class Timeline(Step, op="timeline"):
    """Intervals of ``state``, an expression of the tracks' states at each time; null is unknown."""

    tracks: tuple[Track, ...] = json.field_of(_tracks_out, _tracks_in)
    state: Expr = json.expression()
    name: str = json.text()

    makes = INTERVALS
    looks_back = True
    takes_windows = False

    @property
    def own_columns(self) -> tuple[str, ...]:
        """See Step."""
        return (self.name,)

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for track in self.tracks for step in track.steps for table in step.tables()]

    def chains(self) -> tuple[InnerChain, ...]:
        """See Step."""
        return tuple(
            InnerChain((*t.steps, t.interval), None if t.stream is None else (Source(t.stream),)) for t in self.tracks
        )

    def with_chains(self, chains: Sequence[tuple[Step, ...]]) -> Step:
        """See Step."""
        tracks = [replace(t, steps=c[:-1], interval=c[-1]) for t, c in zip(self.tracks, chains, strict=True)]  # type: ignore[arg-type]
        return replace(self, tracks=tuple(tracks))

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        if len(parts) > 1:  # only from JSON: the DSL combines whole timelines
            return super().after(parts)
        starts = [parts[0] if t.stream is None else f"df.stream({quoted(t.stream)})" for t in self.tracks]
        tracks = [
            keyword(t.name, start + "".join(c for s in (*t.steps, t.interval) for c in s.calls()))
            for t, start in zip(self.tracks, starts, strict=True)
        ]
        options = given({"name": (self.name, "state")})
        return [f"df.combine({', '.join([operand(self.state), *options, *tracks])})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        where = b.where
        if shape.kind != "points":
            raise b.fail("timelines are made of the points of a stream; combine them before anything else")
        stream = b.stream
        tracks = tuple(_bound_track(b, t, shape, f"{where}: {t.name}") for t in self.tracks)
        b.where, b.stream = where, stream
        for e in _all(self.state):
            if e.fn in STATEFUL or e.fn == "time":
                raise b.fail(f"{e.fn} has no meaning in the state of a timeline; use the states of its timelines only")
        env = {t.name: track_node(t.name, Type.BOOL if t.state is None else t.state.type or Type.BOOL) for t in tracks}
        state = b.typed(self.state, replace(shape, env=env, ops=[]))
        if state.type is None:
            raise b.fail("the state is always null, so it has no type")
        own = own_columns(b)
        if self.name in own:
            raise b.fail(f"the state cannot be named {self.name!r}; set another name with name=")
        own[self.name] = column(self.name, state.type)
        held = {n: t for n, t in shape.env.items() if n not in own and n != b.stream.time}
        types = {n: t.type for n, t in held.items() if t.type is not None}
        inputs = {END: Type.TIME, KNOWN: Type.INT, self.name: state.type, **types}
        before, ops = shape, list(shape.ops)

        def stage(needed: set[str]) -> Stage:
            kept = tuple((n, t) for n, t in held.items() if n in needed)
            sink = Tracks(tracks, state, self.name, kept, "$lead" in needed)
            return stage_of_inputs(before.inputs, ops, sink, where)

        env = {n: column(n, t) for n, t in types.items()} | own
        return Bound(
            replace(shape, kind="intervals", env=env, inputs=inputs, ops=[], held=frozenset(held), referred=set()),
            [stage],
        )


def _bound_track(b: Expressions, track: Track, shape: Shape, where: str) -> BoundTrack:
    inner = _points_of(b, track, shape)
    for step in track.steps:
        b.where = f"{where}, {step.method}"
        inner = step.bind(b, inner).shape
    b.where = f"{where}, {track.interval.method}"
    if isinstance(track.interval, Heartbeat):
        return BoundTrack(track.name, tuple(inner.ops), None, track.interval.timeout)
    state = b.typed(track.interval.state, inner)
    if state.type is None:
        raise b.fail("the state is always null, so it has no type")
    b.fix_all([state], inner)
    return BoundTrack(track.name, tuple(inner.ops), state, track.interval.hold)


def _points_of(b: Expressions, track: Track, shape: Shape) -> Shape:
    """The points that a track sees: of several streams, only those of its own."""
    if track.stream is None:
        return replace(shape, env=dict(shape.env), ops=[])
    taken = next((t for t in b.sources.taken if t.name == track.stream), None)
    if taken is None:
        raise b.fail(f"the metric does not read the stream {track.stream!r} of the timeline {track.name!r}")
    b.stream = taken.columns
    inner = points_of(taken, b.sources.several)
    if b.sources.several:
        inner.ops.append(Keep(from_inputs((taken.number,))))
    return inner


def _all(e: Expr) -> list[Expr]:
    return [e, *(n for a in e.args for n in _all(a))]
