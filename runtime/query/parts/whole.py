"""Runs the parts of a query, then the whole with their answers, and makes one proof of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dataflow.binding.parameters import params_in
from dataflow.binding.typing import GraphError
from dataflow.metrics.inner_answers import answered, streams_in
from dataflow.metrics.settled import check_params
from dataflow.steps.base import InnerMetric
from dataflow.tables.answer_tables import AnswerTable
from runtime.query.parts.one_moment import OneMoment
from runtime.query.parts.part_answers import answer_of
from runtime.query.plan.prepare import Prepared, Request, Snapshots, prepare
from runtime.result.cost import summed_cost
from runtime.result.proof import PartProof, Proof, digest
from runtime.result.result import Result

AnswerPart = Callable[[Request, str], AnswerTable]
"""Answers a part, which has no parts of its own any more, of the step of that name."""


@dataclass(frozen=True)
class PlannedPart:
    """A part of a query that nothing has run."""

    step: str
    prepared: Prepared


def whole(catalogue: Snapshots, request: Request, ask: Callable[[Request, Snapshots, bool], Result]) -> Result:
    """The result of a metric with others inside it; ``ask`` runs one without, with its snapshots, as a part or not."""
    check_params(request.steps, request.params)
    moment = OneMoment(catalogue, streams_in(request.steps))
    parts: list[tuple[str, Result]] = []

    def answer(part: Request, where: str) -> AnswerTable:
        result = ask(part, moment, True)
        parts.append((where, result))
        return answer_of(result, where)

    return _of_parts(ask(with_answers(moment.ranged(request), answer), moment, False), parts)


def planned(
    catalogue: Snapshots, request: Request, prepare_part: Callable[[Snapshots, Request], Prepared] = prepare
) -> tuple[Snapshots, Request, list[PlannedPart]]:
    """The snapshots of a metric with others inside it, the metric with answers without rows in place of these, and
    their plans. Nothing is run."""
    check_params(request.steps, request.params)
    moment = OneMoment(catalogue, streams_in(request.steps))
    parts: list[PlannedPart] = []

    def answer(part: Request, where: str) -> AnswerTable:
        prepared = prepare_part(moment, part)
        parts.append(PlannedPart(where, prepared))
        return AnswerTable.empty(prepared.plan.outputs)

    return moment, with_answers(moment.ranged(request), answer), parts


def with_answers(request: Request, answer: AnswerPart) -> Request:
    """The request with the answers of the metrics inside it; its range is known."""

    def of(metric: InnerMetric, where: str) -> AnswerTable:
        known = params_in(metric.steps)
        given = {name: value for name, value in request.params.items() if name in known}
        part = replace(_shifted(request, metric.shift), steps=metric.steps, params=given)
        try:
            return answer(with_answers(part, answer), where)
        except GraphError as error:
            raise GraphError(f"{where}, in its metric: {error}") from None

    steps = answered(request.steps, of)
    known = params_in(steps)
    return replace(request, steps=steps, params={n: v for n, v in request.params.items() if n in known})


def _shifted(request: Request, shift: int) -> Request:
    if not shift:
        return request

    def later(t: int | None) -> int | None:
        return None if t is None else t + shift

    assert request.span is not None
    since, until, clipped = request.span
    span = since + shift, until + shift, clipped
    return replace(request, since=later(request.since), until=later(request.until), span=span)


def _of_parts(result: Result, parts: list[tuple[str, Result]]) -> Result:
    """The result with the proofs, notes and cost of its parts."""
    proofs = [PartProof(where, part.proof) for where, part in parts if isinstance(part.proof, Proof)]
    assert isinstance(result.proof, Proof)
    notes = tuple(f"{where}: {note}" for where, part in parts for note in part.notes)
    own = digest(*(p.encode() for p in (result.proof.result, *(p.proof.result for p in proofs))))
    result.proof = replace(result.proof, parts=tuple(proofs), result=own, notes=(*result.proof.notes, *notes))
    result.notes = list(result.proof.notes)
    result.cost = summed_cost([result.cost, *(part.cost for _, part in parts)])
    return result
