"""Which states followers write: those that the next look can use, and of others fewer and fewer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import dataflow as df
from runtime import Store
from runtime.published.state_cache import Shelf
from runtime.published.worth_saving import WorthSaving

SECOND = 1_000_000
UPTIME = df.stream("s").state_duration("v", hold="5m").group_by("v").agg(time=df.duration(), n=df.count_distinct("k"))


def test_after_a_state_that_was_not_used_the_next_one_waits_twice_as_long() -> None:
    worth, saved = WorthSaving(), []
    for run in range(300):
        worth.begun_with("a", "")  # what was saved is never found
        worth.begun_with("b", str(run - 1) if run else "")  # what was saved is what the next one begins with
        assert worth.is_due("b")
        worth.saved("b", str(run))
        if worth.is_due("a"):
            saved.append(run)
            worth.saved("a", f"state {run}")
    assert saved[:6] == [0, 2, 6, 14, 30, 62]
    assert [b - a for a, b in pairwise(saved[5:])] == [64] * (len(saved) - 6)
    worth.saved("a", "used")
    worth.begun_with("a", "used")
    assert worth.is_due("a")


@pytest.mark.parametrize(("late", "most"), [(0, 11), (7_200, 3)])
def test_a_follower_writes_what_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int, most: int
) -> None:
    """Of twelve looks each writes its state where points come in order, but for the one after a compaction, which put
    the files together; and three where some points are late each time."""
    puts: list[str] = []
    usual = Shelf.put

    def put(shelf: Shelf, first: int, last: int, content: str, state: bytes) -> None:
        puts.append(content)
        usual(shelf, first, last, content, state)

    monkeypatch.setattr(Shelf, "put", put)
    with Store(tmp_path, create=True) as store:
        store.ingest("s", {"k": ["a"], "t": [0], "v": ["up"]}, key="k", time="t", unit="s", progress=False)
        follower = store.follower(UPTIME)
        for i in range(12):
            now = 10_000 + 60 * i
            points = {"k": ["a", "b"], "t": [now, now + 1 - late], "v": ["up", "down"]}
            store.ingest("s", points, key="k", time="t", unit="s", progress=False)
            answer = follower.step()
            assert answer is not None
            assert answer.proof == store.query(UPTIME, progress=False).proof.to_dict()["result"]
    assert len(puts) == most
