"""Validation of the steps that follow a key through its events: what they write, and the sink that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dataflow import graph as g
from dataflow.expr import Expr
from dataflow.sinks.flow import Flow
from dataflow.steps.cohorts import Periods
from dataflow.steps.funnel import Climb
from dataflow.steps.transitions import Moves
from dataflow.typed import Typed
from dataflow.zones import check_zone
from operators.errors import DataflowError
from operators.types import Type

Held = tuple[tuple[str, Typed], ...]


@dataclass(frozen=True)
class BoundFlow:
    """A step with types: the kind of its rows, its own columns, the expressions to compute in every row, and its sink
    as a function of the columns to hold and those needed after it."""

    kind: str
    columns: dict[str, Type]
    computed: tuple[Typed, ...]
    sink: Callable[[Held, set[str]], Flow]


def bound_flow(
    step: g.FlowStep,
    condition: Callable[[Expr, str], Typed],
    typed: Callable[[Expr], Typed],
    where: str,
) -> BoundFlow:
    """``step`` bound to columns: ``condition`` and ``typed`` give expressions their types, ``where`` names the step."""
    match step:
        case g.Funnel(steps, within, mode):
            conditions = tuple(condition(e, f"step {i + 1} of the funnel") for i, e in enumerate(steps))
            later = range(2, len(conditions) + 1)

            def climb(held: Held, needed: set[str]) -> Flow:
                return Climb(held, conditions, within, mode, tuple(i for i in later if f"step_{i}" in needed))

            columns = {"steps": Type.INT} | {f"step_{i}": Type.TIME for i in later}
            return BoundFlow("funnels", columns, conditions, climb)
        case g.Cohorts(start, returns, every, zone):
            check_zone(zone, where)
            begins, comes = condition(start, "start"), condition(returns, "returns")
            bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", every), ("zone", zone)))
            columns = {"cohort": Type.TIME, "period": Type.INT, "returned": Type.BOOL}
            return BoundFlow("cohorts", columns, (begins, comes), lambda held, _: Periods(held, begins, comes, bucket))
        case g.Transitions(of, gap):
            value = typed(of)
            if value.type is None:
                raise DataflowError(f"{where}: the values are nothing but null and have no type")
            columns = {"from": value.type, "to": value.type, "after": Type.DURATION}
            return BoundFlow("transitions", columns, (value,), lambda held, _: Moves(held, value, gap))
