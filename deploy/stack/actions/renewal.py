"""Kernels of published queries for the release that is about to be deployed."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.stack.resources.resource_names import reached
from operators.errors import DataflowError
from runtime.aws.access import Access


def renew_kernels(outputs: Mapping[str, str], architecture: str, access: Access) -> list[str]:
    """Store and sign this release's kernels for all published queries of a deployment, given its outputs.

    Its functions compile nothing, so a query that an earlier release published needs them. Returns a sentence for each
    query without; the others, and the deployment itself, do not depend on them.
    """
    from runtime.aws.kms import KmsSigner
    from runtime.published.publishing import renew
    from runtime.store import Store

    if "Store" not in outputs or "SigningKey" not in outputs:
        return []
    try:
        with Store(reached(outputs["Store"], access)) as store:
            failed = renew(store, architecture, KmsSigner(outputs["SigningKey"], access))
    except DataflowError as error:
        return [f"the kernels of published queries could not be made for the new release: {error}"]
    return [
        f"the new release has no kernels for the query {name}, which will fail until it is published again: {why}"
        for name, why in failed.items()
    ]
