"""Source of expressions: straight-line code in which every value has a name and a validity.

Null is (any value, False). Common subexpressions are computed once. Checked arithmetic runs only where its operands
are valid: a null's value is arbitrary and must not look like an overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dataflow.codegen.lookups import found_row, picked
from dataflow.codegen.numbers import bin_source, decimal_source
from dataflow.codegen.source import BEGIN, F8, FIXED, I8, U1, Writer, column_array, value_array
from dataflow.functions import FUNCTIONS
from dataflow.plan import CUT, WHOLE, Tally
from dataflow.typed import Typed
from operators.kernels.running import WIDTH
from operators.types import Type

assert BEGIN == 0

Value = tuple[str, str]
"""Names, or constants, of a value and of its validity."""

_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_CHECKED = {"add": "checked_add", "sub": "checked_sub", "mul": "checked_mul", "floordiv": "floor_div"}
_PLAIN = {"add": "+", "sub": "-", "mul": "*"}
_FLOAT_CALL = {"floordiv": "float_floor_div", "mod": "float_mod"}


def both(*validities: str) -> str:
    """The validity of something that needs all of these."""
    parts = list(dict.fromkeys(v for v in validities if v != "True"))
    if "False" in parts:
        return "False"
    return " and ".join(parts) if parts else "True"


class Expressions:
    """Emits expressions into a writer; remembers what is computed already."""

    def __init__(self, w: Writer, time: str = "t", end: str = "e") -> None:
        self.w = w
        self.time = time
        self.end = end
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

    def moved(self, time: str, end: str) -> None:
        """Time and end have new names (a piece of an interval): only numbered values stay."""
        self.time, self.end = time, end
        self._known = {}

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
        buckets on either side of the times that there are."""
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
        if e.fn in _COMPARE or e.fn == "between":
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
        if e.fn in ("truncate", "hour", "weekday"):
            return self._clock(e, args[0])
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
        values = [v for v, _ in args]
        if Type.FLOAT in kinds:
            values = [self.as_float(v, a.type) for v, a in zip(values, e.args, strict=True)]
        valid = both(*(k for _, k in args))
        if e.fn == "between":
            return self.name(f"{values[1]} <= {values[0]} and {values[0]} <= {values[2]}", valid)
        return self.name(f"{values[0]} {_COMPARE[e.fn]} {values[1]}", valid)

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
        self.w.arg("flags", I8, "flags")
        if e.fn == "neg":
            return self.name(f"checked_neg({v}, flags) if {k} else np.int64(0)", k)
        return self.name(f"(checked_neg({v}, flags) if {v} < 0 else {v}) if {k} else np.int64(0)", k)

    def _clock(self, e: Typed, arg: Value) -> Value:
        v, k = arg
        zone = str(e.option("zone"))
        if e.fn == "truncate":
            every = e.option("every")
            call = self.bucket(every, zone)
            if k != "True":
                return self.name(f"bucket_start({v}, {call})", k)
            # The bucket of the row before is mostly this row's, too, and to look for it takes longer than to see that.
            j = self.w.tables.buckets.index((str(every), zone, 0))
            with self.w.block(f"if not start_{j} <= {v} < stop_{j}:"):
                self.w.put(f"start_{j} = bucket_start({v}, {call})\nstop_{j} = bucket_end({v}, {call})")
            return self.name(f"start_{j}", k)
        zones = self.w.tables.zones
        if zone not in zones:
            zones.append(zone)
        j = zones.index(zone)
        self.w.arg(f"changes_{j}", I8, "changes", j)
        self.w.arg(f"offsets_{j}", I8, "offsets", j)
        return self.name(f"{e.fn}_of(local_time({v}, changes_{j}, offsets_{j}))", k)

    def _arithmetic(self, e: Typed, args: list[Value]) -> Value:
        (a, ka), (b, kb) = args
        valid = both(ka, kb)
        kinds = [x.type for x in e.args]
        if e.fn == "div" or e.type is Type.FLOAT:
            a, b = self.as_float(a, kinds[0]), self.as_float(b, kinds[1])
            if e.fn in _PLAIN:
                return self.name(f"{a} {_PLAIN[e.fn]} {b}", valid)
            valid = both(valid, f"({b} != 0.0)")
            call = f"{a} / {b}" if e.fn == "div" else f"{_FLOAT_CALL[e.fn]}({a}, {b})"
            return self.name(f"({call}) if {valid} else 0.0", valid)
        self.w.arg("flags", I8, "flags")
        if e.fn in ("floordiv", "mod"):
            valid = both(valid, f"({b} != 0)")
        call = f"floor_mod({a}, {b})" if e.fn == "mod" else f"{_CHECKED[e.fn]}({a}, {b}, flags)"
        return self.name(f"({call}) if {valid} else np.int64(0)", valid)

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
        return self.name(f"{out}[slot]" + (" != 0" if e.type is Type.BOOL else ""), f"{valid}[slot] != 0")

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
            with w.block(f"if {k}:"):
                if kind is Type.FLOAT:
                    digits = w.arg(f"q{e.site}_d", "i8[:,::1]", "slot", f"q{e.site}_d", WIDTH)
                    w.put(f"add_digits(slot, {digits}, {v})\n{kept}[slot] = rounded(slot, {digits})")
                else:
                    w.arg("flags", I8, "flags")
                    w.put(f"{kept}[slot] = checked_add({kept}[slot], {v}, flags)")
                w.put(f"{has}[slot] = 1")
            return self.name(back, f"{has}[slot] != 0")
        if e.fn in ("before", "increase"):
            out = self._since_report(e, v, k, back, f"{has}[slot] != 0")
            with w.block(f"if {k}:"):
                w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1")
            return out
        hold = e.option("hold")
        since = w.arg(f"q{e.site}_t", I8, "slot", f"q{e.site}_t")
        if e.fn == "elapsed":
            out = self.name(f"{self.time} - {since}[slot]", both(k, f"{has}[slot] != 0"))
        with w.block(f"if {k}:"):
            w.put(f"{kept}[slot] = {v}\n{has}[slot] = 1\n{since}[slot] = {self.time}")
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
            return self.name(f"({v} - {before} if {v} >= {before} else {v}) if {valid} else 0.0", valid)
        self.w.arg("flags", I8, "flags")
        grown = f"checked_sub({v}, {before}, flags) if {v} >= {before} else {v}"
        return self.name(f"({grown}) if {valid} else np.int64(0)", valid)


def scalar_loads(w: Writer) -> list[str]:
    """Lines that load the kernel's constants into locals, in the order in which the runner lists them; with those of a
    bucket go the start and end of the one found last, at first none."""
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
        out += [f"start_{j} = np.int64(0)", f"stop_{j} = np.int64(0)"]
        at += 2
    out += [f"f_{j} = f[{j}]" for j in range(len(w.tables.floats))]
    return out
