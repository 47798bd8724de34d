"""Every metric of the laws that a snapshot suffices for is answered from one, with the bits that it has without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import Store
from runtime.testing.oracle.strategies import DAY, HOUR
from tests.runtime.query.carry.carry_stores import (
    CARRIED,
    CROSSING,
    LATE,
    NOT_CARRIED,
    START,
    answer_of,
    both,
    ingest,
    snapshots_pay,
    stored,
)

RANGES = [
    (START + 12 * DAY, START + 13 * DAY),
    (START + 11 * DAY + 5 * HOUR, START + 12 * DAY + HOUR),
    (START + 13 * DAY + 1, START + 13 * DAY + 2),
]

SOME = {
    "uptime_by_firmware", "states_held_forever", "heartbeat_by_firmware", "state_of_an_expression", "both",
    "held_then_filtered", "last_held", "changed", "time_between_failures", "time_between_failures_by_day",
    "windows_empty", "transitions_without_a_gap", "sessions_by_status", "funnel_by_firmware", "filtered_reports",
    "of_one_key", "two_values", "held_state", "failures", "failures_every_6_hours", "counted_twice",
}  # fmt: skip
NONE = {
    "state_after_filter", "heartbeat_after_filter", "state_of_last", "previous", "running_sums", "cohort_rows",
    "sessions_cut_by_length", "looking_at_states", "windows_empty_and_sliding", "other_reports", "held_after_filter",
    "two_columns", "held_for_an_hour", "failures_of_both", "failures_of_some", "last_for_2_hours",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with snapshots_pay():
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("plain"), create=True) as store:
        stored(store)
        yield store


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """With late points, repeats that do not count, and files of several days."""
    with Store(tmp_path_factory.mktemp("mixed"), create=True) as store:
        stored(store, "latest", "n")
        ingest(store, LATE, "latest", "n")
        ingest(store, CROSSING, "latest", "n", one_file=True)
        assert any(file.days > 1 for file in store.files("s"))
        yield store


@pytest.mark.parametrize("name", CARRIED)
def test_it_is_used(plain: Store, mixed: Store, name: str) -> None:
    for store, spans in ((plain, RANGES[1:2]), (mixed, RANGES)):
        for since, until in spans:
            assert both(store, name, since, until, workers=1), (name, since)


def test_how_many_shapes() -> None:
    assert len(CARRIED) > 90
    assert set(CARRIED) >= SOME
    assert set(NOT_CARRIED) >= NONE


@pytest.mark.parametrize("name", NOT_CARRIED[:3])
def test_others_are_read_from_the_start(plain: Store, name: str) -> None:
    assert answer_of(plain, name, *RANGES[0]).proof.carried is None


def test_late_points_undo_and_compaction(tmp_path: Path) -> None:
    """One after the other, each seen in the next answer."""
    name = "uptime_by_firmware"
    used = []
    with Store(tmp_path, create=True) as store:
        stored(store)
        used.append(both(store, name, *RANGES[0]))
        for rows in (LATE, CROSSING):
            ingest(store, rows, one_file=True)
            used.append(both(store, name, *RANGES[0]))
        source = store.sources("s")[0].entry.id
        store.undo("s", source)
        used.append(both(store, name, *RANGES[0], workers=2))
        store.compact(progress=False)
        used.append(both(store, name, *RANGES[0]))
        store.erase("s", "b")
        used.append(both(store, name, *RANGES[0]))
    # A compaction merges all days of so few points into one file, which no day divides.
    assert used == [True, True, True, True, False, False]
