"""Compact: makes few files of many, stream by stream, as far as that pays off; the sweep removes the replaced ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from deploy.handlers import environment
from deploy.handlers.logs import invocation
from deploy.handlers.turns import GoesOn, Turns, invoke_again
from runtime.store import Store


def handler(event: Any, context: Any) -> Mapping[str, Any]:
    """Which streams were compacted, are left, and failed."""
    with invocation(context) as run:
        turns = Turns.of(run, event, "compacting")
        store = Store.shared(environment.required(environment.STORE))
        counts: Counter[str] = Counter()

        def one(stream: str, goes_on: GoesOn) -> bool:
            done = store.compaction(stream, progress=False).what_is_due(goes_on=goes_on)
            counts["RowsRewritten"] += done.rows
            counts["FilesReplaced"] += max(0, done.files_before - done.files_after)
            if done.jobs:
                run.log(
                    "compacted", stream=stream, files_before=done.files_before, files_after=done.files_after,
                    rows=done.rows, bytes_before=done.bytes_before, bytes_after=done.bytes_after, parts=done.jobs,
                    given_way=done.lost,
                )  # fmt: skip
            return done.unfinished

        reply: Mapping[str, Any] = turns.all(store.catalogue.streams(), one, invoke_again(context))
        run.measure_done({name: counts[name] for name in ("RowsRewritten", "FilesReplaced")})
        return reply
