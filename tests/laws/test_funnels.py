"""Funnels in all their forms, and sessions at once, against the oracle: with any split of the rows and no room."""

from __future__ import annotations

from tests.laws.funnel_graphs import FUNNEL_FORMS, SESSIONS_AT_ONCE
from tests.laws.little_room import any_of, hardly_any_room

__all__ = ["hardly_any_room"]

test_funnels = any_of(FUNNEL_FORMS)
test_sessions_at_once = any_of(SESSIONS_AT_ONCE, examples=150)
