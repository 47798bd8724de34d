"""Rows ahead of this machine's clock: rejected, and committed exactly once when their source is ingested again."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest import resume
from runtime.ingest.columns import event_times
from runtime.storage.verify_store import verify
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake

HOUR = 3_600_000
SetClock = Callable[[int], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets this machine's clock, in milliseconds."""

    def set_to(now: int) -> None:
        for module in (event_times, resume):
            monkeypatch.setattr(module, "latest_time", lambda: (now + HOUR) * 1000)

    return set_to


ROWS = [{"k": "a", "t": T - HOUR * i, "x": i, **({"late": 1.5} if not i else {})} for i in range(5)]


def as_text(rows: list[dict[str, Any]], form: str) -> bytes:
    if form == "json":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    out = io.StringIO()
    writer = csv.DictWriter(out, ["k", "t", "x", "late"])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_the_clock_is_two_hours_behind(lake: Lake, clock: SetClock, tmp_path: Path, form: str) -> None:
    bad = {"k": "a", "t": "no time", "x": "text"}
    source: Any = str(tmp_path / "source")
    if form == "table":
        source = {n: [r[n] for r in ROWS] for n in ("k", "t", "x")}
    else:
        (tmp_path / "source").write_bytes(as_text([*ROWS, bad], form))
    clock(T - 2 * HOUR)
    report = lake.ingest(source)
    assert (report.committed, report.waiting) == (4, 1)
    assert report.rejected == 1 + (form != "table")
    assert "ahead of this machine's clock" in str(report)
    assert "ingest this source again, which takes only these rows" in str(report)
    again = lake.ingest(source)
    assert again.sources[0].status == "already ingested"
    assert again.waiting == 1
    assert "ingest this source again" in str(again)

    clock(T)
    report = lake.ingest(source)
    assert (report.rows_read, report.committed, report.rejected, report.waiting) == (1, 1, 0, 0)
    assert report.sources[0].resumed
    assert sorted(r["x"] for r in lake.rows()) == [0, 1, 2, 3, 4]
    for _ in range(2):
        report = lake.ingest(source)
        assert (report.sources[0].status, report.committed, report.waiting) == ("already ingested", 0, 0)
    snapshot = lake.catalogue.snapshot("s")
    assert (snapshot.total_rows, snapshot.rejected, snapshot.sources) == (5, int(form != "table"), 2)
    assert lake.columns()["x"] is Type.INT
    assert verify(lake.objects, lake.catalogue).ok


