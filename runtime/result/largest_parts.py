"""What most of a query's time is spent on, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runtime.progress import count_of
from runtime.result.work import Load

_LARGE = 0.2
"""A part that is named takes at least this share of the time."""


def most_of_the_time(parts: Mapping[str, float], load: Load, left: Callable[[], int] | None = None) -> str:
    """The largest one or two of ``parts``; ``left``: how many files there would be if they were compacted."""
    whole = sum(parts.values())
    named = sorted(parts, key=lambda name: -parts[name])[:2]
    named = [name for i, name in enumerate(named) if i == 0 or parts[name] >= _LARGE * whole]
    said = " and ".join(f"{_words(name, load)} ({parts[name]:.2g} s of {whole:.2g})" for name in named)
    text = f"most of the time: {said}"
    if left is not None and load.files > 1 and {"opening", "planning"} & set(named):
        after = left()
        if 2 * after <= load.files:
            text += f"; `dataflow compact` would leave {count_of(after, 'file')}"
    return text


def _words(part: str, load: Load) -> str:
    """A part of ``Estimate.parts`` in words."""
    if part == "opening":
        small = 2 * sum(w.joined for w in load.work) > load.opened
        again = f", {load.opened:,} times in all" if load.opened > load.files else ""
        return f"opening {count_of(load.files, 'small file' if small else 'file')}{again}"
    return {
        "planning": f"planning {count_of(load.files, 'file')}",
        "starting tasks": f"starting {count_of(load.tasks, 'task')}",
        "starting new workers": "starting new workers",
        "reading": "reading columns",
        "merging": f"merging {count_of(load.tasks, 'partial state')}",
    }.get(part, part)
