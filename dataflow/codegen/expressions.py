"""Source of expressions: straight-line code in which every value has a name and a validity.

Null is (any value, False). Common subexpressions are computed once. Checked arithmetic runs only where its operands
are valid: a null's value is arbitrary and must not look like an overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dataflow.clock import NOW
from dataflow.codegen.clocks import clock_source, counted, moved_time, scalar_locals
from dataflow.codegen.lookups import found_row, picked
from dataflow.codegen.numbers import (
    LARGEST,
    bin_source,
    comparison_source,
    decimal_float_source,
    decimal_source,
    length_source,
)
from dataflow.codegen.source import BEGIN, F8, FIXED, I8, U1, Writer, column_array, value_array
from dataflow.codegen.source import both as both
from dataflow.described import described
from dataflow.functions import FUNCTIONS
from dataflow.plan import CUT, WHOLE, Tally
from dataflow.typed import Typed
from operators.kernels.arithmetic import SITES
from operators.kernels.running import WIDTH
from operators.types import Type

assert BEGIN == 0

Value = tuple[str, str]
"""Names, or constants, of a value and of its validity."""

_MOVES = repr(NOW)

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "between")
_CHECKED = {"add": "checked_add", "sub": "checked_sub", "mul": "checked_mul", "floordiv": "floor_div"}
_PLAIN = {"add": "+", "sub": "-", "mul": "*"}
_FLOAT_CALL = {"floordiv": "float_floor_div", "mod": "float_mod"}


class Expressions:
    """Emits expressions into a writer; remembers what is computed already."""

    def __init__(self, w: Writer, time: str = "t", end: str = "e", row: str = "i") -> None:
        self.w = w
        self.row = row
        self.time = time
        self.end = end
        self.now = ""
        """The instant of an interval at which what moves is computed."""

        self.is_new = ""
        """Where a sink stops within a row: the condition that this row is not one it goes on with."""

        self.has_early = False
        """Whether rows before the range are among the rows, as ``early`` tells."""

        self._known: dict[str, Value] = {}
        self._fixed: dict[str, Value] = {}

    # ---- scopes

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is computed inside is forgotten after: it may not have run."""
        saved = dict(self._known)
        yield
        self._known = saved

    @contextmanager
    def piece(self, time: str, end: str) -> Iterator[None]:
        """Inside, time and end are those of a piece of an interval: only numbered values stay."""
        saved = self.time, self.end, self._known
        self.time, self.end, self._known = time, end, {}
        yield
        self.time, self.end, self._known = saved

    @contextmanager
    def instant(self, now: str, is_new: str) -> Iterator[None]:
        """Inside, what moves within an interval is computed as it is at the local ``now``; ``is_new`` is the condition
        that it was not before."""
        saved = self.now, self.is_new, self._known
        self.now, self.is_new = now, is_new
        self._known = {key: value for key, value in self._known.items() if _MOVES not in key}
        yield
        self.now, self.is_new, self._known = saved

    def given(self, e: Typed, value: Value) -> None:
        """``e`` is computed elsewhere: its names."""
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
        """The arguments by which a checked function says that ``e`` failed, and in which row."""
        self.w.arg("flags", I8, "flags")
        self.w.tables.sites.append(described(e))
        return f"flags, np.int64({min(len(self.w.tables.sites), SITES - 1)}), {self.row}"

    def integer(self, value: int | str) -> str:
        """A scalar argument with this value (a string: its code)."""
        self.w.tables.ints.append(value)
        return f"i_{len(self.w.tables.ints) - 1}"

    def lut(self, predicate: str, operand: object) -> str:
        """The argument with a predicate's outcome for every string code."""
        self.w.tables.luts.append((predicate, operand))
        j = len(self.w.tables.luts) - 1
        return self.w.arg(f"lut_{j}", U1, "lut", j)

    def bucket(self, every: object, zone: object, around: int = 0) -> str:
        """The arguments of a bucket function after the time: edges, width, origin. The edges are known for ``around``
        buckets before and after the years that have a calendar, too."""
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
        """Compute ``e`` here, or find it computed."""
        key = repr(e)
        found = self._fixed.get(key) or self._known.get(key)
        if found is None:
            found = self._emit(e)
            (self._fixed if e.site >= 0 else self._known)[key] = found
        return found

    def _emit(self, e: Typed) -> Value:
        w = self.w
        match e.fn:
            case "lit":
                return self._literal(e)
            case "time":
                return self.time, "True"
            case "end":
                return self.end, "True"
            case "begin":
                return "t", "True"
            case "whole":
                return self.name(f"{self.time} == {self.emit(e.args[0])[0]}", "True")
            case "now":
                assert self.now, "the clock of an interval, where nothing cuts it"
                return self.now, "True"
            case "local":
                return str(e.option("value")), str(e.option("valid"))
            case "rank":
                return self._rank(e)
            case "slot":
                w.arg("slot_key", I8, "slot_key")
                return self.name("slot_key[slot]", "True")
            case "in":
                return self._input(str(e.option("name")), e.type)
            case "lookup":
                return found_row(self, e)
            case "pick":
                return picked(self, e)
            case "last" | "previous" | "changed" | "cumulative_sum" | "before" | "increase" | "elapsed":
                return self._stateful(e)
            case "decimal" | "bin":
                v, k = self.emit(e.args[0])
                make = decimal_source if e.fn == "decimal" else bin_source
                return make(self, e, v, k)
            case "when":
                return self._when(e)
            case "and" | "or":
                return self._logic(e)
            case "is_in":
                return self._membership(e)
            case "fill_null":
                return self._fill(e)
            case "starts_with" | "contains":
                v, k = self.emit(e.args[0])
                operand = e.option("prefix" if e.fn == "starts_with" else "text")
                return self._lookup(e.fn, operand, v, k)
        if e.fn in _COMPARISONS:
            return self._compare(e)
        args = [self.emit(a) for a in e.args]
        if e.fn in ("is_null", "is_not_null"):
            k = args[0][1]
            constant = {"True": "False", "False": "True"} if e.fn == "is_null" else {"True": "True", "False": "False"}
            return self.name(constant.get(k, f"not {k}" if e.fn == "is_null" else k), "True")
        if e.fn == "not":
            v, k = args[0]
            return self.name(f"not {v}", k)
        if e.fn in ("neg", "abs"):
            return self._sign(e, args[0])
        if e.fn == "in_years":
            v, k = args[0]
            return v, counted(self, k, f"in_years({v})")
        if e.fn in ("truncate", "hour", "weekday"):
            return clock_source(self, e, *args[0])
        if e.fn == "decimal_float":
            assert e.args[0].type is not None
            return self.name(decimal_float_source(self, e.args[0].type, args[0][0]), args[0][1])
        return self._arithmetic(e, args)

    def _literal(self, e: Typed) -> Value:
        value = e.option("value")
        if value is None:
            return "np.int64(0)", "False"
        if e.type is Type.BOOL:
            return f"({self.integer(int(bool(value)))} != 0)", "True"
        if e.type is Type.FLOAT:
            assert isinstance(value, float)
            self.w.tables.floats.append(value)
            return f"f_{len(self.w.tables.floats) - 1}", "True"
        assert isinstance(value, int | str)
        return self.integer(value), "True"

    def _input(self, name: str, kind: Type | None) -> Value:
        assert kind is not None
        w = self.w
        masks = w.tables.masks
        if (name, "value") not in masks:
            masks += [(name, "value"), (name, "valid")]
        j = masks.index((name, "value")) // 2
        w.arg(f"v_{j}", column_array(kind), "column", name)
        w.arg(f"a_{j}", U1, "valid", name)
        text = f"v_{j}[u & mv_{j}]"
        if kind is Type.BOOL:
            text += " != 0"
        elif kind.is_text:
            text = f"np.int64({text})"
        return self.name(text, f"a_{j}[u & ma_{j}] != 0")

    def _lookup(self, predicate: str, operand: object, v: str, k: str) -> Value:
        table = self.lut(predicate, operand)
        if k == "True":
            return self.name(f"{table}[{v}] != 0", k)
        return self.name(f"({table}[{v}] != 0) if {k} else False", k)

    def _compare(self, e: Typed) -> Value:
        kinds = {a.type for a in e.args}
        if Type.STRING in kinds and e.fn not in ("eq", "ne"):
            v, k = self.emit(e.args[0])
            return self._lookup(e.fn, tuple(a.option("value") for a in e.args[1:]), v, k)
        args = [self.emit(a) for a in e.args]
        values = [(v, a.type) for (v, _), a in zip(args, e.args, strict=True)]
        valid = both(*(k for _, k in args))
        if e.fn == "between":
            low, high = (comparison_source(self, fn, values[0], values[j]) for j, fn in ((1, "ge"), (2, "le")))
            return self.name(f"{low} and {high}", valid)
        return self.name(comparison_source(self, e.fn, values[0], values[1]), valid)

    def _logic(self, e: Typed) -> Value:
        (a, ka), (b, kb) = self.emit(e.args[0]), self.emit(e.args[1])
        if ka == kb == "True":
            return self.name(f"{a} {e.fn} {b}", "True")
        # Kleene: one deciding operand is enough, whatever the other.
        sign = "not " if e.fn == "and" else ""
        decided = self.w.fresh("d")
        self.w.put(f"{decided} = ({ka} and {sign}bool({a})) or ({kb} and {sign}bool({b}))")
        return self.name(f"not {decided}" if e.fn == "and" else decided, f"{decided} or ({ka} and {kb})")

    def _membership(self, e: Typed) -> Value:
        v, k = self.emit(e.args[0])
        values = e.option("values")
        assert isinstance(values, tuple)
        kind = e.args[0].type
        if not values:
            return self.name("False", k)
        if kind is Type.STRING:
            return self._lookup("is_in", values, v, k)
        self.w.tables.listed.append(values)
        j = len(self.w.tables.listed) - 1
        table = self.w.arg(f"listed_{j}", F8 if kind is Type.FLOAT else I8, "listed", j)
        hit = self.w.fresh()
        self.w.put(f"{hit} = False")
        n = self.w.fresh("n")
        with self.w.block(f"for {n} in range({table}.shape[0]):"), self.w.block(f"if {table}[{n}] == {v}:"):
            self.w.put(f"{hit} = True")
        return hit, k

    def _rank(self, e: Typed) -> Value:
        """How many of the listed values are below, and how many not above: it is another one wherever ``is_in`` is."""
        v, k = self.emit(e.args[0])
        values = e.option("values")
        assert isinstance(values, tuple)
        self.w.tables.listed.append(values)
        j = len(self.w.tables.listed) - 1
        table = self.w.arg(f"listed_{j}", F8 if e.args[0].type is Type.FLOAT else I8, "listed", j)
        rank, n = self.w.fresh(), self.w.fresh("n")
        self.w.put(f"{rank} = np.int64(0)")
        with self.w.block(f"for {n} in range({table}.shape[0]):"):
            self.w.put(f"{rank} += np.int64({table}[{n}] < {v}) + np.int64({table}[{n}] <= {v})")
        return rank, k

    def _fill(self, e: Typed) -> Value:
        (a, ka), (b, kb) = self.emit(e.args[0]), self.emit(e.args[1])
        if ka == "True":
            return a, ka
        if e.type is Type.FLOAT:
            a, b = self.as_float(a, e.args[0].type), self.as_float(b, e.args[1].type)
        if ka == "False":
            return b, kb
        return self.name(f"{a} if {ka} else {b}", "True" if kb == "True" else f"{ka} or {kb}")

    def _when(self, e: Typed) -> Value:
        c, kc = self.emit(e.args[0])
        v, k = self.w.fresh(), self.w.fresh("k")
        # Branches, so that what is not taken cannot overflow.
        for head, branch in ((f"if {both(c, kc)}:", e.args[1]), ("else:", e.args[2])):
            with self.w.block(head), self.scope():
                b, kb = self.emit(branch)
                zero = "False" if e.type is Type.BOOL else "0.0" if e.type is Type.FLOAT else "np.int64(0)"
                if branch.type is None:
                    b = zero
                elif e.type is Type.FLOAT:
                    b = self.as_float(b, branch.type)
                elif e.type is not Type.BOOL:
                    b = f"np.int64({b})"
                self.w.put(f"{v} = {b}\n{k} = {kb}")
        return v, k

    def _sign(self, e: Typed, arg: Value) -> Value:
        v, k = arg
        if e.type is Type.FLOAT:
            return self.name(f"-{v}" if e.fn == "neg" else f"abs({v})", k)
        flags = self.flags(e)
        if e.fn == "neg":
            return self.name(f"checked_neg({v}, {flags}) if {k} else np.int64(0)", k)
        return self.name(f"(checked_neg({v}, {flags}) if {v} < 0 else {v}) if {k} else np.int64(0)", k)

    def _arithmetic(self, e: Typed, args: list[Value]) -> Value:
        if e.type is Type.TIME:
            return moved_time(self, e, args)
        (a, ka), (b, kb) = args
        valid = both(ka, kb)
        kinds = [x.type for x in e.args]
        if e.type is Type.DURATION and (e.fn == "div" or Type.FLOAT in kinds):
            return length_source(self, e, args)
        if e.fn == "div" or e.type is Type.FLOAT:
            a, b = self.as_float(a, kinds[0]), self.as_float(b, kinds[1])
            if e.fn in _PLAIN:
                return self._finite(f"{a} {_PLAIN[e.fn]} {b}", valid)
            valid = both(valid, f"({b} != 0.0)")
            call = f"{a} / {b}" if e.fn == "div" else f"{_FLOAT_CALL[e.fn]}({a}, {b})"
            return self._finite(f"({call}) if {valid} else 0.0", valid)
        if e.fn in ("floordiv", "mod"):
            valid = both(valid, f"({b} != 0)")
        call = f"floor_mod({a}, {b})" if e.fn == "mod" else f"{_CHECKED[e.fn]}({a}, {b}, {self.flags(e)})"
        return self.name(f"({call}) if {valid} else np.int64(0)", valid)

    def _finite(self, text: str, valid: str) -> Value:
        """A float, null where it is too large for one."""
        v, _ = self.name(text, "True")
        return self.name(v, both(valid, f"(abs({v}) <= {LARGEST!r})"))

    def tally(self, op: Tally) -> None:
        """Count the row if it is one of the range, and whether it reports the column."""
        w, n = self.w, op.number
        _, k = self.emit(op.value)
        w.arg("tally", I8, "tally")
        with w.block("if t >= since:"):
            w.put(f"tally[{2 * n}] += 1\ntally[{2 * n + 1}] += np.int64(not ({k}))")

    def _stateful(self, e: Typed) -> Value:
        pairs = self.has_early and e.fn in FUNCTIONS
        if not (self.is_new or pairs):
            return self._remembering(e)
        # What remembers earlier rows must see each row once: the outcome is kept for when it comes again. The part of
        # a row that lies in the range comes after the whole row, and its outcome is that of the whole.
        w = self.w
        once = [self.is_new] if self.is_new else []
        if pairs:
            whole = w.arg(f"q{e.site}_w", U1, "slot", f"q{e.site}_w")
            once.append(f"(early != {CUT} or {whole}[slot] == 0)")
        out = w.arg(f"q{e.site}_out", value_array(e.type), "slot", f"q{e.site}_out")
        valid = w.arg(f"q{e.site}_ok", U1, "slot", f"q{e.site}_ok")
        with w.block(f"if {' and '.join(once)}:"), self.scope():
            v, k = self._remembering(e)
            w.put(f"{out}[slot] = {v}\n{valid}[slot] = {k}")
            if pairs:
                w.put(f"{whole}[slot] = np.uint8(early == {WHOLE})")
        # What is left of a row in the range begins with the range, where nothing changes.
        begins = f" and early != {CUT}" if pairs and e.fn == "changed" else ""
        return self.name(f"{out}[slot]" + (f" != 0{begins}" if e.type is Type.BOOL else ""), f"{valid}[slot] != 0")

    def _remembering(self, e: Typed) -> Value:
        w = self.w
        v, k = self.emit(e.args[0])
        kind = e.args[0].type
        if kind is Type.BOOL:
            v = f"np.int64({v})"
        kept = w.arg(f"q{e.site}_v", value_array(kind), "slot", f"q{e.site}_v")
        has = w.arg(f"q{e.site}_k", U1, "slot", f"q{e.site}_k")
        back = f"{kept}[slot]" + (" != 0" if kind is Type.BOOL else "")
        if e.fn == "previous":
            out = self.name(back, f"{has}[slot] != 0")
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = {k}")
            return out
        if e.fn == "changed":
            out = self.name(f"{k} and {has}[slot] != 0 and {kept}[slot] != {v}", "True")
            with w.block(f"if {k}:"):
                w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
            return out
        if e.fn == "cumulative_sum":
            valid = f"{has}[slot] != 0"
            with w.block(f"if {k}:"):
                if kind is Type.FLOAT:
                    digits = w.arg(f"q{e.site}_d", "i8[:,::1]", "slot", f"q{e.site}_d", WIDTH)
                    w.put(f"add_digits(slot, {digits}, {v})\n{kept}[slot] = rounded(slot, {digits})")
                    valid += f" and is_a_sum(slot, {digits}, {kept}[slot])"
                else:
                    w.put(f"{kept}[slot] = checked_add({kept}[slot], {v}, {self.flags(e)})")
                w.put(f"{has}[slot] = 1")
            return self.name(back, valid)
        if e.fn in ("before", "increase"):
            out = self._since_report(e, v, k, back, f"{has}[slot] != 0")
            with w.block(f"if {k}:"):
                w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
            return out
        hold = e.option("hold")
        since = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
        # A piece goes on with the report that its interval began with.
        at = self.emit(e.args[1])[0] if len(e.args) > 1 else self.time
        if e.fn == "elapsed":
            out = self.name(f"{self.time} - {since}[slot]", both(k, f"{has}[slot] != 0"))
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1\n{since}[slot] = {at}")
        if e.fn == "elapsed":
            return out
        fresh = "" if hold is None else f" and {self.time} - {since}[slot] <= {self.integer(int(str(hold)))}"
        return self.name(back, f"{has}[slot] != 0{fresh}")

    def _since_report(self, e: Typed, v: str, k: str, back: str, known: str) -> Value:
        """The value reported before, or what a counter has grown by since: all of it where it was reset."""
        before, valid = self.name(back, both(k, known))
        if e.fn == "before":
            return before, valid
        if e.type is Type.FLOAT:
            return self.name(f"counter_step({before}, {v}) if {valid} else 0.0", valid)
        grown = f"checked_sub({v}, {before}, {self.flags(e)}) if {v} >= {before} else {v}"
        return self.name(f"({grown}) if {valid} else np.int64(0)", valid)


def scalar_loads(w: Writer) -> list[str]:
    """Lines that load the kernel's constants into locals, in the order in which the runner lists them, and locals
    that outlive a row."""
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
    out += scalar_locals(len(w.tables.buckets), len(w.tables.zones))
    out += [f"f_{j} = f[{j}]" for j in range(len(w.tables.floats))]
    return out
