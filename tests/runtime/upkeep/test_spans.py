"""Which files are compacted together: few files, and little work, however they came."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY, SEQ
from runtime.upkeep.spans import FULL, Job, Span, all_due, due, spans_of, year_of

MINUTE = 60_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def file(number: int, first: int, last: int, rows: int, compacted: bool = False) -> FileEntry:
    nulls = {SEQ: 0} if compacted else {}
    return FileEntry(f"f{number}", first // DAY, rows, rows, first, last, "", nulls=nulls, seq=number)


class Files:
    """A catalogue of files whose jobs are done at once; counts the rows that they write."""

    def __init__(self) -> None:
        self.live: dict[str, FileEntry] = {}
        self.number = self.ingested = self.written = self.most = 0

    def add(self, first: int, last: int, rows: int) -> None:
        self.number += 1
        new = file(self.number, first, last, rows)
        self.live[new.path] = new
        self.ingested += rows

    def upkeep(self, first: int, last: int, newest: int) -> None:
        """What an ingest of these times does."""
        while True:
            begin, end = year_of(first).begin, year_of(last).end
            jobs = due([f for f in self.live.values() if f.t_max >= begin and f.t_min < end], newest)
            if not jobs:
                break
            for job in jobs:
                self.do(job)
        self.most = max(self.most, len(self.live))

    def do(self, job: Job) -> None:
        low, high = min(f.t_min for f in job.files), max(f.t_max for f in job.files)
        rows = sum(f.rows for f in job.files)
        for gone in job.files:
            del self.live[gone.path]
        parts = [(max(low, s.begin), min(high, s.end - 1)) for s in job.spans if s.begin <= high and s.end > low]
        self.number += 1
        for n, (first, last) in enumerate(parts):
            share = rows * (n + 1) // len(parts) - rows * n // len(parts)
            new = replace(file(self.number, first, last, max(1, share), True), path=f"f{self.number}.{n}")
            self.live[new.path] = new
        self.written += rows


def test_spans_follow_the_density() -> None:
    march, april = at("2024-03-05") // DAY, at("2024-04-05") // DAY
    year = Span(at("2024-01-01"), at("2025-01-01"))
    assert spans_of([(march, FULL // 2), (april, FULL // 2)]) == [year]
    months = [Span(at("2024-03-01"), at("2024-04-01")), Span(at("2024-04-01"), at("2024-05-01"))]
    assert spans_of([(march, FULL), (april, 1)]) == months
    days = [Span(march * DAY, (march + 1) * DAY), months[1]]
    assert spans_of([(march, FULL + 1), (april, 1)]) == days


@given(st.dictionaries(st.integers(-25_567, 106_750), st.integers(1, 2 * FULL), min_size=1, max_size=20))
def test_spans_are_disjoint_and_hold_every_day(sizes: dict[int, int]) -> None:
    spans = spans_of(sizes.items())
    assert all(a.end <= b.begin for a, b in itertools.pairwise(spans))
    assert all(sum(s.begin <= day * DAY < s.end for s in spans) == 1 for day in sizes)
    for span in spans:
        rows = sum(size for day, size in sizes.items() if span.begin <= day * DAY < span.end)
        assert rows <= FULL or span.end - span.begin == DAY


def test_the_last_year_of_the_calendar() -> None:
    day = (date.max - date(1970, 1, 1)).days
    assert spans_of([(day, 1)]) == [year_of(day * DAY)]


@pytest.mark.parametrize("late", [0, 3 * DAY + DAY // 2])
def test_a_file_a_minute(late: int) -> None:
    """For two weeks; ``python -m tests.benchmarks.compaction_rule`` has a year."""
    files, start = Files(), at("2024-01-25")
    for n in range(14 * 1440):
        newest = start + n * MINUTE
        if late and n % 10 == 0:
            files.add(newest - late, newest - late + MINUTE - 1, 10)
        files.add(newest, newest + MINUTE - 1, 20)
        files.upkeep(newest - late, newest, newest)
    assert files.most <= 80
    assert files.written <= 6 * files.ingested


def test_a_closed_day_settles_and_stays() -> None:
    files, start = Files(), at("2024-03-05")
    for n in range(5):
        files.add(start + n * MINUTE, start + n * MINUTE + 1, FULL // 4)
    files.upkeep(start, start, start + 2 * DAY)
    before = files.written
    for _ in range(10):
        files.upkeep(start, start, start + 2 * DAY)
    assert files.written == before == files.ingested


def test_full_files_are_left_alone_unless_all_is_asked() -> None:
    start = at("2024-03-05")
    members = [file(n, start + n, start + DAY - 1 - n, 2 * FULL) for n in range(1, 4)]
    assert due(members, start + 5 * DAY) == []
    assert [sorted(f.path for f in job.files) for job in all_due(members)] == [["f1", "f2", "f3"]]
    done = [replace(file(9, start, start + DAY - 1, 2 * FULL, True), path=f"f9.{n}") for n in range(3)]
    assert all_due(done) == []


def test_files_that_cross_spans_are_split() -> None:
    start = at("2024-03-05")
    wide = file(1, start, start + 2 * DAY, 10)
    dense = [file(n, start + (n - 2) * DAY, start + (n - 2) * DAY + 1, FULL + 1) for n in range(2, 5)]
    jobs = due([wide, *dense], start)
    assert [job.files for job in jobs] == [(wide,)]
    assert jobs[0].spans == tuple(Span(start + n * DAY, start + (n + 1) * DAY) for n in range(3))


def test_long_rows_count_as_several() -> None:
    day = at("2024-03-05")
    files = [replace(file(n, day + n * DAY, day + n * DAY + 1, 200), bytes=4_000_000) for n in range(20)]
    assert all(job.spans[0].end - job.spans[0].begin > 31 * DAY for job in all_due(files[:16]))  # 64 MB: a year
    assert all_due(files[:16])
    assert not all_due([replace(f, bytes=8_000_000) for f in files])  # each the only one of its day
    same_day = [replace(f, bytes=70_000_000, day=files[0].day, t_min=day, t_max=day + n) for n, f in enumerate(files)]
    assert due(same_day, day + 40 * DAY) == []  # large enough
    assert all_due(same_day)


def test_the_directory_of_a_small_file_does_not_count() -> None:
    day = at("2024-03-05")
    files = [replace(file(n, day + n * DAY, day + n * DAY + 1, 20), bytes=3_000) for n in range(300)]
    assert len(all_due(files * 100)) == 1


def test_what_one_compaction_wrote_is_not_written_again_by_itself() -> None:
    """It may be many files, where texts are long or rows wide."""
    day = at("2024-03-05")
    wrote = [replace(file(7, day, day + n, 50_000, True), path=f"f7.{n}") for n in range(12)]
    assert due(wrote, day + DAY) == due(wrote, day + 400 * DAY) == []
    more = [file(100 + n, day, day + n, 40_000) for n in range(7)]
    assert due([*wrote, *more], day + DAY) == []  # seven of a size
    (job,) = due([*wrote, *more, file(200, day, day + 1, 40_000)], day + DAY)
    assert {f.seq for f in job.files} == {*range(100, 107), 200}
