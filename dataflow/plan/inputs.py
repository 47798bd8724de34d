"""What a metric over several streams reads: rows of each stream, merged by key, time and the order of its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.plan.sink import Reach
from operators.types import Type


@dataclass(frozen=True)
class Input:
    """One stream, as often as the metric names it.

    ``number`` is the value of its rows in the hidden column ``$input``. ``columns`` are those that are read: the name
    in the merged rows, the name in the stream, and the type. ``history``: how much before ``since`` matters, as for
    ``Plan.history``. ``carried``: of the rows before any time that is not after ``since``, these suffice, as for
    ``Plan.carried``; the columns have the stream's names. ``as_is``: those of them for which it suffices only if no key
    has several rows at one time, or no value is null.
    """

    number: int
    stream: str
    columns: tuple[tuple[str, str, Type], ...]
    history: Reach
    carried: tuple[str, ...] | None = None
    as_is: tuple[str, ...] = ()
