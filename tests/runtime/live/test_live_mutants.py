"""Mutants of what follows and watches: the laws catch each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime.live import following, new_points
from runtime.live.chains import Reached, SourceChain
from runtime.live.feeds.alike_files import AlikeFiles
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.text_records import RecordText
from runtime.testing.oracle.strategies import cases
from tests.runtime.live import test_following_laws as laws
from tests.runtime.live import test_row_changes as changes
from tests.runtime.live import test_trigger_laws as triggers
from tests.runtime.live.feeds import test_folder_feed as feeds

Plant = Callable[[pytest.MonkeyPatch], object]


def _advanced(self: Any, proof: Any) -> None:
    """The watermark as it is now, also if that is earlier."""
    if proof.rows_catalogued:
        self.watermark = proof.until - 1 - self.lateness


def _early(result: Any, ends: Any, found: Any = following.ends_of) -> Any:
    ended = found(result, ends)
    return None if ended is None else ended - 3_600_000_000


FOLLOWED: dict[str, Plant] = {
    "rows that went are kept": lambda patch: patch.setattr(
        following, "pairs", lambda a, b, found=following.pairs: [p for p in found(a, b) if p.place is not None]
    ),
    "the watermark goes back": lambda patch: patch.setattr(following.Follower, "_advance", _advanced),
    "every answer is on time": lambda patch: patch.setattr(following, "LATE", following.ON_TIME),
}


def _compared(self: Any, newest: Any, found: Any = following.Follower._compared) -> Any:
    """What is only compared counts as emitted."""
    compared = found(self, newest)
    if compared is not None:
        self._rows = compared.rows
    return compared


def _as_emitted(self: Any, is_last: bool = False, step: Any = following.Follower.step) -> Any:
    """What the trigger holds back is never looked at again."""
    answer = step(self, is_last)
    self._seen = self.looked
    return answer


def _since_look(self: Any, is_last: bool = False, step: Any = following.Follower.step) -> Any:
    """Time is that since the last look."""
    answer = step(self, is_last)
    self._emitted = self.clock()
    return answer


LATER = df.trigger(watermark=True, late=df.trigger(rows=1000))
WATERMARK, TIME, ROWS = df.trigger(watermark=True), df.trigger(every="60s"), df.trigger(rows=4)
EMISSIONS: dict[str, tuple[df.Trigger, Plant]] = {
    "what is compared is emitted": (LATER, lambda patch: patch.setattr(following.Follower, "_compared", _compared)),
    "what is held back is forgotten": (ROWS, lambda patch: patch.setattr(following.Follower, "step", _as_emitted)),
    "the rest is held back at the end": (
        ROWS,
        lambda patch: patch.setattr(
            following.Follower, "step", lambda self, is_last=False, step=following.Follower.step: step(self)
        ),
    ),
}  # fmt: skip
FIRINGS: dict[str, tuple[df.Trigger, Plant]] = {
    "late changes are held back": (WATERMARK, lambda patch: patch.setattr("runtime.live.firing.LATE", "never")),
    "early changes are let through": (WATERMARK, lambda patch: patch.setattr("runtime.live.firing.ON_TIME", "early")),
    "only the last commit is counted": (
        ROWS,
        lambda patch: patch.setattr(
            new_points.NewPoints, "between",
            lambda self, after, newest, of=new_points.NewPoints.between: of(self, max(after, newest - 1), newest),
        ),
    ),
    "points are counted twice": (
        ROWS, lambda patch: patch.setattr(new_points, "_points", lambda r, of=new_points._points: 2 * of(r)),
    ),
    "what is taken away is not counted": (
        ROWS, lambda patch: patch.setattr(new_points, "_points", lambda r: sum(f.rows for f in r.adds if r.source)),
    ),
    "upkeep is counted": (
        ROWS, lambda patch: patch.setattr(new_points, "_points", lambda r: sum(f.rows for f in (*r.adds, *r.dels))),
    ),
    "time since the last look": (TIME, lambda patch: patch.setattr(following.Follower, "step", _since_look)),
}  # fmt: skip
"""Each with a trigger that shows it."""

FINAL: dict[str, Plant] = {"rows end an hour early": lambda patch: patch.setattr(following, "ends_of", _early)}
WATCHED: dict[str, tuple[Plant, str]] = {
    "a file that is renamed is a new one": (
        lambda patch: patch.setattr(
            AlikeFiles, "reload", lambda self: setattr(self, "number", self.chain.reached().number)
        ),
        "restart",
    ),
    "where it goes on is not known": (
        lambda patch: patch.setattr(SourceChain, "reached", lambda self: Reached()), "restart",
    ),
    "a part of a record is one": (
        lambda patch: patch.setattr(RecordText, "whole", lambda self, data: len(data)), "half",
    ),
    "a file that is cut off goes on": (
        lambda patch: patch.setattr(FolderFeed, "_tail", lambda self, file: b""), "truncate",
    ),
}  # fmt: skip
"""Each with the event, beside writing, that shows it."""


def caught(law: Any, *drawn: Any, **fixtures: Any) -> bool:
    """Whether a law fails for what is ``drawn``, without looking for the smallest example."""
    few = settings(max_examples=600, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    try:
        few(given(*drawn)(law.hypothesis.inner_test))(**fixtures)
    except (AssertionError, ValueError, ExceptionGroup):
        return True
    return False


OFTEN_CHANGED = (
    st.just("by_10_minutes"), cases(), st.integers(2, 4), st.builds(lambda: ["undo", "undo", "undo"]), st.booleans(),
)  # fmt: skip
"""Rows that end, change and go in most examples."""


OFTEN_LOOKED_AT = st.lists(
    st.tuples(st.sampled_from(["put", "put", "undo", "compact"]), st.just(True), st.integers(0, 2)),
    min_size=6, max_size=9,
)  # fmt: skip
"""Histories in which rows change after the follower has seen them."""


@pytest.mark.parametrize("mutant", FOLLOWED)
def test_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    FOLLOWED[mutant](monkeypatch)
    assert caught(laws.test_changes_applied_in_order_are_the_answer, *OFTEN_CHANGED, folder=tmp_path)


@pytest.mark.parametrize("mutant", [*EMISSIONS, *FIRINGS])
def test_of_triggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    trigger, plant = {**EMISSIONS, **FIRINGS}[mutant]
    law = triggers.test_each_emission_is_the_answer
    if mutant in FIRINGS:
        law = triggers.test_a_trigger_fires_when_its_condition_is_met
    plant(monkeypatch)
    drawn = st.just("by_10_minutes"), st.just(trigger), st.just("changes"), cases(), OFTEN_LOOKED_AT
    assert caught(law, *drawn, folder=tmp_path)


def test_of_rows_that_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "still", lambda found: {p.place for p in found if p.place is not None})
    given_rows = st.lists(changes.ROW, max_size=8)
    law = changes.test_changes_lead_from_one_answer_to_the_other
    assert caught(law, given_rows, given_rows, st.booleans())


@pytest.mark.parametrize("mutant", FINAL)
def test_of_final_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    FINAL[mutant](monkeypatch)
    assert caught(laws.test_what_is_final_never_changes_if_nothing_is_late, *laws.IN_ORDER, folder=tmp_path)


@pytest.mark.parametrize("mutant", WATCHED)
def test_of_feeds(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    plant, event = WATCHED[mutant]
    plant(monkeypatch)
    often = st.lists(st.tuples(st.sampled_from(["write", "look", event]), st.just(0)), min_size=4, max_size=8)
    assert caught(feeds.test_each_record_exactly_once, often, tmp_path_factory=tmp_path_factory)
