"""``state_duration`` and ``heartbeat``: the intervals of each key, in order, from its points in time order.

Per key there is the *pending* interval, which starts at ``ps`` and has a state (known or not) and held columns, and the
*current* values since the time ``tc`` of the latest row. All rows of one time are applied before current and pending
are compared, so at equal times a later row replaces an earlier one without a trace. A pending interval is written when
it ends: by a change, or ``hold`` after the last report. Midnight does not end it; only the range cuts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import KeyedEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, Tables, value_array
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.plan.sink import Memory, NamedTyped, Reach, Sink, with_held
from dataflow.steps.base import INTERVALS
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.times.durations import written_duration
from dataflow.typed.hidden_columns import KNOWN
from dataflow.typed.nodes import Typed
from operators.types import Type

NEVER = 2**62


class StatesEmitter(KeyedEmitter):
    """Emits the code of a ``States`` sink."""

    def __init__(self, w: SourceWriter, sink: States) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.heartbeat = sink.state is None
        kind = Type.BOOL if sink.state is None else sink.state.type
        self.full = "on + 3 > cap"
        self.keep(("seen", U1), ("dirty", U1), ("pn", U1), ("pk", U1), ("ck", U1), ("tc", I8), ("ps", I8), ("lr", I8))
        if not self.heartbeat:
            self.keep(("pv", value_array(kind)), ("cv", value_array(kind)))
        for j, (_, e) in enumerate(sink.held):
            array = value_array(e.type)
            self.keep((f"ph{j}", array), (f"ch{j}", array), (f"phk{j}", U1), (f"chk{j}", U1))
        w.arg("o_known", I8, "out", "$known")
        w.arg("o_v", value_array(kind), "out", sink.name)
        w.arg("o_k", U1, "out_valid", sink.name)

    def constants(self, x: Emitter) -> None:
        """Load the hold into a local, once."""
        self.w.put(f"hold = {x.integer(NEVER if self.sink.hold is None else self.sink.hold)}")

    def _write(self, start: str, end: str, known: str, *, lead: bool = False) -> None:
        """One interval, cut to the range; nothing if it is empty."""
        w = self.w
        w.put(f"lo = max({start}, since)\nhi = min({end}, until)")
        with w.block("if lo < hi:"):
            w.put("o_time[on] = lo\no_end[on] = hi")
            if lead:
                w.put("o_known[on] = 2\no_v[on] = 0\no_k[on] = 0")
            elif self.heartbeat:
                w.put(f"o_known[on] = 1\no_v[on] = {known}\no_k[on] = 1")
            else:
                w.put(f"o_known[on] = {known}\no_v[on] = pv\no_k[on] = {known}")
            for j in range(len(self.sink.held)):
                w.put(f"oh{j}_v[on] = {'0' if lead else f'ph{j}'}\noh{j}_k[on] = {'0' if lead else f'phk{j}'}")
            w.put("on += 1")

    def _settle(self) -> None:
        """Compare the current values since ``tc`` with the pending interval."""
        w = self.w
        held = range(len(self.sink.held))
        differs = ["pn == 0", "pk != ck"]
        if not self.heartbeat:
            differs.append("(ck != 0 and pv != cv)")
        differs += [f"phk{j} != chk{j} or (chk{j} != 0 and ph{j} != ch{j})" for j in held]
        with w.block("if dirty != 0:"):
            with w.block(f"if {' or '.join(differs)}:"):
                with w.block("if pn != 0:"):
                    self._write("ps", "tc", "pk")
                w.put("pn = np.uint8(1)\npk = ck\nps = tc")
                if not self.heartbeat:
                    w.put("pv = cv")
                w.put("\n".join(f"ph{j} = ch{j}\nphk{j} = chk{j}" for j in held))
            w.put("dirty = np.uint8(0)")

    def _expire(self, now: str) -> None:
        """End a known interval whose last report is more than ``hold`` before ``now``."""
        w = self.w
        with w.block(f"if pk != 0 and lr + hold < {now}:"):
            self._write("ps", "lr + hold", "pk")
            w.put("ps = lr + hold\npk = np.uint8(0)\nck = np.uint8(0)")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        state = None if sink.state is None else x.emit(sink.state)
        held = [x.emit(e) for _, e in sink.held]
        with w.block("if seen == 0:"):
            w.put("seen = np.uint8(1)\ndirty = np.uint8(1)\ntc = t")
            if sink.lead:
                self._write("since", "t", "0", lead=True)
        with w.block("elif t > tc:"):
            self._settle()
            # A row is bridged if rows skipped since the previous one kept the state alive until here.
            w.arg("bridged", U1, "bridged")
            with w.block("if bridged[u & mb] == 0:"):
                self._expire("t")
            w.put("tc = t")
        if state is None:
            w.put("lr = t")
            with w.block("if ck == 0:"):
                w.put("ck = np.uint8(1)\ndirty = np.uint8(1)")
        else:
            v, k = state
            kind = sink.state.type if sink.state is not None else None
            v = f"np.int64({v})" if kind is not Type.FLOAT else v
            with w.block(f"if {k}:"):
                w.put("lr = t")
                with w.block(f"if ck == 0 or cv != {v}:"):
                    w.put(f"cv = {v}\nck = np.uint8(1)\ndirty = np.uint8(1)")
        for j, ((v, k), (_, e)) in enumerate(zip(held, sink.held, strict=True)):
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with w.block(f"if {k}:"), w.block(f"if chk{j} == 0 or ch{j} != {v}:"):
                w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)\ndirty = np.uint8(1)")

    def skip_ahead(self, tables: Tables) -> None:
        """Skip following rows that change nothing: the same state and held columns, no gap.

        They would only advance the time of the last report. Needs plain columns: computed values may have side effects.
        """
        sink, masks = self.sink, tables.masks
        exprs = [*([] if sink.state is None else [sink.state]), *(e for _, e in sink.held)]
        if any(e.fn != "in" for e in exprs):
            return
        same = ["following < stop", "time[np.uint64(following)] < until", "time[np.uint64(following)] <= lr + hold"]
        names = [("cv", "ck", sink.state)] if sink.state is not None else []
        names += [(f"ch{j}", f"chk{j}", e) for j, (_, e) in enumerate(sink.held)]
        for now, has, e in names:
            j = masks.index((str(e.option("name")), "value")) // 2
            valid = f"a_{j}[np.uint64(following) & ma_{j}] != 0"
            equal = f"v_{j}[np.uint64(following) & mv_{j}] == {now}"
            if has == "ck":
                same.append(f"{valid} and {equal}")
            else:
                same.append(f"(not ({valid}) or ({has} != 0 and {equal}))")
        w = self.w
        with w.block("if dirty == 0 and ck != 0:"):
            with w.block(f"while {' and '.join(same)}:"):
                w.put("lr = time[np.uint64(following)]\nfollowing += 1")
            w.put("tc = max(tc, lr)")

    def finish(self, x: Emitter) -> None:
        """The key's last interval, up to ``until``."""
        with self.w.block("if seen != 0:"):
            self._settle()
            self._expire("until")
            self._write("ps", "until", "pk")


