"""How each aggregate follows a window that moves over the rows of a key: source code for a row that enters, a row that
leaves, and the result.

Sums and counts add and subtract, exactly; extremes are a queue of those that may still become one; ``first`` and
``last`` are places. Any other aggregate is computed from the rows of the window anew, with its own step.

Locals per window are ``lo`` and ``hi`` with its number: the rows [lo, hi) of the batch are in it. ``u`` is the row that
enters or leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.sinks.folding import fold
from dataflow.typed.aggregates_bound import BoundAgg
from operators.contract import Aggregate
from operators.kernels.sums.moving_sums import WORK
from operators.types import Type

STATE = "$state"
"""Prefix of hidden columns with the fields of an aggregate's state, which its ``finish`` reads."""


class WindowFold:
    """The base: an aggregate, the number of its window, and its own number."""

    by_finish = False
    """Whether the result is that of the aggregate's ``finish``, of fields in columns named with ``STATE``."""

    marked = False
    """Whether some rows of the batch are in no window, by ``row_flags``."""

    def __init__(self, w: SourceWriter, number: int, window: int, agg: BoundAgg) -> None:
        self.w, self.j, self.window, self.agg = w, number, window, agg

    def declare(self) -> None:
        """Declare arguments."""
        kind = self.agg.aggregate.result
        self.w.arg(f"ow{self.j}_v", value_array(kind), "out", self.agg.name)
        self.w.arg(f"ow{self.j}_k", U1, "out_valid", self.agg.name)

    def reset(self) -> None:
        """Begin with an empty window."""

    def enter(self, x: Emitter) -> None:
        """The row ``u`` enters."""

    def leave(self, x: Emitter) -> None:
        """The row ``u`` leaves."""

    def result(self, x: Emitter) -> None:
        """Write the result into output row ``on``."""

    # ---- helpers

    @contextmanager
    def taken(self, x: Emitter) -> Iterator[str]:
        """Code for a row that counts: its conditions hold, and its argument, which is given, is not null."""
        w, a = self.w, self.agg
        depth = w.depth
        with x.scope():
            for condition in a.where:
                v, k = x.emit(condition)
                w.put(f"if {both(v, k)}:")
                w.depth += 1
            value = "np.int64(0)"
            if a.argument is not None:
                value, k = x.emit(a.argument)
                if a.argument.type is Type.BOOL:
                    value = f"np.int64({value})"
                if k != "True":
                    w.put(f"if {k}:")
                    w.depth += 1
            yield value
        w.depth = depth

    def put(self, text: str) -> None:
        """Code in which ``#`` stands for this aggregate's number."""
        self.w.put(text.replace("#", str(self.j)))


