"""The printed ingest report."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("12", "--type v=int64 would read it"),
        ("0012", "--type v=string keeps such codes, --type v=int64 reads them as numbers"),
        ("0", "--type v=int64 would read it"),
        ("n/k", "--null 'n/k': missing"),
    ],
)
def test_what_to_do_about_text_among_numbers(text: str, hint: str) -> None:
    column = ColumnReport("int64", 3, {"string": 1}, examples={"string": Example(text, 2)})
    assert [*column.notes("v")] == [f"v is int64: 1 text in v#string (the first, {text!r}, in line 2; {hint})"]
