"""The cost of a query, by the price list and by hand."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.fleet.worker import this_worker
from runtime.result.cost import Cost, Used, Worker

USED = st.builds(
    Used.of, st.floats(0, 900), st.builds(Worker, st.sampled_from([128, 1_769, 10_240])), st.integers(0, 99)
)


def test_a_worker_of_a_gigabyte_for_a_second() -> None:
    """Each invocation is billed up to the next millisecond."""
    used = Used.of(0.9991, Worker(1_024, "x86_64"), gets=10, puts=1, read=500)
    assert (used.reported, used.seconds, used.gb_seconds) == (1, 1.0, 1.0)
    cost = Cost.of(used, 3)
    assert cost.dollars == pytest.approx(0.0000166667 + 3 * 0.0000002 + 10 * 0.0000004 + 0.000005)
    assert (cost.invocations, cost.silent, cost.bytes) == (3, 2, 500)
    assert "2 reported nothing and may cost more" in str(cost)
    assert Used.of(1.0, Worker(1_024, "arm64")).compute == pytest.approx(0.0000133334)


@given(st.lists(USED, max_size=20))
def test_costs_add_up(parts: list[Used]) -> None:
    total = sum(parts, Used())
    assert total.reported == len(parts)
    assert total.gets == sum(p.gets for p in parts)
    assert Cost.of(total, len(parts)).silent == 0
    apart = sum(Cost.of(p, 1).dollars for p in parts)
    assert Cost.of(total, len(parts)).dollars == pytest.approx(apart)


def test_what_relays_invoked_is_billed() -> None:
    assert Cost.of(Used(reported=12, invoked=10), 3).invocations == 13
    assert Cost.of(Used(reported=12, invoked=10), 3).silent == 1


@given(USED)
def test_what_is_told_travels(used: Used) -> None:
    assert Used.from_dict(asdict(used)) == used


@pytest.mark.parametrize("change", [{"reported": -1}, {"seconds": float("nan")}, {"gets": "1"}, {"bytes": None}])
def test_what_cannot_be_used(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Used.from_dict({**asdict(Used()), **change})
    with pytest.raises(KeyError):
        Used.from_dict({})


def test_the_size_of_this_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert this_worker() == Worker(512, "arm64")
