"""What all stages of a task share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from operators.states.strings import Words
from runtime.pointfile import Buffers
from runtime.query.stages.keys import Keys

_EVER = -(2**62)


@dataclass(frozen=True)
class TaskContext:
    """Shared by all stages of a task: dictionary, keys, the range [since, until), reusable output buffers, the time of
    the ``first`` point read, and the stream's ``beginning``, before which there are no points. ``whole``: the range is
    that of all points read."""

    words: Words
    keys: Keys
    since: int
    until: int
    buffers: Buffers | None = None
    first: int | None = None
    beginning: int = _EVER
    whole: bool = False

    def endless(self) -> TaskContext:
        """The same with a range that has no end."""
        return replace(self, until=-_EVER)
