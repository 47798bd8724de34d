"""``concurrent`` and ``at_least``: the number of keys, or sessions, for which a condition holds at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dataflow.binding.interval_cuts import cut_by, own_columns
from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import I8, OUT_ROWS, U1, SourceWriter, value_array
from dataflow.expressions.aggregate_calls import Agg, Named
from dataflow.expressions.call_text import call, columns_text
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.sink import Sink
from dataflow.plan.stages import Stage, Sweep
from dataflow.sinks.group_sink import Group
from dataflow.steps.base import INTERVALS, Bound, Step, StepGroups
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.clock import asks_clock
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import Typed, column
from dataflow.values.shares import share_of
from operators.aggregates import REGISTRY
from operators.types import Type


class EdgesEmitter(SinkEmitter):
    """Writes two rows per interval: its start and its end."""

    def __init__(self, w: SourceWriter, sink: Edges) -> None:
        super().__init__(w)
        self.sink = sink
        self.full = "on + 1 >= cap"

    def row(self, x: Emitter) -> None:
        """One interval that has passed the stage's operations."""
        w, sink = self.w, self.sink
        v, k = x.emit(sink.condition)
        # A condition can be known while the state is unknown: false & null is false.
        w.put(f"clear = bool({k})\nactive = clear and bool({v})")
        outs = [w.arg(f"o_{n}", I8, "out", f"${n}") for n in ("at", "active", "inactive", "unknown")]
        columns = []
        for j, (name, e) in enumerate(sink.by):
            value, valid = x.emit(e)
            columns.append((w.arg(f"o{j}_v", value_array(e.type), "out", name), value))
            columns.append((w.arg(f"o{j}_k", U1, "out_valid", name), valid))
        for at, sign in (("t", "1"), ("e + 1" if sink.closed else "e", "-1")):
            changes = [at, f"{sign} if active else 0", f"{sign} if clear and not active else 0"]
            changes.append(f"0 if clear else {sign}")
            w.put("\n".join(f"{out}[on] = {change}" for out, change in zip(outs, changes, strict=True)))
            w.put("\n".join(f"{out}[on] = {value}" for out, value in columns))
            w.put("on += 1")
        w.put(f"s[{OUT_ROWS}] = on")


@dataclass(frozen=True)
class Edges(Sink):
    """Sink: two rows per interval, at its start and its end.

    Writes ``by``, ``$at`` and the changes there in the numbers of keys whose condition is true (``$active``), false
    (``$inactive``) and null (``$unknown``). ``closed``: the rows are sessions, to which the instant of their last point
    belongs; times are whole microseconds, so the edge is one microsecond later.
    """

    by: tuple[tuple[str, Typed], ...]
    condition: Typed
    closed: bool = False

    gathers = False

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.by)
        yield self.condition

    def emitter(self, w: SourceWriter) -> EdgesEmitter:
        """See Sink."""
        return EdgesEmitter(w, self)

    def hidden(self) -> set[str]:
        """See Sink."""
        return {END, KNOWN}

    def laws(self) -> Iterator[str]:
        """See Sink."""
        yield "numbers of keys are sums of +1 and -1 at the edges of intervals"

    def describe(self) -> str:
        """See Sink."""
        rows = "sessions" if self.closed else "intervals"
        return f"edges of {rows} by {', '.join(n for n, _ in self.by) or 'nothing'}"


COUNTS = ("active", "inactive", "unknown")


def _number_in(reader: Reader, value: Any, where: str) -> int | str | None:
    return None if value is None else _number_of(value, where, {})


def _number_of(value: Any, where: str, others: Mapping[str, Any]) -> int | str:
    if isinstance(value, str) and share_of(value) is not None:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise JsonFormError(
            f"{where}: expected a positive integer, a share like '50%' (at most '100%'), got {short(value)}"
        )
    return value


def _number_text(k: object) -> str:
    return quoted(k) if isinstance(k, str) else str(k)


@dataclass(frozen=True, eq=False)
class Concurrent(Step, op="concurrent"):
    """Intervals of each group: the number of keys (or sessions) for which the condition holds, or whether it is
    ``at_least`` k, or such a share of them ("50%")."""

    condition: Expr = json.expression()
    by: Named = json.columns()
    at_least: int | str | None = json.field_of(lambda k: k, _number_in, value=_number_of)

    makes = INTERVALS
    of_keys = False
    looks_back = True

    @property
    def method(self) -> str:
        """See Step."""
        return "concurrent" if self.at_least is None else "at_least"

    @property
    def own_columns(self) -> tuple[str, ...]:
        """See Step."""
        return (*(n for n, _ in self.by), *(COUNTS if self.at_least is None else ("state",)))

    def groups(self) -> StepGroups:
        """See Step."""
        return StepGroups(self.by, (("condition", Agg("duration", (self.condition,))),), at_once=True)

    def calls(self) -> list[str]:
        """See Step."""
        options = [operand(self.condition), *columns_text(self.by)]
        return [call(self.method, options if self.at_least is None else [_number_text(self.at_least), *options])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind not in ("intervals", "sessions") or not shape.keyed:
            raise b.fail(
                "it needs the intervals of keys, or sessions; use it after state_duration, heartbeat, combined "
                "timelines or sessionize"
            )
        for name, e in self.by:
            if asks_clock(e):
                raise b.fail(f"{name!r}: keys cannot be grouped by time here; group the resulting intervals by time")
        stages, shape, columns = cut_by(b, shape, [self.condition])
        condition = columns.get(0) or b.condition(self.condition, shape, "it")
        if condition.type not in (Type.BOOL, None):
            raise b.fail(f"it takes a condition, got {condition.type}")
        by: list[tuple[str, Typed]] = []
        taken = ("start", "end", "duration", *(COUNTS if self.at_least is None else ("state",)))
        for name, e in self.by:
            typed = b.typed(e, shape)
            if typed.type is None:
                raise b.fail(f"the group column {name!r} is always null")
            if name in taken:
                raise b.fail(f"a group column cannot be named {name!r}, which this step uses for its own column")
            if any(n.fn in ("time", "end") for n in typed.walk()):
                raise b.fail("keys cannot be grouped by time here; group the resulting intervals by time")
            by.append((name, typed))
        b.fix_all([condition, *(t for _, t in by)], shape)
        where, before, closed = b.where, shape, shape.kind == "sessions"
        written = {n: t.type for n, t in by if t.type is not None}
        edges = {**written, "$at": Type.TIME, **{f"${n}": Type.INT for n in COUNTS}}

        def stage(_: set[str]) -> Stage:
            return stage_of_inputs(before.inputs, before.ops, Edges(tuple(by), condition, closed), where)

        sums = tuple(BoundAgg(f"${n}", REGISTRY["sum", Type.INT], column(f"${n}", Type.INT), ()) for n in COUNTS)
        keys = tuple((n, column(n, edges[n])) for n in (*written, "$at"))
        group = stage_of_inputs(edges, [], Group(keys, sums, False, False), where)
        own = own_columns(b)
        del own[b.stream.key]
        counts = dict.fromkeys(COUNTS, Type.INT) if self.at_least is None else {"state": Type.BOOL}
        inputs = {**written, **counts, END: Type.TIME, KNOWN: Type.INT}
        env = {n: column(n, t) for n, t in written.items()} | own | {n: column(n, t) for n, t in counts.items()}
        shape = replace(shape, env=env, inputs=inputs, ops=[], held=frozenset(), referred=set())
        shape.kind, shape.keyed = "intervals", False
        return Bound(shape, [*stages, stage], group, [Sweep(tuple(written), self.at_least)])
