"""The rules of retries, without a service."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.aws.retry import NOTICE_SECONDS, AttemptHistory, Budget, Fault, classify, pause, worth_a_notice

DID_NOT_HAPPEN = (Fault.THROTTLED, Fault.CONFLICT, Fault.UNSENT)
FAULTS = st.sampled_from(list(Fault))


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (503, "SlowDown", Fault.THROTTLED),
        (400, "ProvisionedThroughputExceededException", Fault.THROTTLED),
        (400, "ThrottlingException", Fault.THROTTLED),
        (429, "", Fault.THROTTLED),
        (500, "InternalError", Fault.LOST),
        (503, "ServiceUnavailable", Fault.LOST),
        (502, "", Fault.LOST),
        (400, "RequestTimeout", Fault.LOST),
        (400, "TransactionInProgressException", Fault.LOST),
        (400, "BadDigest", Fault.LOST),
        (409, "ConditionalRequestConflict", Fault.CONFLICT),
        (400, "TransactionConflict", Fault.CONFLICT),
        (412, "PreconditionFailed", Fault.REFUSED),
        (412, "", Fault.REFUSED),
        (404, "404", Fault.MISSING),
        (404, "NoSuchKey", Fault.MISSING),
        (404, "NoSuchBucket", Fault.FINAL),
        (403, "AccessDenied", Fault.FINAL),
        (400, "ValidationException", Fault.FINAL),
        (400, "ResourceNotFoundException", Fault.FINAL),
    ],
)
def test_faults_by_status_and_code(status: int, code: str, fault: Fault) -> None:
    assert classify(status, code) is fault


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.MISSING, Fault.FINAL])
def test_what_would_not_help_is_not_repeated(fault: Fault) -> None:
    assert pause(Budget(), AttemptHistory(), fault, 0.0, 0.5) is None


@given(st.lists(FAULTS, max_size=40), st.floats(0, 200), st.floats(0, 1, exclude_max=True))
def test_pauses_are_bounded_in_number_length_and_time(faults: list[Fault], elapsed: float, dice: float) -> None:
    budget = Budget(seconds=60, losses=3, base=0.1, cap=4)
    history = AttemptHistory()
    for i, fault in enumerate(faults):
        wait = pause(budget, history, fault, elapsed, dice)
        if wait is not None:
            assert fault not in (Fault.REFUSED, Fault.MISSING, Fault.FINAL)
            assert 0 <= wait <= min(4, 0.1 * 2**i)
            assert elapsed + wait < 60
            assert history.losses < 3 or fault in DID_NOT_HAPPEN
        history = history.after(fault)


def test_lost_requests_are_sent_again_a_few_times_and_throttled_ones_for_a_time() -> None:
    budget = Budget(seconds=60, losses=3)
    history = AttemptHistory()
    for _ in range(3):
        assert pause(budget, history, Fault.LOST, 1.0, 0.5) is not None
        history = history.after(Fault.LOST)
    assert pause(budget, history, Fault.LOST, 1.0, 0.5) is None
    for _ in range(100):
        history = history.after(Fault.THROTTLED)
    assert pause(budget, history, Fault.THROTTLED, 1.0, 0.5) == 2.5
    assert pause(budget, history, Fault.UNSENT, 1.0, 0.5) == 2.5
    assert pause(budget, history, Fault.THROTTLED, 59.0, 0.5) is None


def test_pauses_double_up_to_their_cap() -> None:
    budget, history, waits = Budget(), AttemptHistory(), []
    for _ in range(10):
        waits.append(pause(budget, history, Fault.THROTTLED, 0.0, 0.5))
        history = history.after(Fault.THROTTLED)
    assert waits == [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5, 2.5]


def test_half_of_all_calls_throttled() -> None:
    """Each of 3,000 requests gets through (a budget shared by all would be empty after some hundred)."""
    dice = random.Random(3)
    slowest = 0.0
    for _ in range(3_000):
        clock, history = 0.0, AttemptHistory()
        while dice.random() < 0.5:
            wait = pause(Budget(), history, Fault.THROTTLED, clock, dice.random())
            assert wait is not None
            clock, history = clock + wait, history.after(Fault.THROTTLED)
        slowest = max(slowest, clock)
    assert 1 < slowest < 30


@given(
    st.lists(st.sampled_from(DID_NOT_HAPPEN), min_size=1, max_size=6),
    st.floats(1, 120),
    st.integers(0, 6),
    st.floats(0.01, 2),
    st.floats(0, 5),
    st.randoms(use_true_random=False),
)
def test_what_did_not_happen_is_tried_for_the_whole_time(
    kinds: list[Fault], seconds: float, losses: int, base: float, takes: float, dice: random.Random
) -> None:
    """However long an attempt takes, and whatever was lost before: the last one begins less than a pause before the
    end, and none after it."""
    budget = Budget(seconds=seconds, losses=losses, base=base, cap=5.0)
    clock, history, i = 0.0, AttemptHistory(losses=losses), 0
    while True:
        clock += takes + 0.01
        fault = kinds[i % len(kinds)]
        wait = pause(budget, history, fault, clock, dice.random())
        if wait is None:
            break
        clock, history, i = clock + wait, history.after(fault), i + 1
        assert clock < seconds
    assert clock > seconds - 5.0 or clock >= seconds
    assert history.losses == losses
    assert pause(budget, history, Fault.LOST, 0.0, 0.5) is None


@given(FAULTS, st.floats(0, 100), st.none() | st.floats(0, 100))
def test_a_person_hears_of_what_waits(fault: Fault, elapsed: float, last: float | None) -> None:
    told = worth_a_notice(fault, elapsed, last)
    assert not told or (fault is Fault.UNSENT and elapsed >= NOTICE_SECONDS)
    assert told or not (fault is Fault.UNSENT and elapsed >= NOTICE_SECONDS and last is None)
    assert not told or last is None or last >= 30
