"""What a runner has of some keys, put in the place of what it had of them before; and its state, put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.stages import Plan
from operators.contract import Aggregate, FloatSum, merge_by_adding, merge_nothing
from operators.kernels.sums.windowed_sums import FIRST, SPECIAL
from operators.states.aggregate_states import State
from operators.states.groups import Groups, GroupState
from operators.sums.windowed import carry
from runtime.query.stages.runner import Runner


def are_sums(plan: Plan) -> bool:
    """Whether the groups of a plan are sums of what each key adds to them, so that it can be taken away again."""
    sink = plan.stages[-1].sink
    return sink.grouping() is not None and all(_is_sum(a.aggregate) for a in sink.aggregates)


def _is_sum(aggregate: object) -> bool:
    if not isinstance(aggregate, Aggregate) or aggregate.tally is not None:
        return False
    return aggregate.merge in (merge_by_adding, merge_nothing) and not any(
        f.identity or f.is_code for f in aggregate.fields
    )


@dataclass(frozen=True)
class GroupChange:
    """What is taken from the groups of a runner, and what is added: what some keys had added, and add now."""

    less: GroupState
    more: GroupState

    @classmethod
    def of(cls, old: Runner, new: Runner) -> GroupChange | None:
        """From the runs of these keys alone; None if it is not known what is left of a group."""
        assert old.groups is not None
        assert new.groups is not None
        if _may_be_gone(old.groups, new.groups):
            return None
        strings = old.context.words.strings
        before = old.groups.export(strings)
        less = [_negative(a, state) for a, state in zip(old.groups.cells.aggregates, before.states, strict=True)]
        known = [state for state in less if state is not None]
        if len(known) < len(less):
            return None
        return cls(GroupState(before.keys, known, before.strings), new.groups.export(strings))


def _may_be_gone(old: Groups, new: Groups) -> bool:
    """Whether some group is of the old rows only: then it is not known whether other keys are in it."""
    groups = [{row.tobytes() for row in of.keys[: len(of)]} for of in (old, new)]
    return not groups[0] <= groups[1]


def _negative(aggregate: object, state: State) -> State | None:
    """The state that takes another away; None for sums of values that are not finite, or of very different sizes."""
    assert isinstance(aggregate, Aggregate)
    out = {f.name: -state[f.name] for f in aggregate.fields}
    for s in aggregate.sums:
        if isinstance(s, FloatSum):
            spans = f"{s.name}_spans"
            if len(state[spans]):
                return None
            out |= {s.name: -state[s.name], spans: state[spans], f"{s.name}_digits": state[f"{s.name}_digits"]}
            continue
        rows, beyond = state[s.name].copy(), state[f"{s.name}_beyond"].copy()
        if rows[:, SPECIAL].any():
            return None
        rows[:, FIRST:] *= -1
        carry(rows)
        beyond[:, 2] *= -1
        out |= {s.name: rows, f"{s.name}_beyond": beyond}
    return out


def replace_keys(runner: Runner, slots: NDArray[np.int32], old: Runner, new: Runner, groups: GroupChange) -> None:
    """Let the rows of the keys in ``slots`` have been those that ``new`` had, not those that ``old`` had."""
    if runner.groups is not None:
        runner.groups.merge(groups.less, runner.context.words.codes)
        runner.groups.merge(groups.more, runner.context.words.codes)
    runner.reserve_keys()
    new.reserve_keys()
    runner.key_state.take(slots, new.key_state)
    runner.tally += new.tally - old.tally
    runner.lost_times += new.lost_times - old.lost_times
    runner.refresh()


def held(runner: Runner) -> Callable[[], None]:
    """What puts back the state that a runner has now."""
    runner.reserve_keys()
    arrays = {name: array.copy() for name, array in runner.key_state.saved(len(runner.context.keys)).items()}
    tally, lost = runner.tally.copy(), runner.lost_times.copy()
    groups = None if runner.groups is None else runner.groups.export(runner.context.words.strings)

    def put_back() -> None:
        for name, array in arrays.items():
            runner.key_state.arrays[name][: len(array)] = array
        runner.tally[:], runner.lost_times[:] = tally, lost
        if runner.groups is not None and groups is not None:
            runner.groups = Groups(runner.groups.key_types, runner.groups.cells.aggregates)
            runner.groups.merge(groups, runner.context.words.codes)
        runner.refresh()

    return put_back
