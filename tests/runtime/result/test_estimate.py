"""The estimate of a query before it runs: where the time of a task goes, the budget, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import DataflowError
from runtime.result.cost import Worker
from runtime.result.estimate import BudgetExceeded, estimate
from runtime.result.largest_parts import most_of_the_time
from runtime.result.speeds import Speeds
from runtime.result.work import Load, TaskWork

SET = Speeds(first_byte=0.1, spread=0.0, get=0.0, parse=0.0, file=0.0, joined=0.0)
SMALL = TaskWork(points=200, opened=160, ahead=160, joined=160, opened_bytes=160 * 5e3)


def test_downloading_slows_down_after_the_burst() -> None:
    speeds = Speeds(stream=90e6, network=78e6, burst=300e6)
    assert speeds.downloading(180e6, 300e6) == pytest.approx(2)
    assert speeds.downloading(378e6, 300e6) == pytest.approx(300 / 90 + 1)


def test_computing_takes_one_thread() -> None:
    work, speeds = TaskWork(170e6, 0, 0, 0, 0.0), Speeds(points=170e6)
    assert work.seconds(Worker(3_538), speeds).computing == 1.0
    assert work.seconds(Worker(884), speeds).computing == pytest.approx(2, rel=1e-2)


def test_sixteen_files_are_opened_at_once() -> None:
    """Ten turns of 0.1 s for 160 files, one for 16; those that are not opened ahead wait one after the other."""
    assert SMALL.seconds(Worker(), SET).opening == pytest.approx(1.0)
    few = replace(SMALL, opened=16, ahead=16, joined=16, opened_bytes=16 * 5e3)
    assert few.seconds(Worker(), SET).opening == pytest.approx(0.1, rel=0.01)
    assert replace(few, ahead=1).seconds(Worker(), SET).opening == pytest.approx(1.6)


def test_files_take_the_processor_where_it_is_slower_than_their_arrival() -> None:
    """0.01 s of each of 160 files is more than ten turns; half a processor takes twice as long."""
    busy = replace(SET, joined=0.01)
    assert SMALL.seconds(Worker(), busy).opening == pytest.approx(0.1 + 1.6)
    assert SMALL.seconds(Worker(1_769 // 2), busy).opening == pytest.approx(0.1 + 3.2, rel=1e-2)


def test_columns_of_large_files_are_read_one_after_the_other() -> None:
    work = TaskWork(0.0, 1, 1, 0, 1e6, reads=5, read_bytes=45e6)
    assert work.seconds(Worker(), SET).reading == pytest.approx(5 * 0.1 + 45 / 90)
    assert work.gets == 6


@given(st.floats(0, 1), st.integers(1, 500), st.integers(0, 500))
def test_halves_open_every_file_and_share_the_rest(share: float, opened: int, reads: int) -> None:
    work = TaskWork(1e6, opened, opened, 0, 1e6 * opened, reads, 1e6 * reads)
    a, b = work.part(share), work.part(1 - share)
    assert a.opened == b.opened == opened
    assert a.points + b.points == pytest.approx(1e6)
    assert abs(a.reads + b.reads - reads) <= 1


def test_a_budget_is_kept_or_refused() -> None:
    guess = estimate(Load.even(10**9, 2 * 10**9, 20, 20), 0, Worker())
    guess.within(guess.dollars)
    with pytest.raises(
        BudgetExceeded, match=r"its budget is \$0: nothing was invoked; ask for a shorter range, compact"
    ):
        guess.within(0)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(DataflowError, match="budget must be dollars, 0 or more"):
            guess.within(wrong)


def test_more_small_files_cost_more() -> None:
    few, many = (estimate(Load.even(10**9, 2 * 10**9, 20, files), 0, Worker()) for files in (20, 20_000))
    assert many.gets > few.gets
    assert many.dollars > few.dollars
    assert many.seconds > few.seconds


def test_new_workers_take_longer_and_fetch_their_kernels() -> None:
    load = replace(Load.even(10**6, 2 * 10**6, 4, 4), kernels=3)
    warm, cold = estimate(load, 0, Worker()), estimate(load, 0, Worker(), new=True)
    assert cold.gets == warm.gets + 4 * 3
    assert cold.seconds > warm.seconds + 0.5
    assert sum(cold.parts.values()) == pytest.approx(cold.seconds)


def test_what_takes_most_of_the_time_is_said() -> None:
    load = Load((SMALL,) * 4, 640)
    said = most_of_the_time({"opening": 3.0, "computing": 1.5, "merging": 0.1}, load, lambda: 2)
    assert said == (
        "most of the time: opening 640 small files (3 s of 4.6) and computing (1.5 s of 4.6); "
        "`dataflow compact` would leave 2 files"
    )
    again = most_of_the_time({"opening": 3.0}, replace(load, files=160), lambda: 159)
    assert again == "most of the time: opening 160 small files, 640 times in all (3 s of 3)"
    assert "compact" not in most_of_the_time({"computing": 2.0, "opening": 0.1}, load, lambda: 1)
