"""Publishes a query, with kernels for workers that compile nothing; installs these kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.language.stream import Stream
from operators.compiler.cache import mode
from operators.compiler.targets import target as target_named
from operators.compiler.targets import worker
from operators.errors import DataflowError
from runtime.errors import QueryError
from runtime.published import definition, versions
from runtime.published.definition import Published
from runtime.published.state_cache import tidy_all
from runtime.query import kernel_store
from runtime.query.plan.prepare import Request, prepare
from runtime.storage.open_store import OpenStore


def publish(
    store: OpenStore,
    metric: Stream,
    name: str,
    description: str | None,
    defaults: Mapping[str, object] | None,
    targets: Sequence[str],
) -> Published:
    """See ``Store.publish``."""
    store.catalogue.streams()  # raises if there is no store
    signer = store.signing()
    if description is None:
        description = versions.description_of(store.objects, name)
    first = definition.define(metric, name, description, defaults)
    made: list[kernel_store.KernelRef] = []
    if all(p.default is not None for p in first.parameters):
        compiled = prepare(store.catalogue, Request(metric.steps, first.params(), 0, 0, below_floor=True)).compiled
        for target in targets:
            made += kernel_store.publish(store.objects, compiled, target_named(target), signer)
    elif targets:
        raise QueryError(f"{name}: kernels depend on the types of parameters; give each a default")
    published = versions.publish(store.objects, replace(first, kernels=tuple(made)), signer)
    tidy_caches(store, published)
    return published


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
