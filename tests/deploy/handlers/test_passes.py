"""Passes lose nothing for being old, and enqueue nothing that waits already: laws, over a model of the queue."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.passes import UPLOADS, PassesNote, iso, sentences
from tests.deploy.handlers.landing_model import World

DAY = 24 * 60


def always(key: str) -> bool:
    return True


def never(key: str) -> bool:
    return False


def test_an_object_that_arrived_while_nothing_was_deployed() -> None:
    world = World()
    key = world.arrive("s", lost=True)
    world.pass_time(30 * DAY, None)
    note = world.reconcile()
    assert world.enqueued == [key]
    assert note.complete is not None
    assert note.complete.oldest is not None
    assert note.complete.reached == iso(world.modified[key])  # it is not yet ingested
    world.pass_time(60, always)
    note = world.reconcile()
    assert (world.done, world.enqueued) == ({key}, [key])
    assert note.complete is not None
    assert note.complete.reached == iso(world.now - timedelta(minutes=15))


def test_functions_were_stopped_for_thirty_days() -> None:
    world = World()
    world.arrive("s")
    world.pass_time(60, always)
    world.reconcile()
    key = world.arrive("s", lost=True)
    other = world.arrive("s")  # whose message expires
    world.pass_time(30 * DAY, None)
    world.reconcile()
    assert sorted(world.enqueued) == [key, other]


def test_a_backlog_is_not_doubled() -> None:
    """In ALARM nothing is enqueued, and the next pass covers the same range."""
    world = World()
    lost = world.arrive("s", lost=True)
    for _ in range(20):
        world.arrive("s")
    world.pass_time(60, None)
    for _ in range(3):
        note = world.reconcile()
        assert world.enqueued == []
        assert note.complete is None
        assert note.last is not None
        assert (note.last.hold, note.last.counts["queued"]) == (True, 21)
        world.pass_time(60, None)
    world.pass_time(5, always)
    world.reconcile()
    assert world.enqueued == [lost]


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
def test_an_alarm_that_does_not_say_ok(state: str) -> None:
    world = World(alarm=state)
    world.arrive("s", lost=True)
    world.pass_time(120, None)
    world.arrive("s")
    assert world.reconcile().complete is None
    assert world.enqueued == []


def test_what_is_young_while_the_queue_is_busy() -> None:
    """With the alarm OK, only what is older than its threshold and its lag is enqueued."""
    world = World()
    old = world.arrive("s", lost=True)
    world.pass_time(12, None)
    world.arrive("s", lost=True)
    world.pass_time(19, None)
    world.arrive("s")  # which makes the queue busy
    world.reconcile()
    assert world.enqueued == [old]


def test_what_a_pass_enqueued_is_not_enqueued_by_the_next() -> None:
    """Its message is younger than its object."""
    world = World()
    world.arrive("s", lost=True)
    world.pass_time(DAY, None)
    for minutes in (1, 5, 20):
        world.reconcile()
        world.pass_time(minutes, None)
    assert len(world.enqueued) == 1


def test_a_dead_letter_is_enqueued_once() -> None:
    """Once more, an hour later, for a fault that lasted some minutes; then it is for a person."""
    world = World()
    world.arrive("s")
    for _ in range(10):
        world.pass_time(60, never)
        world.reconcile()
    assert len(world.enqueued) == 1
    assert len(world.dead) == 2
    world.pass_time(15 * DAY, never)  # dead letters expire
    world.reconcile()
    assert len(world.enqueued) == 2


def test_a_stream_that_is_declared_late() -> None:
    world = World()
    world.arrive("s")
    key = world.arrive("new")
    world.pass_time(60, lambda key: "/s/" in key)
    for unknown in (1, 1, 0):
        note = world.reconcile()
        assert note.complete is not None
        assert note.complete.counts["unknown"] == unknown
        world.pass_time(10 * DAY, None)
    world.streams = ("new", "s")
    world.reconcile()
    assert world.enqueued == [key]


def test_a_pass_in_parts_is_complete_at_its_end() -> None:
    world = World()
    for _ in range(25):
        world.arrive("s", lost=True)
    world.pass_time(60, None)
    note = world.reconcile(page=10, left=1.0)
    assert note.complete is not None
    assert (note.complete.counts["listed"], note.complete.counts["enqueued"]) == (25, 25)


def test_a_narrower_pass_counts_for_nothing() -> None:
    world = World()
    world.pass_time(60, None)
    first = world.reconcile().complete
    assert first is not None
    note = PassesNote(first, first)
    later = replace(first, begun=iso(world.now + timedelta(days=9)), since=iso(world.now), ended=iso(world.now))
    assert note.with_pass(later).complete == first
    assert note.with_pass(later).last == later
    assert note.with_pass(replace(later, since=first.since)).complete != first


def test_what_a_person_is_told() -> None:
    assert sentences(PassesNote()) == ["reconcile: no complete pass yet"]
    world = World()
    world.arrive("s")
    world.pass_time(60, always)
    first = world.reconcile()
    assert sentences(first) == ["reconcile: last complete pass 2024-01-01T01:00:00; 1 known"]
    key = world.arrive("s", lost=True)
    world.pass_time(20, None)
    world.arrive("s")
    world.pass_time(60, None)
    assert sentences(world.reconcile()) == [
        "reconcile: last complete pass 2024-01-01T01:00:00; 1 known",
        "  the pass of 2024-01-01T02:20:00 is not complete: 2 objects that are not ingested may wait in the queue, so "
        "none was enqueued",
        f"  oldest that was not ingested then: s3://b/{key}, of 2024-01-01T01:00:00",
    ]
    assert PassesNote.of(json.loads(json.dumps(first.to_dict()))) == first


def test_a_message_that_failed_before_the_function_was_stopped_may_be_doubled() -> None:
    world = World()
    key = world.arrive("s")
    world.pass_time(10, never)
    world.pass_time(40, None)
    world.reconcile()
    assert [m.key for m in world.queue] == [key, key]
    world.pass_time(1, always)
    assert world.done == {key}


EVENTS = st.one_of(
    st.tuples(st.just("arrive"), st.booleans(), st.sampled_from([0, 0, 1, 26])),
    st.tuples(st.just("stopped"), st.sampled_from([1, 10, 16, 40, 60, 5 * DAY, 16 * DAY]), st.just(0)),
    st.tuples(st.just("works"), st.sampled_from([1, 10, 40]), st.just(0)),
    st.tuples(st.just("fails"), st.sampled_from([1, 10, 40]), st.integers(0, 3)),
    st.tuples(st.just("redrive"), st.just(0), st.just(0)),
    st.tuples(st.just("pass"), st.sampled_from([1, 3, 1000]), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_nothing_is_lost_and_nothing_doubled(events: list[tuple[str, int, int]]) -> None:
    world, in_parts = World(), set[str]()
    for kind, n, more in events:
        if kind == "arrive":
            key = world.arrive("s", bool(n), timedelta(hours=more))
            in_parts |= {key} if more else set()
        elif kind == "pass":
            # An object uploaded in parts is older than its message says, and the alarm leaves out a message that was
            # received three times: these may be enqueued twice, which is harmless.
            held = {m.key for m in world.queue if m.key not in in_parts and m.receipts < 3}
            before = len(world.enqueued)
            note = world.reconcile(n, left=1.0)
            assert held.isdisjoint(world.enqueued[before:])
            if note.complete is not None:
                edge = note.complete.reached
                passed = {k for k, at in world.modified.items() if iso(at + UPLOADS) < edge}
                assert passed <= world.done
        elif kind == "redrive":
            world.redrive()
        else:
            works = {"stopped": None, "works": always, "fails": lambda key, r=more: int(key[-1]) % 4 != r}[kind]
            world.pass_time(n, works)
    for _ in range(3):  # once all works, and dead letters are redriven, two passes find what is left
        world.redrive()
        world.pass_time(60, always)
        world.reconcile()
    world.pass_time(60, always)
    assert world.done == set(world.modified)
