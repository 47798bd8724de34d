"""Whether a trigger fires, so that what waits is emitted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from dataflow.language.triggers import Trigger
from runtime.live.row_changes import EARLY, LATE, ON_TIME

EACH_COMMIT = Trigger(commit=True)
"""The trigger of whom no other is named."""


_ENOUGH = 0.99
"""The share of ``every`` that must have passed: a look that is a moment early need not wait for the next one."""


@dataclass(frozen=True)
class HeldBack:
    """What waits: ``seconds`` since the last emission, the number of ``points`` since then, the ``panes`` of the
    changes, for which the answer must be computed."""

    seconds: float
    points: Callable[[], int]
    panes: Callable[[], Collection[str]]


def fires(trigger: Trigger, waiting: HeldBack) -> bool:
    """Whether one of the trigger's conditions is met: those first that need not know the answer."""
    if trigger.commit or (trigger.every is not None and waiting.seconds * 1_000_000 >= _ENOUGH * trigger.every):
        return True
    if trigger.rows is not None and waiting.points() >= trigger.rows:
        return True
    if not trigger.watermark:
        return False
    panes = waiting.panes()
    is_late = LATE in panes and (trigger.late is None or fires(trigger.late, waiting))
    is_early = EARLY in panes and trigger.early is not None and fires(trigger.early, waiting)
    return ON_TIME in panes or is_late or is_early


def shortest(trigger: Trigger) -> float | None:
    """The least seconds after which it may fire by time alone; None if it has no such condition."""
    parts = [trigger, *(part for part in (trigger.early, trigger.late) if part is not None)]
    return min((part.every / 1_000_000 for part in parts if part.every is not None), default=None)
