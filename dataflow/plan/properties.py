"""What a chain of stages reads, needs and guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.expressions.functions import STATEFUL
from dataflow.plan.stages import Stage
from dataflow.typed.hidden_columns import END, INPUT
from dataflow.typed.row_operations import AsOf, RowOp, nested, without_unused
from operators.types import Type


def stage_of_inputs(inputs: Mapping[str, Type], ops: Sequence[RowOp], sink: object, step: str) -> Stage:
    """A stage with only the inputs that it reads."""
    stage = Stage((), without_unused(ops, sink.expressions()), sink, step)  # type: ignore[attr-defined, arg-type]
    used = {str(n.option("name")) for e in stage.expressions() for n in e.walk() if n.fn == "in"}
    if any(n.fn == "end" for e in stage.expressions() for n in e.walk()):
        used.add(END)
    if any(n.fn == "from_input" for e in stage.expressions() for n in e.walk()):
        used.add(INPUT)
    used |= stage.sink.hidden()
    return replace(stage, inputs=tuple((n, t) for n, t in inputs.items() if n in used))


def is_sliceable(chain: Sequence[Stage], history: int | None) -> bool:
    """Whether tasks may also split the time range, since no row needs earlier rows."""
    plain = len(chain) == 1 and history == 0 and chain[0].sink.any_order
    return plain and not has_whole_keys(chain)


def takes_any_order(chain: Sequence[Stage]) -> bool:
    """Whether the rows of a key may come in any order: none needs earlier ones, and groups are folded in any order."""
    first = chain[0]
    plain = len(chain) == 1 and first.sink.any_order and first.sink.grouping() is not None
    follows = any(n.fn in STATEFUL for e in first.expressions() for n in e.walk())
    joins = any(isinstance(op, AsOf) for op in nested(first.ops))
    return plain and not follows and not joins and not any(a.aggregate.flags.ordered for a in first.sink.aggregates)


def has_whole_keys(chain: Sequence[Stage]) -> bool:
    """Whether every group of the last stage belongs to one key and needs only that key's rows."""
    group = chain[-1].sink.grouping()
    return group is not None and group.filled is None and any(e.fn == "slot" for _, e in group.by)


def laws_of(chain: Sequence[Stage]) -> tuple[str, ...]:
    """The laws that a plan relies on, as text."""
    return tuple(dict.fromkeys(law for s in chain for law in s.sink.laws()))
