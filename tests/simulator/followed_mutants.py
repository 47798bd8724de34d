"""Followers and kept states with one rule broken each; drawn histories must catch every mutant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runtime.catalogue import FileEntry
from runtime.live import following
from runtime.live.following import Follower
from runtime.live.stream_watermark import StreamWatermark
from runtime.published import day_states, incremental
from runtime.published.day_states import Days

Plant = Callable[[pytest.MonkeyPatch], object]


def _known_by(name: Callable[[Sequence[Sequence[FileEntry]]], int]) -> Plant:
    """States of groups of files are known by this number, and fit whatever rows there are."""

    def named(groups: Sequence[Sequence[FileEntry]], unordered: bool = False) -> list[str]:
        return [f"{name(groups[:n]):064x}" for n in range(1, len(groups) + 1)]

    def plant(patch: pytest.MonkeyPatch) -> None:
        for module in (day_states, incremental):
            patch.setattr(module, "contents", named)
            patch.setattr(module, "covers", lambda coverage, rows: True)

    return plant


def _days(groups: Sequence[Sequence[FileEntry]]) -> int:
    """An undo leaves the days of files as they are."""
    return sum(1 << (file.day % 200) for group in groups for file in group)


def _last(groups: Sequence[Sequence[FileEntry]]) -> int:
    """Points that came late to files before the last ones leave these as they are."""
    return sum(file.content_hash for file in groups[-1]) % (1 << 200)


def _went_back(self: Follower, proof: Any) -> None:
    if proof.rows_catalogued:
        self.watermark = proof.until - 1 - self.lateness


def _without_on_time(self: Follower, state: Any = Follower.state) -> dict[str, object]:
    return {**state(self), "on_time": []}


def _dropped(self: Follower, newest: Any, compared: Any = Follower._compared) -> Any:
    """A commit that does not move the watermark is taken for late, and left out."""
    before = self.watermark
    found = compared(self, newest)
    return None if found is not None and before is not None and self.watermark == before else found


def _set(of: Any, name: str, broken: Any) -> Plant:
    return lambda patch: patch.setattr(of, name, broken)


MUTANTS: dict[str, Plant] = {
    "a state whose file was undone is trusted": _known_by(_days),
    "a late file before a state is not seen": _known_by(_last),
    "a file that came late to a day is not read": _set(
        Days, "beyond", lambda self, known, of=Days.beyond: () if known is not None else of(self, known)
    ),
    "what is late is left out": _set(Follower, "_compared", _dropped),
    "the watermark goes back": _set(Follower, "_advance", _went_back),
    "the watermark of no commit": _set(StreamWatermark, "at", lambda self, seq: None),
    "on time twice": _set(following, "LATE", following.ON_TIME),
    "on time again after a restart": _set(Follower, "state", _without_on_time),
    "rows that went are kept": _set(
        following, "pairs", lambda a, b, of=following.pairs: [p for p in of(a, b) if p.place is not None]
    ),
}
