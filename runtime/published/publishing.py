"""Publishes a query, with kernels for workers that compile nothing; installs these kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.language.stream import Stream
from dataflow.language.triggers import Trigger
from dataflow.metrics.inner_answers import has_inner
from dataflow.metrics.settled import settled
from dataflow.plan.stages import Plan
from operators.compiler.cache import mode, ready_file
from operators.compiler.targets import target as target_named
from operators.compiler.targets import worker
from operators.errors import DataflowError
from runtime.aws.kms import Signer
from runtime.errors import OtherRelease, QueryError
from runtime.published import definition, versions
from runtime.published.definition import Published
from runtime.published.state_cache import tidy_all
from runtime.query import kernel_store
from runtime.query.parts.whole import planned
from runtime.query.plan.other_key import with_other_key
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Compiled
from runtime.storage.open_store import OpenStore


def publish(
    store: OpenStore,
    metric: Stream,
    name: str,
    description: str | None,
    defaults: Mapping[str, object] | None,
    targets: Sequence[str],
    trigger: Trigger | None = None,
) -> Published:
    """See ``Store.publish``."""
    store.catalogue.streams()  # raises if there is no store
    signer = store.signing()
    if description is None or trigger is None:
        before = versions.last(store.objects, name)
        if before is not None:
            description = before.description if description is None else description
            trigger = before.trigger if trigger is None else trigger
    first = definition.define(metric, name, "" if description is None else description, defaults, trigger=trigger)
    made: list[kernel_store.KernelRef] = []
    if all(p.default is not None for p in first.parameters):
        plans = _plans(store, Request(*settled(metric.steps, first.params()), 0, 0, below_floor=True))
        for target in targets:
            for compiled in plans:
                found = kernel_store.publish(store.objects, compiled, target_named(target), signer)
                made += [kernel for kernel in found if kernel not in made]
    elif targets:
        raise QueryError(f"{name}: kernels depend on the types of parameters; give each a default")
    published = versions.publish(store.objects, replace(first, kernels=tuple(made)), signer)
    tidy_caches(store, published)
    return published


def _plans(store: OpenStore, request: Request) -> list[Compiled]:
    """The plans of a metric and of those inside it."""
    if not has_inner(request.steps):
        return [prepare(*with_other_key(store.catalogue, request)).compiled]
    snapshots, request, parts = planned(store.catalogue, request, lambda *part: prepare(*with_other_key(*part)))
    return [*(part.prepared.compiled for part in parts), prepare(*with_other_key(snapshots, request)).compiled]


def tidy_caches(store: OpenStore, newest: Published | None = None) -> list[str]:
    """Delete cached states of superseded versions (``state_cache.tidy_all``); returns their paths.

    The latest two versions of every name are current: one may be rolled back.
    """
    current = set() if newest is None else {newest.digest}
    try:
        for latest in versions.latest(store.objects):
            current |= {p.digest for p in sorted(versions.versions(store.objects, latest.name), key=_version)[-2:]}
    except DataflowError:
        # One query that cannot be read must not cost the others their cache.
        return []
    return tidy_all(store.objects, current)


def _version(of: Published) -> int:
    return of.version


def have_kernels(store: OpenStore, named: Published) -> None:
    """Install the kernels of a published query in a process that compiles nothing."""
    if named.kernels and mode() == "ready":
        mine = worker().name
        kernel_store.install(store.objects, [k for k in named.kernels if k.target == mine], store.signing())


def have_own_kernels(store: OpenStore, named: Published, plan: Plan) -> None:
    """Install the kernels that this release needs for the query, where they are not those that it was published with.

    Another release may compute the same with other kernels; ``renew`` stores them. OtherRelease if the store has none.
    """
    if mode() != "ready":
        return
    signer, mine = store.signing(), worker()
    for file in kernel_store.kernel_files(plan):
        if ready_file(file.name, file.digest) is not None:
            continue
        found = kernel_store.find(store.objects, file, mine, signer)
        if found is None:
            raise OtherRelease(
                f"the query {named.name}@{named.version} has no kernels for antfold {definition.antfold_version()} on "
                f"{mine.name} (it was published by antfold {named.by}): run `dataflow deploy` with this release, which "
                f"makes them for all published queries, or publish it again with --target {mine.name}"
            )
        kernel_store.install(store.objects, [found], signer)


def renew(store: OpenStore, target: str, signer: Signer | None) -> dict[str, str]:
    """Store the kernels of this release for every published query that has kernels for ``target``.

    So that functions of this release run what others published. Returns why it failed for a query, by its name and
    version; definitions do not change.
    """
    failed: dict[str, str] = {}
    for name in (latest.name for latest in versions.latest(store.objects)):
        for named in versions.versions(store.objects, name):
            if not any(k.target == target for k in named.kernels):
                continue
            try:
                request = Request(*settled(named.metric.steps, named.params()), 0, 0, below_floor=True)
                for compiled in _plans(store, request):
                    kernel_store.publish(store.objects, compiled, target_named(target), signer)
            except DataflowError as error:
                failed[f"{name}@{named.version}"] = str(error)
    return failed