@dataclass(frozen=True)
class States(Sink):
    """Sink: intervals of states. ``state`` None is a heartbeat: any row is one.

    Writes start (as time), end, ``$known``, the state under ``name``, and the held columns.
    """

    state: Typed | None
    name: str
    hold: int | None
    held: tuple[tuple[str, Typed], ...]
    lead: bool
    """Whether a later step counts the time before a key's first point."""

    follows_keys = True
    rows_per_second = 80e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        if self.state is not None:
            yield self.state
        yield from (e for _, e in self.held)

    def emitter(self, w: SourceWriter) -> StatesEmitter:
        """See Sink."""
        return StatesEmitter(w, self)

    def looks_back(self, first: bool) -> Reach:
        """See Sink."""
        return None

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None

    def memory(self) -> Memory:
        """See Sink."""
        reports = () if self.state is None else (self.state,)
        return Memory(reports, tuple(e for _, e in self.held), first_of_equal=True)

    @property
    def timeline_columns(self) -> tuple[tuple[str, ...], str]:
        """See Sink."""
        return tuple(n for n, _ in self.held), self.name

    def lasting(self) -> States:
        """See Sink."""
        return self

    def describe(self) -> str:
        """See Sink."""
        return with_held("heartbeat intervals" if self.state is None else "state intervals", self.held)


class StateStep(KeyedStep):
    """A step that makes intervals of a state."""

    makes = INTERVALS

    def _rows(self, name: str, kind: Type, state: Typed | None, hold: int | None) -> KeyedRows:
        def sink(held: NamedTyped, needed: set[str]) -> States:
            return States(state, name, hold, held, "$lead" in needed)

        return KeyedRows("intervals", {name: kind}, sink, {KNOWN: Type.INT})


@dataclass(frozen=True, eq=False)
class StateDuration(StateStep, op="state_duration"):
    """Intervals during which each key had each value of ``state``; a report lasts at most ``hold`` microseconds."""

    state: Expr = json.expression()
    name: str = json.text()
    hold: int | None = json.optional_length()

    @property
    def own_columns(self) -> tuple[str, ...]:
        """See Step."""
        return (self.name,)

    @property
    def state_reported(self) -> Expr:
        """See Step."""
        return self.state

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        state = b.typed(self.state, shape)
        if state.type is None:
            raise b.fail("the state is always null, so it has no type")
        if self.name in own:
            raise b.fail(f"the state cannot be named {self.name!r}; set another name with name=")
        b.fix_all([state], shape)
        return self._rows(self.name, state.type, state, self.hold)

    def calls(self) -> list[str]:
        """See Step."""
        usual = str(self.state.option("name")) if self.state.fn == "col" else "state"
        options = given({"hold": (self.hold, None), "name": (self.name, usual)})
        return [call("state_duration", [column_or(self.state), *options])]


@dataclass(frozen=True, eq=False)
class Heartbeat(StateStep, op="heartbeat"):
    """Intervals during which each key was alive (a point in the last ``timeout`` microseconds) or not."""

    timeout: int = json.length()

    @property
    def own_columns(self) -> tuple[str, ...]:
        """See Step."""
        return ("alive",)

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        return self._rows("alive", Type.BOOL, None, self.timeout)

    def calls(self) -> list[str]:
        """See Step."""
        return [call("heartbeat", [quoted(written_duration(self.timeout))])]
