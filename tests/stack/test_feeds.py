"""Feeds whose watchers are killed, and whose brokers and connections fail: a short form of the campaign ``feeds``."""

from __future__ import annotations

import pytest

from tests.campaigns import Report, feeds

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(("messages", "kills"), [(6_000, 2), pytest.param(100_000, 20, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", ["socket", "posts", "mqtt", "kinesis", "kafka"])
def test_each_record_is_there_once(name: str, messages: int, kills: int) -> None:
    report = Report()
    feeds.attack(report, name, messages, kills, seed=1)
    assert report.failures == []
    assert sum(report.seen.get(f"{name}: {how}", 0) for how in ("kills", "watchers ended by that")) == kills
