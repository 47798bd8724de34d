"""`Partial`: the partial state that a task returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from operators.states.groups import GroupState
from runtime.query.stages.query_table import QueryTable
from runtime.query.task.coverage import Coverage


@dataclass(frozen=True)
class Partial:
    """The partial state that a task returns: groups or rows, and its coverage.

    ``foreign``: it was read from bytes, so its form is not checked yet (``runtime.query.merge.state_form``).
    """

    task: str
    groups: GroupState | None
    table: QueryTable | None
    coverage: Coverage
    kernels: tuple[str, ...]
    tally: tuple[int, ...] = ()
    """Rows and nulls of each of the plan's ``sparse`` columns."""

    foreign: bool = False


def summed(tallies: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The sum of the tallies of several partial states."""
    return tuple(map(sum, zip_longest(*tallies, fillvalue=0)))
