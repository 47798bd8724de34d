"""Sweep: removes files that nothing needs any more, after their grace; the only function that deletes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from deploy.handlers import environment
from deploy.handlers.logs import invocation
from operators.errors import DataflowError
from runtime.store import Store

_SHOWN = 20


def handler(event: Any, context: Any) -> Mapping[str, Any]:
    """How many files and bytes were removed, and how many files are left alone.

    ``TooManyOrphans``, and nothing is removed, if many of the point files are in no commit: somebody has to look, and
    may invoke it with ``{"allow_many": true}``.
    """
    with invocation(context) as run:
        if not isinstance(event, Mapping) or set(event) - {"allow_many"} or event.get("allow_many") not in (None, True):
            raise DataflowError(
                'an event of this function is {}, or {"allow_many": true} to remove left-overs however many there are.'
            )
        store = Store.shared(environment.required(environment.STORE))
        run.log("sweeping", store=store.url)
        report = store.sweep(allow_many=event.get("allow_many") is True)
        by_reason = Counter(file.reason for file in report.removed)
        for sentence in report.left[:_SHOWN]:
            run.log("left alone", "warning", message=sentence)
        counts: dict[str, Any] = {"removed": len(report.removed), "bytes": report.bytes, "left": len(report.left)}
        run.log("swept", "info", **counts, later=len(report.later), reasons=dict(by_reason))
        run.measure_done({"FilesRemoved": len(report.removed), "BytesRemoved": report.bytes})
        return counts
