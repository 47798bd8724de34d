"""Retain: retires the points that streams keep no longer; the sweep removes their files a day later.

How long a stream keeps its points says the deployment (``keep`` of antfold.toml) or the stream's own policy (``dataflow
retain --always``). Where both do, the longer time holds: what was retired cannot be brought back, and one of the two
meant to keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.handlers import environment
from deploy.handlers.logs import Invocation, invocation
from deploy.handlers.turns import GoesOn, Turns, invoke_again
from runtime.query.plan.make_tasks import default_workers
from runtime.store import Store
from runtime.upkeep.retaining import length_of, policy_of, retain_in_steps


def handler(event: Any, context: Any) -> Mapping[str, Any]:
    """For which streams it was done, which are left, and which failed."""
    with invocation(context) as run:
        turns = Turns.of(run, event, "retiring")
        store = Store.shared(environment.required(environment.STORE))
        deployed = environment.keep()
        rows = 0

        def one(stream: str, goes_on: GoesOn) -> bool:
            nonlocal rows
            keep = _keep(run, stream, deployed.get(stream), policy_of(store.objects, stream))
            if keep is None:
                return False
            snapshot_of = lambda: store.catalogue.snapshot(stream)  # noqa: E731
            done, left = retain_in_steps(
                store.taking_back(stream), snapshot_of, length_of(keep), default_workers(), goes_on
            )
            for report in done:
                said = report.to_dict()
                run.log("retired", **{name: said[name] for name in ("stream", "day", "rows", "of", "files", "carried")})
            rows += sum(report.rows for report in done)
            return left

        reply: Mapping[str, Any] = turns.all(store.catalogue.streams(), one, invoke_again(context))
        run.measure_done({"RowsRetired": rows})
        return reply


def _keep(run: Invocation, stream: str, deployed: str | None, own: str | None) -> str | None:
    """How long a stream keeps its points; None: for ever."""
    if deployed is None or own is None or length_of(deployed) == length_of(own):
        return deployed if own is None else own
    longer = max(deployed, own, key=length_of)
    run.log(
        "two retentions", "warning", stream=stream, deployed=deployed, own=own, holds=longer,
        message="the longer one holds: change keep in antfold.toml, or `dataflow retain --always`",
    )  # fmt: skip
    return longer
