"""Queries on a fleet of workers that fail: pacing, repeats, hedges, splits, deadlines, and no task unaccounted for."""

from __future__ import annotations

from runtime.fleet.coordinator import Coordinator, QueryTimeout, TaskFailed
from runtime.fleet.fleet import Fleet, Invoke
from runtime.fleet.outcomes import Kind, Outcome, Reply
from runtime.fleet.pacing import PaceRules
from runtime.fleet.rules import Rules

__all__ = [
    "Coordinator", "Fleet", "Invoke", "Kind", "Outcome", "PaceRules", "QueryTimeout", "Reply", "Rules", "TaskFailed",
]  # fmt: skip
