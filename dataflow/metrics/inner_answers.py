"""Metrics inside a metric: their streams, and the metric with their answers in place of them.

An aggregate beside rows that are no finished table, ``df.mean("x").over("device")``, is one, too: a grouping of the
rows before the step by the columns of ``over``, whose answer joins them under a hidden name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from dataflow.binding.typing import GraphError
from dataflow.expressions.aggregate_calls import Agg, Named, in_words
from dataflow.expressions.expr import Expr, col, lit
from dataflow.steps import GroupBy, JoinAnswer
from dataflow.steps.base import STEPS, TABLE, InnerMetric, Step, content_of
from dataflow.tables.answer_tables import AnswerTable, without_rows
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.hidden_columns import hidden_over

Answering = Callable[[InnerMetric, str], AnswerTable]
"""Gives the answer of a metric inside the step of that name."""


def has_inner(steps: Sequence[Step]) -> bool:
    """Whether the metric takes answers of others, or of itself."""
    for i, step in enumerate(steps):
        if step.inner(steps[:i]) or (not _is_table(steps[:i]) and _overs(step)) or _inside(step):
            return True
    return False


def _inside(step: Step) -> bool:
    return any(has_inner(chain.steps) for chain in step.chains())


def streams_in(steps: Sequence[Step]) -> list[str]:
    """The streams of the metric and of those inside it, each once, in the order of their names."""
    return sorted(set(_streams(tuple(steps))))


def _streams(part: object) -> Iterator[str]:
    if isinstance(part, tuple):
        for item in part:
            yield from _streams(item)
    elif is_dataclass(part) and isinstance(part, Step):
        yield from part.streams()
        for f in fields(part):
            yield from _streams(getattr(part, f.name))


def answered(steps: Sequence[Step], answer: Answering) -> tuple[Step, ...]:
    """The steps with answers in place of the metrics inside them."""
    return _answered((), steps, answer, "")


def _answered(before: tuple[Step, ...], steps: Sequence[Step], answer: Answering, inside: str) -> tuple[Step, ...]:
    """``steps``, which follow ``before``; ``inside`` names the step that they are part of, if they are."""
    out: list[Step] = []
    for i, step in enumerate(steps):
        where = inside or f"step {i + 1} ({step.method})"
        if _inside(step):
            start = (*before, *out)
            chains = [_answered(start if c.after is None else c.after, c.steps, answer, where) for c in step.chains()]
            step = step.with_chains(chains)
        if not _is_table((*before, *steps[:i])) and (found := _overs(step)):
            joins, names = _beside_rows((*before, *out), found, answer, where)
            out += joins
            step = _replaced(step, names)
        inner = step.inner((*before, *steps[:i]))
        out += step.answered([answer(metric, where) for metric in inner]) if inner else (step,)
    return tuple(out)


def _is_table(steps: Sequence[Step]) -> bool:
    return any(step.makes == TABLE for step in steps)


# ---- aggregates beside rows


def _overs(part: object) -> list[Expr]:
    """The outermost nodes ``over`` of a step, but not of the metrics and chains inside it."""
    if isinstance(part, Expr) and part.fn == "over":
        return [part]
    if isinstance(part, tuple):
        return [e for item in part if not isinstance(item, Step) for e in _overs(item)]
    if is_dataclass(part) and not isinstance(part, type | ReferenceTable | Calendar):
        return [e for f in fields(part) for e in _overs(getattr(part, f.name))]
    return []


def _beside_rows(
    before: tuple[Step, ...], found: Sequence[Expr], answer: Answering, where: str
) -> tuple[list[Step], dict[object, str]]:
    """The joins that put these aggregates beside the rows after ``before``, and their columns by content."""
    names: dict[object, str] = {}
    groups: dict[object, tuple[Named, list[tuple[str, Agg]]]] = {}
    for e in found:
        if content_of(e) in names:
            continue
        per, of = e.option("per"), e.option("of")
        assert isinstance(per, tuple)
        if not isinstance(of, Agg) or e.option("order"):
            raise GraphError(
                f"{where}: {e!r} is for the rows of a finished table, as after agg(...): it depends on their order"
            )
        if dict(of.options).get("hold") is not None:
            raise GraphError(f"{where}: {e!r}: hold= is only for agg(...); use over after state_duration instead")
        name = names[content_of(e)] = hidden_over(f"{len(before)}_{len(names)}", repr(of))
        # Without columns all rows are of one group.
        by = tuple((hidden_over(f"by{i}", in_words(c)), c) for i, c in enumerate(per or (lit(0),)))
        groups.setdefault(content_of(per), (by, []))[1].append((name, of))
    joins: list[Step] = []
    for by, aggs in groups.values():
        table = answer(InnerMetric((*before, GroupBy(by, tuple(aggs)))), where)
        joins.append(JoinAnswer(table, by, "left", tuple((name, name) for name, _ in aggs), nulls=True))
    return joins, names


def _replaced(part: Any, names: Mapping[object, str]) -> Any:
    """A step, or a part of one, with columns in place of the aggregates beside its rows."""
    if isinstance(part, Expr) and part.fn == "over":
        return col(names[content_of(part)])
    if isinstance(part, tuple):
        return tuple(item if isinstance(item, Step) else _replaced(item, names) for item in part)
    if is_dataclass(part) and not isinstance(part, type | ReferenceTable | Calendar):
        changed = {f.name: _replaced(getattr(part, f.name), names) for f in fields(part)}
        return replace(part, **{n: v for n, v in changed.items() if v is not getattr(part, n)})
    return part


# ---- what tasks need


def task_graph(graph: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of a metric as tasks need it: without the rows of answers that only steps after the merge read."""
    steps = graph["steps"]
    first = next((i for i, step in enumerate(steps) if STEPS[step["op"]].makes == TABLE), len(steps))
    if not any("packed" in step.get("table", ()) for step in steps[first:]):
        return graph
    slim = [{**s, "table": without_rows(s["table"])} if "packed" in s.get("table", ()) else s for s in steps[first:]]
    return {**graph, "steps": [*steps[:first], *slim]}
