"""What a chain of stages reads, needs and promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.flows import Flow
from dataflow.plan import END, KNOWN, Edges, Group, Pieces, RowOp, Rows, Segments, Stage, States, Tracks
from operators.types import Type


def stage_of_inputs(inputs: Mapping[str, Type], ops: Sequence[RowOp], sink: object, step: str) -> Stage:
    """A stage with just the inputs that it reads."""
    stage = Stage((), tuple(ops), sink, step)  # type: ignore[arg-type]
    used = {str(n.option("name")) for e in stage.expressions() for n in e.walk() if n.fn == "in"}
    if any(n.fn == "end" for e in stage.expressions() for n in e.walk()):
        used.add(END)
    if isinstance(stage.sink, Pieces | Edges) or (isinstance(stage.sink, Group) and stage.sink.intervals):
        used |= {END, KNOWN}
    if isinstance(stage.sink, Group) and any(
        isinstance(getattr(a.aggregate, "inputs", None), tuple) and "duration" in a.aggregate.inputs  # type: ignore[union-attr]
        for a in stage.sink.aggs
    ):
        used.add(END)
    return replace(stage, inputs=tuple((n, t) for n, t in inputs.items() if n in used))


def is_sliceable(chain: Sequence[Stage], history: int | None) -> bool:
    """Whether tasks may also split the range of time: rows that need nothing before them."""
    plain = len(chain) == 1 and history == 0 and isinstance(chain[0].sink, Group | Rows)
    return plain and not has_whole_keys(chain)


def has_whole_keys(chain: Sequence[Stage]) -> bool:
    """Whether every group of the last stage belongs to one key, and needs nothing but that key's rows."""
    sink = chain[-1].sink
    return isinstance(sink, Group) and sink.filled is None and any(e.fn == "slot" for _, e in sink.by)


def laws_of(chain: Sequence[Stage]) -> tuple[str, ...]:
    """The laws that a plan relies on, in words."""
    out: dict[str, None] = {}
    for s in chain:
        if isinstance(s.sink, Group):
            out["partial states merge exactly, in any order"] = None
            for a in s.sink.aggs:
                out[f"{a.name} = {a.aggregate.name}: {', '.join(a.aggregate.flags.claims())}"] = None
        elif isinstance(s.sink, States | Segments | Flow | Tracks):
            out["a key's rows are read by one task in (time, seq) order"] = None
        elif isinstance(s.sink, Edges):
            out["numbers of keys are sums of +1 and -1 at the edges of intervals"] = None
    return tuple(out)
