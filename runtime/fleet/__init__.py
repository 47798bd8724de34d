"""Queries on a fleet of unreliable workers: pacing, retries, hedges, splits, deadlines. Every task is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late

if TYPE_CHECKING:
    from runtime.fleet.coordinator import Coordinator, QueryTimeout, TaskFailed
    from runtime.fleet.fleet import Fleet, Invoke
    from runtime.fleet.outcomes import Kind, Outcome, Reply
    from runtime.fleet.pacing import PaceRules
    from runtime.fleet.rules import Rules

# The worker is in this package too and needs none of them.
__getattr__ = late(
    __name__,
    {
        "runtime.fleet.coordinator": ("Coordinator", "QueryTimeout", "TaskFailed"),
        "runtime.fleet.fleet": ("Fleet", "Invoke"),
        "runtime.fleet.outcomes": ("Kind", "Outcome", "Reply"),
        "runtime.fleet.pacing": ("PaceRules",),
        "runtime.fleet.rules": ("Rules",),
    },
)

__all__ = [
    "Coordinator", "Fleet", "Invoke", "Kind", "Outcome", "PaceRules", "QueryTimeout", "Reply", "Rules", "TaskFailed",
]  # fmt: skip
