"""``activity`` (``lifecycle`` groups it): in which calendar buckets a key was new, came back or stayed away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, Codes, SourceWriter, value_array
from dataflow.expressions.call_text import call, given
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.plan.sink import with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.times.zones import check_zone
from dataflow.typed.nodes import Typed
from operators.types import Type

STATUS = "status"

ACTIVITIES = ("new", "returning", "resurrecting", "dormant")
"""What a key is in a bucket: seen for the first time; as in the bucket before; again, after it was away; away, for the
first bucket."""

_UNKNOWN, _IS_HERE, _LEFT, _AWAY = range(4)
"""Stages of a key: before its first row, in a bucket, after that was written, and after the next, without rows, was."""


class ActivityEmitter(FlowEmitter):
    """Emits the code of an ``ActiveBuckets`` sink."""

    def __init__(self, w: SourceWriter, sink: ActiveBuckets) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.keep(("stage", U1), ("status", Codes(I8)), ("first", I8), ("final", I8))
        for j, (_, e) in enumerate(sink.held):
            self.keep((f"sh{j}", value_array(e.type)), (f"shk{j}", U1))
        w.arg("o_status", Codes(I8), "out", STATUS)

    def constants(self, x: Emitter) -> None:
        """Load the words into locals, once."""
        for word in ACTIVITIES:
            self.w.put(f"{word} = {x.integer(word)}")

    def _bucket(self, x: Emitter) -> str:
        return x.bucket(self.sink.bucket.option("every"), self.sink.bucket.option("zone"))

    def _write(self, first: str, final: str, status: str, held: tuple[str, str]) -> None:
        """A row of a bucket, if that overlaps the range."""
        w = self.w
        with w.block(f"if {final} > since and {first} < until:"):
            w.put(f"o_time[on] = {first}\no_end[on] = {final}\no_status[on] = {status}")
            self.write_held(*held)
            w.put("on += 1")

    def _leave(self) -> None:
        """Write the bucket in which the key had rows."""
        self._write("first", "final", "status", ("sh", "shk"))
        self.w.put(f"stage = np.uint8({_LEFT})")

    def advance(self, x: Emitter) -> None:
        """Write the bucket that has ended, and the one after it if that has ended, too."""
        w = self.w
        with w.block(f"if stage == {_IS_HERE} and t >= final:"):
            self.room("i")
            self._leave()
        with w.block(f"if stage == {_LEFT}:"):
            w.put(f"away = bucket_end(final, {self._bucket(x)})")
            with w.block("if t >= away:"):
                self.room("i")
                self._write("final", "away", "dormant", ("ch", "chk"))
                w.put(f"stage = np.uint8({_AWAY})")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        with w.block(f"if stage != {_IS_HERE}:"):
            w.put(f"status = new if stage == {_UNKNOWN} else (returning if stage == {_LEFT} else resurrecting)")
            w.put(f"stage = np.uint8({_IS_HERE})")
            w.put(f"first = bucket_start(t, {self._bucket(x)})\nfinal = bucket_end(t, {self._bucket(x)})")
            for j in range(len(self.held)):
                w.put(f"sh{j} = ch{j}\nshk{j} = chk{j}")

    def finish(self, x: Emitter) -> None:
        """The last bucket, and the one after it if that begins before the end of the range."""
        w = self.w
        with w.block(f"if stage == {_IS_HERE}:"):
            self._leave()
        with w.block(f"if stage == {_LEFT}:"):
            w.put(f"away = bucket_end(final, {self._bucket(x)})")
            self._write("final", "away", "dormant", ("ch", "chk"))


@dataclass(frozen=True)
class ActiveBuckets(Flow):
    """Activity: one row per key and calendar bucket in which it was active, or was away for the first time. Writes
    start (as time), end and ``status``."""

    bucket: Typed

    once_a_key = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield self.bucket
        yield from super().expressions()

    @property
    def history(self) -> int | None:
        """Everything: whether a key is new, and was there in the bucket before."""
        return None

    def emitter(self, w: SourceWriter) -> ActivityEmitter:
        """See Sink."""
        return ActivityEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        return with_held(f"activity by {self.bucket.option('every')} in {self.bucket.option('zone')}", self.held)


@dataclass(frozen=True, eq=False)
class Activity(KeyedStep, op="activity"):
    """The calendar buckets in which each key was active, and the first ones in which it was away."""

    every: str = json.every()
    zone: str = json.text()

    looks_back = True

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        check_zone(self.zone, b.where)
        bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", self.every), ("zone", self.zone)))
        return KeyedRows("sessions", {STATUS: Type.STRING}, lambda held, _: ActiveBuckets(held, bucket), {})

    def calls(self) -> list[str]:
        """See Step."""
        return [call("activity", [quoted(self.every), *given({"zone": (self.zone, "UTC")})])]
