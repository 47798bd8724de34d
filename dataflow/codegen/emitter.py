"""Emits the source of expressions: straight-line code in which every value has a name and a validity.

Null is (any value, False). Common subexpressions are computed once. Checked arithmetic runs only where its operands
are valid: a null's value is arbitrary and must not look like an overflow. ``SOURCES`` maps each function to the code
that emits it; the modules of this folder register theirs there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from dataflow.codegen.writer import BEGIN, FIXED, I8, U1, Site, SourceWriter, clock_locals
from dataflow.expressions.functions import FUNCTIONS, Function
from dataflow.typed.clock import NOW
from dataflow.typed.described import described
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import NullTally
from operators.kernels.arithmetic import SITES
from operators.types import Type

assert BEGIN == 0

Value = tuple[str, str]
"""Names or constants of a value and its validity."""

_MOVES = repr(NOW)


class Emitter:
    """Emits expressions into a writer; each is computed once per scope."""

    def __init__(self, w: SourceWriter, time: str = "t", end: str = "e", row: str = "i") -> None:
        self.w = w
        self.row = row
        self.time = time
        self.end = end
        self.now = ""
        """The instant of an interval at which expressions of the clock are computed."""

        self.is_new = ""
        """If a sink can stop within a row: the condition that this row is not a resumed one."""

        self.has_early = False
        """Whether rows before the range occur, marked in ``early``."""

        self.uses: dict[str, str] = {}
        """Descriptions of aggregates, by the expressions that only they use."""

        self._known: dict[str, Value] = {}
        self._fixed: dict[str, Value] = {}

    # ---- scopes

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values computed inside are dropped afterwards: the code may not have run."""
        saved = dict(self._known)
        yield
        self._known = saved

    @contextmanager
    def piece(self, time: str, end: str) -> Iterator[None]:
        """Inside, time and end are those of a piece of an interval; only numbered values are reused."""
        saved = self.time, self.end, self._known
        self.time, self.end, self._known = time, end, {}
        yield
        self.time, self.end, self._known = saved

    @contextmanager
    def instant(self, now: str, is_new: str) -> Iterator[None]:
        """Inside, expressions of the clock are computed at the local ``now``; ``is_new`` is the condition that they
        were not computed there before."""
        saved = self.now, self.is_new, self._known
        self.now, self.is_new = now, is_new
        self._known = {key: value for key, value in self._known.items() if _MOVES not in key}
        yield
        self.now, self.is_new, self._known = saved

    def given(self, e: Typed, value: Value) -> None:
        """Use these names for ``e``, which is computed elsewhere."""
        self._fixed[repr(e)] = value

    # ---- helpers

    def name(self, text: str, valid: str) -> Value:
        """Bind an expression to a fresh name."""
        v = self.w.fresh()
        self.w.put(f"{v} = {text}")
        if valid in ("True", "False") or valid.isidentifier():
            return v, valid
        k = self.w.fresh("k")
        self.w.put(f"{k} = {valid}")
        return v, k

    def flags(self, e: Typed) -> str:
        """The arguments with which a checked function reports that ``e`` failed, and in which row."""
        self.w.arg("flags", I8, "flags")
        cast = str(e.option("type")) if e.fn == "cast" else ""
        self.w.tables.sites.append(Site(self.uses.get(repr(e)) or described(e), e.fn == "bin", cast))
        return f"flags, np.int64({min(len(self.w.tables.sites), SITES - 1)}), {self.row}"

    def integer(self, value: int | str) -> str:
        """A scalar argument with this value (for a string its code)."""
        self.w.tables.ints.append(value)
        return f"i_{len(self.w.tables.ints) - 1}"

    def lut(self, predicate: str, operand: object) -> str:
        """The argument with a predicate's result for every string code."""
        self.w.tables.luts.append((predicate, operand))
        j = len(self.w.tables.luts) - 1
        return self.w.arg(f"lut_{j}", U1, "lut", j)

    def bucket(self, every: object, zone: object, around: int = 0) -> str:
        """The arguments of a bucket function after the time: edges, width, origin. The edges extend ``around`` buckets
        beyond the calendar years."""
        wanted = (str(every), str(zone), around)
        buckets = self.w.tables.buckets
        if wanted not in buckets:
            buckets.append(wanted)
        j = buckets.index(wanted)
        self.w.arg(f"edges_{j}", I8, "edges", j)
        return f"edges_{j}, width_{j}, origin_{j}"

    def as_float(self, v: str, kind: Type | None) -> str:
        """``v`` as a float64."""
        return v if kind is Type.FLOAT else f"np.float64({v})"

    # ---- expressions

    def emit(self, e: Typed) -> Value:
        """Compute ``e`` here, or reuse it if it is computed already."""
        key = repr(e)
        found = self._fixed.get(key) or self._known.get(key)
        if found is None:
            found = SOURCES[e.fn](self, e)
            (self._fixed if e.site >= 0 else self._known)[key] = found
        return found

    def tally(self, op: NullTally) -> None:
        """Count the row if it lies in the range, and whether it reports the column."""
        w, n = self.w, op.number
        _, k = self.emit(op.value)
        w.arg("tally", I8, "tally")
        with w.block("if t >= since:"):
            w.put(f"tally[{2 * n}] += 1\ntally[{2 * n + 1}] += np.int64(not ({k}))")


Source: TypeAlias = Callable[[Emitter, Typed], Value]

SOURCES: dict[str, Source] = {}
"""The emitting function of each function, by name."""


def source(*internal: str, **functions: Function) -> Callable[[Source], Source]:
    """Declare how functions are computed: those of the language with their types, and ``internal`` ones, which only
    validation makes. A keyword of Python gets an underscore: ``and_``."""

    def declared(found: Source) -> Source:
        FUNCTIONS.update({name.rstrip("_"): function for name, function in functions.items()})
        SOURCES.update({name.rstrip("_"): found for name in (*internal, *functions)})
        return found

    return declared


def scalar_loads(w: SourceWriter) -> list[str]:
    """Lines that load the kernel's constants into locals, in the runner's order, and declare locals that outlive a
    row."""
    out = []
    at = FIXED
    for j in range(len(w.tables.masks) // 2):
        out += [f"mv_{j} = np.uint64(s[{at}])", f"ma_{j} = np.uint64(s[{at + 1}])"]
        at += 2
    for j in range(len(w.tables.ints)):
        out.append(f"i_{j} = s[{at}]")
        at += 1
    for j in range(len(w.tables.buckets)):
        out += [f"width_{j} = s[{at}]", f"origin_{j} = s[{at + 1}]"]
        at += 2
    out += clock_locals(len(w.tables.buckets), len(w.tables.zones))
    out += [f"f_{j} = f[{j}]" for j in range(len(w.tables.floats))]
    return out
