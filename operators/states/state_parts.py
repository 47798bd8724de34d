"""Parts of a group state: the same groups in every state of one grouping, whatever their order and string codes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import AnyAggregate
from operators.contract import DATES, ExactSum, SetAggregate
from operators.states.aggregate_states import State
from operators.states.groups import GroupState
from operators.types import Type

_MIX = 0x9E3779B97F4A7C15


def nbytes(state: GroupState) -> int:
    """Bytes of its arrays."""
    return state.keys.nbytes + sum(array.nbytes for one in state.states for array in one.values())


def part_numbers(key_types: Sequence[Type], state: GroupState, count: int) -> NDArray[np.int64]:
    """For each group the number of its part, below ``count``, which depends on the values of its key alone."""
    keys, nulls = state.keys, state.keys[:, -1]
    mixed = nulls.view(np.uint64) * np.uint64(_MIX)
    texts = np.zeros(0, np.int64)
    if Type.STRING in key_types:
        texts = np.fromiter((zlib.crc32(s.encode()) for s in state.strings), np.int64, len(state.strings))
    for j, kind in enumerate(key_types):
        known = (nulls >> j) & 1 == 0
        word = np.zeros(len(keys), np.int64)
        word[known] = texts[keys[known, j]] if kind is Type.STRING else keys[known, j]
        mixed = ((mixed ^ word.view(np.uint64)) * np.uint64(_MIX)) ^ (mixed >> np.uint64(29))
    out: NDArray[np.int64] = ((mixed >> np.uint64(32)) % np.uint64(count)).astype(np.int64)
    return out


def part_of(aggregates: Sequence[AnyAggregate], state: GroupState, index: NDArray[np.intp]) -> GroupState:
    """The state of the groups numbered ``index``, with the whole dictionary of strings."""
    place = np.full(len(state.keys), -1, np.int64)
    place[index] = np.arange(len(index))
    states = [_part(a, one, index, place) for a, one in zip(aggregates, state.states, strict=True)]
    return GroupState(state.keys[index], states, state.strings)


def _part(aggregate: AnyAggregate, state: State, index: NDArray[np.intp], place: NDArray[np.int64]) -> State:
    if isinstance(aggregate, SetAggregate):
        groups = place[state["groups"]]
        mine = groups >= 0
        return {"groups": groups[mine], "values": state["values"][mine]}
    out = {f.name: state[f.name][index] for f in aggregate.fields}
    for s in aggregate.sums:
        out[s.name] = state[s.name][index]
        if isinstance(s, ExactSum):
            out[f"{s.name}_beyond"] = _renumbered(state[f"{s.name}_beyond"], place)[0]
        else:
            spans = state[f"{s.name}_spans"]
            out[f"{s.name}_spans"], mine = _renumbered(spans, place)
            out[f"{s.name}_digits"] = state[f"{s.name}_digits"][np.repeat(mine, spans[:, 2])]
    if aggregate.tally is not None:
        out["keys"], mine = _renumbered(state["keys"], place)
        out |= {name: state[name][mine] for name in ("counts", *(DATES if aggregate.tally.is_dated else ()))}
    return out


def _renumbered(entries: NDArray[Any], place: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The entries, whose first number is that of a group, of the groups that have a place; and which these are."""
    groups = place[entries[:, 0]]
    mine = groups >= 0
    out = entries[mine]
    out[:, 0] = groups[mine]
    return out, mine
