"""How far before ``since`` the stages of a plan need rows.

A stage may look back at rows before the range, by an expression (``last``, ``previous``) or by its sink (a state that
lasts, an open session). Points before the range are read. If another stage makes the rows, it has to make those before
the range, too: it then also runs without ``since`` (``Plan.whole``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataflow.expressions.functions import STATEFUL
from dataflow.plan.sink import Reach
from dataflow.plan.stages import Stage
from dataflow.typed.hidden_columns import EARLY
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import AsOf, Merge, RowOp, nested
from operators.types import Type


@dataclass(frozen=True)
class History:
    """What a chain of stages needs before ``since``; see the fields of the same names in ``Plan``."""

    history: Reach
    held_columns: tuple[str, ...]
    whole: int
    looks: tuple[bool, ...]
    """Per stage, whether it sees rows before the range made by the previous stage."""


def history_of(chain: Sequence[Stage]) -> History:
    """The needs of all stages, computed from the last to the first."""
    needed: Reach = 0
    whole, looks = 0, [False] * len(chain)
    for j in reversed(range(len(chain))):
        stage, first = chain[j], j == 0
        own = _sum(_remembers(stage), stage.sink.looks_back(first))
        passed = 0 if needed == 0 else _sum(_remembers(stage), stage.sink.needs_before(needed, first))
        needed = _longer(own, passed)
        if first:
            break
        if chain[j - 1].sink.once_a_key:
            needed = 0
            continue
        looks[j] = own != 0
        if needed != 0:
            whole = max(whole, j)
    return History(needed, () if needed is None else chain[0].sink.held_columns, whole, tuple(looks))


def history_of_input(chain: Sequence[Stage], number: int) -> Reach:
    """How much before ``since`` is needed of the rows of one input: those that join others as of their time do not
    remember anything."""
    first = replace(chain[0], ops=_without_joins(chain[0].ops, number))
    return history_of([first, *chain[1:]]).history


def _without_joins(ops: Sequence[RowOp], number: int) -> tuple[RowOp, ...]:
    """The operations, without the joins of rows that this input does not contribute to."""
    out: list[RowOp] = []
    for op in ops:
        if isinstance(op, AsOf):
            if number in op.branch.inputs:
                out.append(op)
        elif isinstance(op, Merge):
            out.append(replace(op, branches=tuple(replace(b, ops=_without_joins(b.ops, number)) for b in op.branches)))
        else:
            out.append(op)
    return tuple(out)


def with_early_rows(chain: Sequence[Stage], looks: Sequence[bool]) -> tuple[Stage, ...]:
    """The stages; those that see rows before the range get the column that marks such rows."""
    return tuple(
        replace(s, inputs=(*s.inputs, (EARLY, Type.INT))) if sees else s for s, sees in zip(chain, looks, strict=True)
    )


def _sum(*parts: Reach) -> Reach:
    known = [p for p in parts if p is not None]
    return sum(known) if len(known) == len(parts) else None


def _longer(a: Reach, b: Reach) -> Reach:
    return None if a is None or b is None else max(a, b)


def _remembers(stage: Stage) -> Reach:
    """How far back the expressions look, in total: one may depend on what another saw before."""
    sites: dict[int, Typed] = {}
    for e in stage.expressions():
        sites |= {n.site: n for n in e.walk() if n.fn in STATEFUL}
    holds = [n.option("hold") if n.fn == "last" else None for n in sites.values()]
    tolerances = [op.tolerance for op in nested(stage.ops) if isinstance(op, AsOf)]
    return _sum(*(h if isinstance(h, int) else None for h in (*holds, *tolerances)))
