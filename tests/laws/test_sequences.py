"""Patterns, variants, paths and activity against the oracle, with any split of the rows and minimal output capacity."""

from __future__ import annotations

from tests.laws.little_room import any_of, hardly_any_room
from tests.laws.sequence_graphs import ACTIVITY, MATCHES, SEQUENCES, SUBPATHS

__all__ = ["hardly_any_room"]

test_matches = any_of(MATCHES, most=9)
test_sequences = any_of(SEQUENCES, most=9)
test_subpaths = any_of(SUBPATHS, most=9)
test_activity = any_of(ACTIVITY, most=9)
