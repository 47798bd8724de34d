"""Mutants of timelines: comparison with the oracle must catch each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

import dataflow.binding.typing
import dataflow.codegen.cuts
import dataflow.kernels.compile
import dataflow.steps.join
import runtime.query.merge.concurrency
import runtime.query.merge.merging
import runtime.query.stages.lookup_arrays
from dataflow.codegen.emitter import SOURCES
from dataflow.codegen.writer import NO_PIECE
from dataflow.kernels.generate import Generated, generate
from dataflow.plan.stages import Stage
from dataflow.tables.reference_tables import Periods
from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR, KEY, TIME, Case, cases
from tests.laws.agreement import agrees
from tests.laws.memory import fresh_plans, run_in_memory

Plant = Callable[[pytest.MonkeyPatch], None]


ROW_AT_START = ", t, look0_offsets, look0_starts, look0_ends)\n"


def in_kernels(old: str, new: str) -> Plant:
    """Kernels with one piece of their source replaced by another, wherever it is."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def changed(stage: Stage) -> Generated:
            made = generate(stage)
            return replace(made, source=made.source.replace(old, new))

        patch.setattr(dataflow.kernels.compile, "generate", changed)

    return plant


def in_place_of(module: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """A function, or what it gives, replaced by what ``make`` makes of it."""
    return lambda patch: patch.setattr(module, name, make(getattr(module, name)))


def all_different(changes: Any) -> Any:
    return lambda says, occupied: np.ones(len(occupied), np.bool_)


def everything_known(swept: Any) -> Any:
    def mutant(step: Any, table: Any) -> Any:
        out = swept(step, table)
        if "state" in out.columns:
            kind, values, valid = out.columns["state"]
            out.columns["state"] = (kind, np.where(valid != 0, values, 0), np.ones_like(valid))
        return out

    return mutant


def not_the_first(found_row: Any) -> Any:
    def mutant(x: Any, e: Any) -> Any:
        row, _ = found_row(x, e)
        return row, f"({row} > 0)"

    return mutant


def without(kind: str) -> Any:
    """Sources of this kind cut nothing."""

    def make(edge: Any) -> Any:
        return lambda w, x, source: w.put("ne = ne") if source.kind == kind else edge(w, x, source)

    return make


def in_every_piece(arranged: Any) -> Any:
    def mutant(fn: Any, args: Any, options: Any, begin: Any, sites: Any, fail: Any) -> Any:
        return arranged(fn, args, options, None, sites, fail)

    return mutant


def ends_later(lookup: Any) -> Any:
    class Mutant(lookup):  # type: ignore[misc]
        def __init__(self, table: Any, *rest: Any) -> None:
            super().__init__(table, *rest)
            self._parts["ends"] = self._parts["ends"] + 1

    return Mutant


def never_joined(indexed: Any) -> Any:
    """Rows of a table that follow each other and say the same stay apart."""

    def mutant(table: Any, key: str, start: Any, end: Any, where: str, merge: bool = False) -> Any:
        index = indexed(table, key, start, end, where, merge)
        if len(index.rows.starts) == 0:
            return index
        middle = (np.maximum(index.rows.starts, 0) + np.minimum(index.rows.ends, 2**61)) // 2
        starts = np.stack([index.rows.starts, middle], axis=1).ravel()
        ends = np.stack([middle, index.rows.ends], axis=1).ravel()
        order = tuple(i for i in index.order for _ in range(2))
        return replace(index, rows=Periods(index.rows.offsets * 2, starts, ends), order=order)

    return mutant


MUTANTS: dict[str, tuple[str, Plant]] = {
    "what ends as a row comes ends after it": ("ok_and_up", in_kernels("tr0 + hold0 <= tc", "tr0 + hold0 < tc")),
    "a track never ends": ("sum_of_two", in_kernels("nx = min(nx, tr0 + hold0)", "nx = min(nx, until)")),
    "a heartbeat that ends is unknown": ("either_or_not", in_kernels("tv0 = np.int64(0)", "tk0 = np.uint8(0)")),
    "a state that ends is false": ("values_of_two", in_kernels("    tk0 = np.uint8(0)", "    tv0 = np.int64(0)")),
    "unknown time of a timeline is known": ("both", in_kernels("pk = np.uint8(nk)", "pk = np.uint8(1)")),
    "a change of a held column does not cut": ("either_or_not", in_kernels("phk0 != chk0 or", "False and")),
    "equal states are not joined": ("both", in_kernels("if pn == 0 or (pk != 0) != nk", "if True or (pk != 0) != nk")),
    "the time before a first point is missing": ("either_or_not", in_kernels("o_known[on] = 2", "o_known[on] = 1")),
    "intervals are not cut": ("states_joined_by_time", in_kernels("ne = min(ne, edge", "ne = max(ne, edge")),
    "the first period counts as none": (
        "states_in_maintenance", lambda patch: patch.setitem(SOURCES, "lookup", not_the_first(SOURCES["lookup"]))
    ),
    "outside is inside": ("beats_outside_days", in_kernels(" = not k", " = k")),
    "the row found first holds for all pieces": (
        "states_joined_by_time", in_kernels(", ns, look0_offsets, look0_starts, look0_ends)\n", ROW_AT_START)
    ),
    "a period ends a microsecond late": (
        "service_time", in_place_of(runtime.query.stages.lookup_arrays, "Lookup", ends_later)
    ),
    "rows that say the same cut": (
        "states_joined_by_time", in_place_of(dataflow.steps.join, "indexed", never_joined)
    ),
    "a null key finds the first row": ("states_joined_by_held", in_kernels("else np.int64(-1)", "else np.int64(0)")),
    "an unknown state counts as inactive": ("concurrent", in_kernels("clear = bool(", "clear = True or bool(")),
    "an end takes nobody away": ("concurrent", in_kernels("-1 if clear and not active", "0 if clear and not active")),
    "neighbours that say the same stay apart": (
        "two_at_least", in_place_of(runtime.query.merge.concurrency, "_changes", all_different)
    ),
    "what cannot be known is false": (
        "two_at_least", in_place_of(runtime.query.merge.merging, "swept", everything_known)
    ),
    "hours are two hours long": (
        "states_by_hour_of_day", in_kernels("np.int64(3600000000)", "np.int64(7200000000)")
    ),
    "the clock's calendar cuts nothing": (
        "states_before_six", in_place_of(dataflow.codegen.cuts, "_edge", without("calendar"))
    ),
    "comparisons with the clock cut nothing": (
        "states_from_a_time", in_place_of(dataflow.codegen.cuts, "_edge", without("change"))
    ),
    "pieces that say the same stay apart": (
        "states_by_part_of_the_day", in_kernels("same = opened and", "same = False and")
    ),
    "what happens counts in every piece": (
        "failures_by_hour", in_place_of(dataflow.binding.typing, "prepared", in_every_piece)
    ),
    "what is not known of a condition is known": (
        "clock_as_argument", in_kernels("step_4(np.uint64(pg)", "step_5(np.uint64(pg)")
    ),
    "a piece lasts as long as the interval": ("clock_in_aggregates", in_kernels("ns - qs", "e - qs")),
    "what a row remembered is forgotten": (
        "states_with_previous_joined", in_kernels(f"if piece == {NO_PIECE} and", "if False and")
    ),
}  # fmt: skip


KNOWN = {
    "what ends as a row comes ends after it": Case(
        [{KEY: "a", TIME: BASE, "ok": True, "status": "down"}, {KEY: "a", TIME: BASE + GAP, "status": "up"}],
        BASE - HOUR,
        BASE + DAY,
    )
}
"""Cases for mutants that few others show."""


def differs(name: str, case: Case, tasks: int) -> bool:
    try:
        agrees(run_in_memory, name, case, tasks=tasks)
    except (AssertionError, IndexError, ValueError):
        return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS)
def test_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, plant = MUTANTS[mutant]
    fresh_plans(monkeypatch)
    plant(monkeypatch)
    if mutant in KNOWN:
        assert differs(name, KNOWN[mutant], 1)
        return
    search = settings(max_examples=5000, database=None, deadline=None, phases=[Phase.generate])
    find(st.tuples(cases(), st.integers(1, 3)), lambda drawn: differs(name, *drawn), settings=search, random=Random(0))
