"""Mutants of what follows and watches: the laws catch each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from runtime.live import following
from runtime.live.chains import Reached, SourceChain
from runtime.live.feeds.alike_files import AlikeFiles
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.text_records import RecordText
from runtime.testing.oracle.strategies import cases
from tests.runtime.live import test_following_laws as laws
from tests.runtime.live import test_row_changes as changes
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
        lambda patch: patch.setattr(FolderFeed, "_tail", lambda feed, file: b""), "truncate",
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


@pytest.mark.parametrize("mutant", FOLLOWED)
def test_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    FOLLOWED[mutant](monkeypatch)
    assert caught(laws.test_changes_applied_in_order_are_the_answer, *OFTEN_CHANGED, folder=tmp_path)


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
