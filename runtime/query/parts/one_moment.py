"""One snapshot of each stream, and one range, for all parts of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runtime.catalogue import Snapshot, StreamSchema
from runtime.catalogue.snapshot import unknown_stream
from runtime.query.plan.prepare import Request, Snapshots, range_of


class OneMoment:
    """The snapshots of some streams, taken once: whatever is committed later, every part sees the same points.

    Streams commit on their own: each is taken as of its last commit, one after another.
    """

    def __init__(self, catalogue: Snapshots, streams: Sequence[str]) -> None:
        known = catalogue.streams()
        for name in streams:
            if name not in known:
                raise unknown_stream(name, known)
        self._known = known
        self._taken = {name: catalogue.snapshot(name) for name in streams}

    def streams(self) -> list[str]:
        """See Snapshots."""
        return list(self._known)

    def schema(self, stream: str) -> StreamSchema | None:
        """See Snapshots."""
        return self.snapshot(stream).schema

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """See Snapshots; the files of all times, of which a plan takes those that it needs."""
        return self._taken[stream]

    def ranged(self, request: Request) -> Request:
        """The request with the range of the whole: by default from the first point of all streams to the last."""
        return replace(request, span=range_of(list(self._taken.values()), request))
