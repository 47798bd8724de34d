"""Steps over a key's events against the oracle, with any split of the rows and minimal output capacity."""

from __future__ import annotations

from tests.laws.flow_graphs import COHORTS, EMPTY_BUCKETS, FUNNELS, SPLIT_SESSIONS, TRANSITIONS, WIDE_WINDOWS
from tests.laws.little_room import any_of, hardly_any_room

__all__ = ["hardly_any_room"]

test_funnels = any_of(FUNNELS)
test_cohorts = any_of(COHORTS)
test_transitions = any_of(TRANSITIONS)
test_split_sessions = any_of(SPLIT_SESSIONS)
test_wide_windows = any_of(WIDE_WINDOWS)
test_empty_buckets = any_of(EMPTY_BUCKETS)
