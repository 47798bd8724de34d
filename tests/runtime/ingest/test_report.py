"""The printed ingest report."""

from __future__ import annotations

from runtime.ingest import SourceReport
from runtime.ingest.report import ColumnReport, Example


def report(reasons: int) -> str:
    counts = {f"reason {i:02d}": 100 - i for i in range(reasons)}
    return str(SourceReport("a.json", "ingested", rejected=sum(counts.values()), reasons=counts))


def test_values_beside_come_before_the_many_that_are_missing() -> None:
    columns = {f"c{n}": ColumnReport("int64", 1, nulls={"-": 1}) for n in range(30)}
    columns["last"] = ColumnReport("int64", 1, twins={"string": 1}, examples={"string": Example("x", 7)})
    assert "last is int64: 1 text in last#string" in str(SourceReport("a.json", "ingested", columns=columns))


def test_no_reject_goes_unmentioned() -> None:
    assert "other reason" not in report(10)
    assert report(13).endswith(f"\n  {90 + 89 + 88} for 3 other reasons")
