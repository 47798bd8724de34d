"""The printed ingest report."""

from __future__ import annotations

from runtime.ingest import SourceReport


def report(reasons: int) -> str:
    counts = {f"reason {i:02d}": 100 - i for i in range(reasons)}
    return str(SourceReport("a.json", "ingested", rejected=sum(counts.values()), reasons=counts))


def test_no_reject_goes_unmentioned() -> None:
    assert "other reason" not in report(10)
    assert report(13).endswith(f"\n  {90 + 89 + 88} for 3 other reasons")
