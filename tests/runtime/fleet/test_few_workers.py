"""Accounts whose concurrency is shared: ``ANTFOLD_WORKERS`` bounds how many workers a query has at once."""

from __future__ import annotations

import pytest

from runtime.aws.access import Access
from runtime.errors import QueryError
from runtime.fleet.aws_lambda import WORKERS_VARIABLE, lambda_fleet
from runtime.fleet.fleet import Fleet
from runtime.fleet.pacing import PaceRules

HERE = Access(region="eu-west-1")


def fleet(monkeypatch: pytest.MonkeyPatch, most: str, workers: int | None = None) -> Fleet:
    monkeypatch.setenv(WORKERS_VARIABLE, most)
    return lambda_fleet(HERE, "small-worker", workers)


def test_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for, and with no relays: these are executions, too."""
    for workers in (None, 3_000):
        few = fleet(monkeypatch, "6", workers)
        assert (few.pace.limit, few.pace.burst) == (6, 6)
        assert few.batches(10_000) == 0
    assert fleet(monkeypatch, "5000").pace == PaceRules()


def test_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", "  "):
        many = fleet(monkeypatch, text)
        assert many.pace == PaceRules()
        assert many.batches(10_000) == 200


@pytest.mark.parametrize("text", ["0", "-1", "six", "1.5"])
def test_a_number_is_needed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(QueryError, match=f"ANTFOLD_WORKERS is '{text}': it must be a number of workers, from 1"):
        fleet(monkeypatch, text)