def test_where_all_rows_are_ahead_nothing_is_ingested(lake: Lake, clock: SetClock, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(as_text(ROWS, "json"))
    clock(T - 48 * HOUR)
    with pytest.raises(IngestError, match="is this machine's clock right"):
        lake.ingest(str(tmp_path / "source"))
    clock(T)
    assert lake.ingest(str(tmp_path / "source")).committed == 5


def test_rows_are_read_as_the_first_time(lake: Lake, clock: SetClock, tmp_path: Path) -> None:
    rows = [{"t": T - 9 * HOUR}, {"t": T}, {"k": "a", "t": T}]
    (tmp_path / "source").write_bytes(as_text(rows, "json"))
    clock(T - 5 * HOUR)
    assert lake.ingest(str(tmp_path / "source"), missing_key="first").waiting == 2
    clock(T)
    assert lake.ingest(str(tmp_path / "source"), missing_key="second", unit="us").committed == 2
    assert [r["k"] for r in lake.rows()] == ["a", "first", "first"]


def test_a_value_of_another_type_is_in_the_twin_when_its_row_is_had(
    lake: Lake, clock: SetClock, tmp_path: Path
) -> None:
    rows = [{"k": "a", "t": T - 9 * HOUR, "x": 1}, {"k": "a", "t": T, "x": "text", "new": 1}]
    (tmp_path / "source").write_bytes(as_text(rows, "json"))
    clock(T - 5 * HOUR)
    lake.ingest(str(tmp_path / "source"))
    clock(T)
    report = lake.ingest(str(tmp_path / "source"))
    assert (report.committed, report.rejected) == (1, 0)
    assert lake.columns() == {"x": Type.INT, "x#string": Type.STRING, "new": Type.INT}
    assert lake.rows()[1] == {"k": "a", "t": T * 1000, "x#string": "text", "new": 1}
    assert report.sources[0].columns["x"].twins == {"string": 1}
    assert lake.ingest(str(tmp_path / "source")).sources[0].status == "already ingested"
    assert lake.catalogue.snapshot("s").rejected == 0


def test_a_waiting_row_with_a_key_of_another_type_is_rejected_when_it_is_had(
    lake: Lake, clock: SetClock, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{"k": "a", "t": T - 9 * HOUR, "x": 1}, {"k": 7, "t": T, "x": "text", "new": 1}]
    (tmp_path / "source").write_bytes(as_text(rows, "json"))
    clock(T - 5 * HOUR)
    lake.ingest(str(tmp_path / "source"))
    clock(T)
    report = lake.ingest(str(tmp_path / "source"))
    assert (report.committed, report.rejected) == (0, 1)
    assert report.reasons == {"key: column k is string, got int64; --type k=string reads both as text": 1}
    assert lake.columns() == {"x": Type.INT}
    assert lake.ingest(str(tmp_path / "source")).sources[0].status == "already ingested"
    assert lake.catalogue.snapshot("s").rejected == 1


def test_standard_input_says_what_waits(lake: Lake, clock: SetClock) -> None:
    clock(T - 2 * HOUR)
    assert lake.text(as_text(ROWS, "json")).waiting == 1
    clock(T)
    report = lake.text(as_text(ROWS, "json"))
    assert (report.sources[0].status, report.waiting) == ("already ingested", 1)


def test_killed_before_the_commit(lake: Lake, clock: SetClock, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(as_text(ROWS, "json"))
    clock(T - 2 * HOUR)
    lake.ingest(str(tmp_path / "source"))
    clock(T)
    real = lake.catalogue.commit

    def commit(*_: Any, **_options: Any) -> Any:
        raise SystemExit

    lake.catalogue.commit = commit  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        lake.ingest(str(tmp_path / "source"))
    lake.catalogue.commit = real  # type: ignore[method-assign]
    assert lake.ingest(str(tmp_path / "source")).committed == 1
    assert len(lake.rows()) == 5


def test_many_at_once(lake: Lake, clock: SetClock, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(as_text(ROWS, "json"))
    clock(T - 2 * HOUR)
    lake.ingest(str(tmp_path / "source"))
    clock(T)
    barrier = threading.Barrier(4)
    committed: list[int] = []

    def one() -> None:
        barrier.wait()
        committed.append(Lake(lake.folder).ingest(str(tmp_path / "source")).committed)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(committed) == [0, 0, 0, 1]
    assert len(lake.rows()) == 5


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=20),
    st.lists(st.integers(0, 60), min_size=1, max_size=6),
    st.sampled_from(["json", "csv"]),
)
def test_any_clock(ages: list[int], clocks: list[int], form: str) -> None:
    """Whatever the clock does, a row is in the stream once it was acceptable at some offer, and then once."""
    rows = [{"k": f"d{i % 3}", "t": T - age * 60_000, "x": i} for i, age in enumerate(ages)]
    with new_lake() as lake, pytest.MonkeyPatch.context() as patch:
        (lake.folder / "source").write_bytes(as_text(rows, form))
        latest = -1
        for age in clocks:
            now = T - age * 60_000
            for module in (event_times, resume):
                patch.setattr(module, "latest_time", lambda now=now: now * 1000)
            expected = sorted(i for i, row in enumerate(rows) if row["t"] <= now)
            if latest < 0 and not expected:
                with pytest.raises(IngestError):
                    lake.ingest(str(lake.folder / "source"))
                continue
            latest = max(latest, now)
            report = lake.ingest(str(lake.folder / "source"))
            taken = sorted(i for i, row in enumerate(rows) if row["t"] <= latest)
            assert sorted(r["x"] for r in lake.rows()) == taken
            assert report.waiting == len(rows) - len(taken)
            assert lake.catalogue.snapshot("s").rejected == len(rows) - len(taken)
