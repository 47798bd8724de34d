"""Each campaign with a small budget."""

from __future__ import annotations

import pytest

from tests.campaigns import CAMPAIGNS, Report, campaign

BUDGET = {
    "arrays": 4, "catalogue": 10, "claims": 20, "followed": 10, "kernels": 6, "kills": 5, "places": 30, "soak": 3,
    "upkeep": 3,
}  # fmt: skip
"""Of those whose tries are processes, or seconds: fewer than of others."""


@pytest.mark.parametrize("name", sorted(set(CAMPAIGNS) - {"luck", "feeds"}))  # tests that run anyway, or with servers
def test_nothing_fails(name: str) -> None:
    report = campaign(name)(BUDGET.get(name, 50), 1)
    assert report.failures == []


def test_a_report() -> None:
    report = Report()
    report.count("one bit flipped", 1999)
    report.count("one bit flipped")
    report.failures.append("bit 7 of byte 3: an error is right, 12 rows came")
    assert report.lines() == [
        "one bit flipped         2,000",
        "examples                2,000",
        "failures                    1",
        "failed: bit 7 of byte 3: an error is right, 12 rows came",
    ]
