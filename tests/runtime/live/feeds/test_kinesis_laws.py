"""Shards that split and merge, watchers that are killed: each record exactly once, in order; and what breaks that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Store
from runtime.errors import StoreError
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.kinesis_feed import KinesisFeed
from runtime.live.feeds.kinesis_shards import BegunShards, FollowedShard
from runtime.live.feeds.kinesis_stream import KinesisStream
from tests.runtime.live.feeds.fake_bucket import Killed, refused
from tests.runtime.live.feeds.fake_kinesis import FakeStream
from tests.runtime.live.feeds.watched import STREAM, check_scenarios, lines, numbers_in
from tests.runtime.live.feeds.watched_kinesis import WatchingKinesis

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "look", "other", "restart", "split", "merge", "expire", "throttle",
                         "lose", "away", "killed", "killed"]),
        st.integers(0, 30),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=20)
@given(EVENTS)
def test_each_record_exactly_once(tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]) -> None:
    folder, stream, count = tmp_path_factory.mktemp("kinesis"), FakeStream.of(2), 0
    with Store(folder / "store", create=True) as store:
        both = [WatchingKinesis(store, folder / "f", stream) for _ in range(2)]
        for kind, which in events:
            ids = stream.open_shards()
            if kind == "put":
                for _ in range(1 + which % 5):
                    stream.put(lines(count), shard=which)
                    count += 1
            elif kind == "look":
                both[0].look(1 + which % 2)
            elif kind == "other":
                both[1].look()
            elif kind == "restart":
                both[which % 2] = WatchingKinesis(store, folder / "f", stream)
            elif kind == "split" and len(ids) < 4:
                stream.split(ids[which % len(ids)])
            elif kind == "merge" and len(ids) > 1:
                stream.merge(ids[which % len(ids)], ids[(which + 1) % len(ids)])
            elif kind == "expire":
                stream.expire_iterators()
            elif kind in ("throttle", "away"):
                code = "ProvisionedThroughputExceededException" if kind == "throttle" else "ServiceUnavailable"
                stream.failures.extend([None] * (which % 4) + [refused(400 if kind == "throttle" else 503, code)])
                with contextlib.suppress(StoreError):  # at the very first look
                    both[0].look()
                stream.failures.clear()
            elif kind == "lose":
                stream.lost = 1 + which % 3
                with contextlib.suppress(StoreError):
                    both[0].look()
                stream.lost = 0
            elif kind == "killed":  # at any step: of its requests, replies and commits
                steps = stream.steps if which % 2 else stream.commits
                steps.left = which // 2
                with contextlib.suppress(Killed):
                    both[0].look(2)
                steps.left = None
                both[0] = WatchingKinesis(store, folder / "f", stream)
        last = WatchingKinesis(store, folder / "f", stream)
        for _ in range(60):
            before = len(stream.sent), store.catalogue.order(STREAM).seq if count else 0
            last.look()
            if before[1] and before[1] == store.catalogue.order(STREAM).seq:
                break
        assert not count or numbers_in(store) == list(range(count))
        assert_in_order(store, stream)


def assert_in_order(store: Store, stream: FakeStream) -> None:
    """No record of a shard was committed before one of a shard that it follows."""
    ended: set[str] = set()
    if STREAM not in store.catalogue.streams():
        return
    for record in store.catalogue.records(STREAM):
        entry = None if record.source is None else store.catalogue.is_ingested(STREAM, record.source)
        if entry is None or "[" not in entry.name:
            continue
        id = entry.name.partition("[")[2].partition("]")[0]
        assert all(parent in ended for parent in stream.shards[id].parents), (id, ended)
        if (entry.position or {}).get("ended"):
            ended.add(id)


def _at_once(begun: BegunShards, listed: Any, followed: Any, first: Any) -> Any:
    return {**begun.starts, **{id: {} for id in listed if id not in begun.starts}}


def _too_far(shard: FollowedShard) -> Any:
    last = shard.last
    return shard.chain.position(sequence=None if last is None else str(int(last) + 7), until=shard.until)


def _before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """What was read counts as committed when it is given."""
    real = KinesisFeed._piece

    def piece(feed: KinesisFeed, shard: FollowedShard) -> Piece:
        made = real(feed, shard)
        shard.sequence = shard.last
        shard.waiting = []
        return made

    patch.setattr(KinesisFeed, "_piece", piece)
    patch.setattr(FollowedShard, "reload", _keeping(FollowedShard.reload))


def _keeping(reload: Callable[[FollowedShard], None]) -> Callable[[FollowedShard], None]:
    def kept(shard: FollowedShard) -> None:
        sequence = shard.sequence
        reload(shard)
        shard.sequence = sequence or shard.sequence

    return kept


def _outside(patch: pytest.MonkeyPatch) -> None:
    """The position is kept beside the commits, and written after them."""
    kept: dict[tuple[int, str], str | None] = {}

    def committed(shard: FollowedShard, number: int, position: Any) -> None:
        real(shard, number, position)
        kept[id(shard.chain.catalogue), shard.id] = shard.sequence

    def reload(shard: FollowedShard) -> None:
        again(shard)
        shard.sequence = kept.get((id(shard.chain.catalogue), shard.id))

    real, again = FollowedShard.committed, FollowedShard.reload
    patch.setattr(FollowedShard, "committed", committed)
    patch.setattr(FollowedShard, "reload", reload)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "the position is outside of the commit": _outside,
    "the position is advanced before the commit": _before_the_commit,
    "the position is one too far": lambda patch: patch.setattr(FollowedShard, "position", _too_far),
    "a child begins before its parent has ended": lambda patch: patch.setattr(BegunShards, "with_new", _at_once),
    "an expired iterator is begun anew at the end": lambda patch: patch.setattr(
        KinesisFeed, "_place", lambda feed, shard: feed._stream.iterator(
            shard.id, "AT_TIMESTAMP", Timestamp=feed._stream.client.boto.now
        )
    ),
    "nothing is known of the position": lambda patch: patch.setattr(
        FollowedShard, "reload", _forgetting(FollowedShard.reload)
    ),
    "a shard ends with its first empty answer": lambda patch: patch.setattr(
        KinesisStream, "after", _ended_if_empty(KinesisStream.after)
    ),
}  # fmt: skip


def _forgetting(reload: Callable[[FollowedShard], None]) -> Callable[[FollowedShard], None]:
    def forgotten(shard: FollowedShard) -> None:
        reload(shard)
        shard.sequence = None

    return forgotten


def _ended_if_empty(after: Callable[..., Any]) -> Callable[..., Any]:
    from dataclasses import replace

    def ended(stream: KinesisStream, shard: str, iterator: str) -> Any:
        batch = after(stream, shard, iterator)
        return batch if batch.records else replace(batch, iterator=None)

    return ended


SCENARIOS = [
    *(
        [("put", 4), ("put", 9), ("look", 0), ("put", 4), ("split", 0), ("put", 4), ("expire", 0), ("killed", step),
         ("put", 3), ("look", 0)]
        for step in (0, 4, 6, 11, 21)
    ),
    # A slow one beside another; and a shard that is not read to its end by one look.
    [("put", 0), ("look", 0), ("other", 0), ("put", 0), ("other", 0), ("put", 0), ("look", 1), ("put", 0), ("look", 1)],
    [("put", 4), ("look", 0), ("put", 4), ("killed", 2)],
    [*[("put", 4)] * 7, ("split", 0), ("put", 1), ("look", 0)],
    # A shard without records has ended, which is all that is committed: another process begins those that follow it.
    [("split", 0), ("put", 1), ("look", 0)],
]  # fmt: skip
"""Each step of a process is its last once; and what only the order of some events shows."""


@pytest.mark.parametrize("mutant", [None, *MUTANTS])
def test_mutants(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str | None) -> None:
    law = test_each_record_exactly_once.hypothesis.inner_test
    plant = None if mutant is None else partial(MUTANTS[mutant], monkeypatch)
    check_scenarios(partial(law, tmp_path_factory), SCENARIOS, plant)