class CountedFold(WindowFold):
    """``count``, and sums and means of integers: their own fields, whose changes are undone when a row leaves."""

    by_finish = True

    def declare(self) -> None:
        """See WindowFold."""
        assert isinstance(self.agg.aggregate, Aggregate)
        self.fields = [f.name for f in self.agg.aggregate.fields]
        for name in self.fields:
            self.w.arg(f"ow{self.j}_{name}", I8, "out", f"{STATE}.{self.j}.{name}")

    def reset(self) -> None:
        """See WindowFold."""
        for name in self.fields:
            self.put(f"{name}# = np.int64(0)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        self._move(x, "+")

    def leave(self, x: Emitter) -> None:
        """See WindowFold."""
        self._move(x, "-")

    def _move(self, x: Emitter, sign: str) -> None:
        with self.taken(x) as v:
            self.put(f"n# {sign}= 1")
            if "low" in self.fields:
                self.put(f"low# {sign}= {v} & np.int64(0xFFFFFFFF)\nhigh# {sign}= {v} >> 32")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        for name in self.fields:
            self.put(f"ow#_{name}[on] = {name}#")


class FloatSumFold(WindowFold):
    """``sum``, ``mean`` and ``increase`` of floats."""

    def declare(self) -> None:
        """See WindowFold."""
        super().declare()
        self.w.arg(f"digits{self.j}", "i8[:,::1]", "scratch", "digits", self.j)
        if self.agg.aggregate.name == "mean":
            self.w.arg(f"work{self.j}", I8, "scratch", WORK, self.j)

    def reset(self) -> None:
        """See WindowFold."""
        self.put("a# = 0.0\nb# = 0.0\nwide# = np.int64(0)\nn# = np.int64(0)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x) as v:
            self.put(f"a#, b#, wide# = add_moving(a#, b#, wide#, digits#, {v})\nn# += 1")

    def leave(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x) as v:
            self.put(f"a#, b#, wide# = remove_moving(a#, b#, wide#, digits#, {v})\nn# -= 1")
            with self.w.block(f"if n{self.j} == 0:"):
                self.put("a# = 0.0\nb# = 0.0\nwide# = np.int64(0)")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        name = self.agg.aggregate.name
        if name == "mean":
            self.put("y# = moving_mean(a#, b#, wide#, digits#, work#, n#) if n# > 0 else 0.0\nyk# = n# > 0")
        else:
            self.put("y# = moving_sum(a#, b#, wide#, digits#)")
            self.put("yk# = n# > 0 and (wide# == 0 or is_a_sum(np.uint64(0), digits#, y#))")
            if name == "increase":
                # An increment that is too large comes as NaN.
                self.put("yk# = yk# and y# == y#")
        self.put("ow#_v[on] = y#\now#_k[on] = yk#")


class ExtremeFold(WindowFold):
    """``min`` and ``max`` of numbers: a queue of the rows that are extreme among those that come after them."""

    def declare(self) -> None:
        """See WindowFold."""
        super().declare()
        self.w.arg(f"at{self.j}", I8, "scratch", "rows", f"{self.j} at")
        self.w.arg(f"best{self.j}", I8, "scratch", "rows", f"{self.j} best")

    def reset(self) -> None:
        """See WindowFold."""
        self.put("head# = np.int64(0)\ntail# = np.int64(0)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        assert self.agg.argument is not None
        worse = ">=" if self.agg.aggregate.name == "min" else "<="
        with self.taken(x) as v:
            self.put(f"y# = float_order({v})" if self.agg.argument.type is Type.FLOAT else f"y# = np.int64({v})")
            with self.w.block(
                f"while tail{self.j} > head{self.j} and best{self.j}[tail{self.j} - 1] {worse} y{self.j}:"
            ):
                self.put("tail# -= 1")
            self.put("at#[tail#] = np.int64(u)\nbest#[tail#] = y#\ntail# += 1")

    def leave(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.w.block(f"if tail{self.j} > head{self.j} and at{self.j}[head{self.j}] == np.int64(u):"):
            self.put("head# += 1")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        self.put("yk# = tail# > head#\ny# = best#[head#] if yk# else np.int64(0)")
        self.put("ow#_v[on] = " + ("order_float(y#)" if self.agg.aggregate.result is Type.FLOAT else "y#"))
        self.put("ow#_k[on] = yk#")


class LastFold(WindowFold):
    """``last``: the place of the last value that entered."""

    def reset(self) -> None:
        """See WindowFold."""
        self.put("at# = np.int64(-1)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x):
            self.put("at# = np.int64(u)")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        assert self.agg.argument is not None
        self.put(f"yk# = at# >= lo{self.window}\now#_k[on] = yk#")
        with self.w.block(f"if yk{self.j}:"), row_of_batch(self.w, x, f"at{self.j}"):
            v, _ = x.emit(self.agg.argument)
            self.put(f"ow#_v[on] = {v}")
        with self.w.block("else:"):
            self.put("ow#_v[on] = 0")


class FirstFold(WindowFold):
    """``first``: the place of the first value, found by going on from the one before."""

    def declare(self) -> None:
        """See WindowFold."""
        super().declare()
        self.w.arg(f"at{self.j}", I8, "scratch", "rows", f"{self.j} at")

    def reset(self) -> None:
        """See WindowFold."""
        self.put("head# = np.int64(0)\ntail# = np.int64(0)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x):
            self.put("at#[tail#] = np.int64(u)\ntail# += 1")

    def leave(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.w.block(f"if tail{self.j} > head{self.j} and at{self.j}[head{self.j}] == np.int64(u):"):
            self.put("head# += 1")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        assert self.agg.argument is not None
        self.put("yk# = tail# > head#\now#_k[on] = yk#")
        with self.w.block(f"if yk{self.j}:"), row_of_batch(self.w, x, f"at{self.j}[head{self.j}]"):
            v, _ = x.emit(self.agg.argument)
            self.put(f"ow#_v[on] = {v}")
        with self.w.block("else:"):
            self.put("ow#_v[on] = 0")


class TruthFold(WindowFold):
    """``any_true`` and ``all_true``: the numbers of both values."""

    def reset(self) -> None:
        """See WindowFold."""
        self.put("true# = np.int64(0)\nn# = np.int64(0)")

    def enter(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x) as v:
            self.put(f"true# += {v}\nn# += 1")

    def leave(self, x: Emitter) -> None:
        """See WindowFold."""
        with self.taken(x) as v:
            self.put(f"true# -= {v}\nn# -= 1")

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        found = "true# > 0" if self.agg.aggregate.name == "any_true" else "true# == n#"
        self.put(f"ow#_v[on] = np.int64({found})\now#_k[on] = n# > 0")


class AnewFold(WindowFold):
    """Any aggregate, from all rows of the window: into row ``gid`` of its state, as one of the ``AnewFold``s there."""

    def __init__(self, w: SourceWriter, number: int, window: int, agg: BoundAgg, cell: int) -> None:
        super().__init__(w, number, window, agg)
        self.cell = cell

    def declare(self) -> None:
        """See WindowFold."""

    def result(self, x: Emitter) -> None:
        """See WindowFold."""
        w = self.w
        inside = w.block("if row_flags[u] & 1 == 0:") if self.marked else nullcontext()
        with w.block(f"for row_in in range(lo{self.window}, hi{self.window}):"), row_of_batch(w, x, "row_in"), inside:
            fold(w, x, self.cell, self.agg, "gid")


@contextmanager
def row_of_batch(w: SourceWriter, x: Emitter, row: str) -> Iterator[None]:
    """Inside, expressions are those of another row of the batch."""
    w.put(f"u = np.uint64({row})")
    with x.piece("time[u]", "np.int64(0)"):
        yield


_FLOATS = ("sum", "mean", "increase")
_KNOWN: dict[str, type[WindowFold]] = {"count": CountedFold, "first": FirstFold, "last": LastFold}


def fold_of(agg: BoundAgg) -> type[WindowFold]:
    """How this aggregate follows a window."""
    a = agg.aggregate
    if not isinstance(a, Aggregate):
        return AnewFold
    if a.name in _FLOATS:
        return FloatSumFold if a.argument is Type.FLOAT else CountedFold
    if a.name in ("min", "max"):
        return ExtremeFold
    if a.name in ("any_true", "all_true"):
        return TruthFold
    return _KNOWN.get(a.name, AnewFold)
