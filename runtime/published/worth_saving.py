"""Whether the state at the end of a run is worth caching, for who asks the same again and again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

_LONGEST = 6
"""A state is saved at the latest every 2 ** _LONGEST runs."""


@dataclass
class _Habit:
    saved: str = ""
    unused: int = 0
    wait: int = 0


class WorthSaving:
    """Remembers, by shelf, whether the state that was saved last was used by the run after.

    Where late points come all the time, the files of the last hours overlap, and each commit changes what a state of
    all of them would be of: writing it takes longer than the query, for nothing. After each state that was not used
    the next one is saved after twice as many runs; after one that was, every run saves its own. Not for threads.
    """

    def __init__(self) -> None:
        self._habits: dict[str, _Habit] = defaultdict(_Habit)

    def begun_with(self, shelf: str, content: str) -> None:
        """A run begins with the state of this content; empty: with none."""
        habit = self._habits[shelf]
        if habit.saved:
            habit.unused = 0 if content == habit.saved else min(habit.unused + 1, _LONGEST)
            habit.wait, habit.saved = (1 << habit.unused) - 1, ""
        elif habit.wait:
            habit.wait -= 1

    def is_due(self, shelf: str) -> bool:
        """Whether this run should save its state."""
        return self._habits[shelf].wait == 0

    def saved(self, shelf: str, content: str) -> None:
        """A run saved its state, of this content."""
        self._habits[shelf].saved = content
