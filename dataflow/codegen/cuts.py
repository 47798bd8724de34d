"""Emits the loop over the pieces of one interval: maximal pieces in which the watched values stay the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dataflow.codegen.clocks import zone_tables
from dataflow.codegen.emitter import Emitter, Value
from dataflow.codegen.lookups import key_place, period_tables
from dataflow.codegen.writer import SourceWriter, both
from dataflow.typed.clock import CLOCK_PARTS, CutSource, sources_of
from dataflow.typed.nodes import Typed
from operators.types import Type


def differs(a: Value, b: Value, kind: Type | None) -> str:
    """The condition that two values or their validities differ."""
    (v, k), (u, m) = a, b
    text = f"float_bits({v} + 0.0) != float_bits({u} + 0.0)" if kind is Type.FLOAT else f"{v} != {u}"
    return text if k == m == "True" else f"({k}) != ({m}) or (({k}) and {text})"


def zero(kind: Type | None) -> str:
    """An initial value."""
    return "0.0" if kind is Type.FLOAT else "False" if kind is Type.BOOL else "np.int64(0)"


def pieces(
    w: SourceWriter,
    x: Emitter,
    watched: Sequence[Typed],
    conditions: Sequence[Typed],
    start: str,
    take: Callable[[list[Value]], None],
) -> None:
    """Emit the loop over an interval that ends at ``e``. ``take`` is called once, to emit the code for a piece from
    ``qs`` to ``ns`` in which all ``conditions`` are true, with the names of the ``watched`` values.

    ``start`` is the start of the first piece. ``take`` may emit code that returns from the kernel; the kernel then
    resumes with ``qs`` as ``start`` and in the local ``again``.
    """
    sources = sources_of((*watched, *conditions))
    mine = [(w.fresh("a"), w.fresh("ak"), e) for e in watched]
    w.put(f"qs = {start}\nns = qs\nopened = False\nkeeps = False")
    for v, k, e in mine:
        w.put(f"{v} = {zero(e.type)}\n{k} = False")
    with w.block("while qs < e:"):
        w.put("ne = e\nsame = False\nkept = False")
        fresh = [(w.fresh("b"), w.fresh("bk")) for _ in mine]
        for (v, k), (_, _, e) in zip(fresh, mine, strict=True):
            w.put(f"{v} = {zero(e.type)}\n{k} = False")
        with w.block("if ns < e:"), x.instant("ns", "ns != again"):
            found = [x.emit(c) for c in conditions]
            w.put(f"kept = {both(*(k for _, k in found), *(f'bool({v})' for v, _ in found))}")
            for (v, k), (_, _, e) in zip(fresh, mine, strict=True):
                value, valid = x.emit(e)
                value = value if e.type in (Type.FLOAT, Type.BOOL) else f"np.int64({value})"
                w.put(f"{v} = {value}\n{k} = {valid}")
            others = [
                f"not ({differs((a, ak), (b, bk), e.type)})" for (a, ak, e), (b, bk) in zip(mine, fresh, strict=True)
            ]
            alike = " and ".join(others)
            w.put("same = opened and keeps == kept" + (f" and (not kept or ({alike}))" if alike else ""))
        if sources:
            with w.block("if ns < e:"), x.instant("ns", "False"):
                for source in sources:
                    _edge(w, x, source)
        with w.block("if opened and not same:"):
            with w.block("if keeps:"):
                take([(v, k) for v, k, _ in mine])
            w.put("qs = ns")
        w.put("opened = True\nkeeps = kept\nns = ne")
        for (a, ak, _), (b, bk) in zip(mine, fresh, strict=True):
            w.put(f"{a} = {b}\n{ak} = {bk}")


def _edge(w: SourceWriter, x: Emitter, source: CutSource) -> None:
    """Move ``ne``, an instant after ``ns``, back to where the source changes, if that is earlier."""
    of = source.of
    if source.kind == "periods":
        w.put(f"ne = min(ne, edge_after({key_place(x, of)}, ns, {period_tables(x, of)}))")
        return
    if source.kind == "calendar":
        v, k = x.emit(of.args[0])
        if of.fn == "truncate":
            edge = f"bucket_end({v}, {x.bucket(of.option('every'), of.option('zone'))})"
        else:
            _, changes, offsets = zone_tables(x, of)
            edge = f"next_shown({v}, np.int64({CLOCK_PARTS[of.fn]}), {changes}, {offsets})"
        with w.block(f"if {k}:"):
            w.put(f"ne = min(ne, ns + ({edge} - {v}))")
        return
    before = x.emit(of)
    lo, hi, mid = w.fresh("lo"), w.fresh("hi"), w.fresh("mid")
    w.put(f"{lo} = ns\n{hi} = ne\n{mid} = ne - 1")
    with w.block(f"while {hi} - {lo} > 1:"), x.instant(mid, "False"):
        now = x.emit(of)
        w.put(f"if {differs(before, now, of.type)}:\n    {hi} = {mid}\nelse:\n    {lo} = {mid}")
        w.put(f"{mid} = ({lo} + {hi}) >> 1")
    w.put(f"ne = {hi}")
