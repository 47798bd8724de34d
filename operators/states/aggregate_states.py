"""The states of one grouping's aggregates: arrays with a row per group, and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import AnyAggregate
from operators.contract import LEFT, Aggregate, ExactSum, Finished, FloatSum, SetAggregate
from operators.errors import GroupError
from operators.states.strings import Words
from operators.states.table_growth import check_limit, enter_pairs, grown
from operators.states.tallies import Tally, coarsened, merged_coarse
from operators.sums.floats import FloatAccumulator
from operators.sums.windowed import Accumulator
from operators.types import Type

State = dict[str, NDArray[Any]]
"""One aggregate's state in the form that is sent and merged."""


class PairSet:
    """Distinct (group, value) pairs of a SetAggregate; entries 0 to ``used[0] - 1`` are filled."""

    def __init__(self, capacity: int = 64) -> None:
        self.groups = np.zeros(capacity, np.int64)
        self.values = np.zeros(capacity, np.int64)
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)

    @classmethod
    def of(cls, groups: NDArray[np.int64], values: NDArray[np.int64]) -> PairSet:
        """The set of these pairs, which are distinct."""
        n = len(groups)
        out = cls(max(64, 1 << n.bit_length()))
        out.groups[:n], out.values[:n], out.used[0] = groups, values, n
        enter_pairs(out.groups, out.values, out.slots, n)
        return out

    def make_room(self, rows: int = 1) -> None:
        """Make room for ``rows`` more pairs."""
        capacity = len(self.groups)
        while int(self.used[0]) + rows > capacity:
            capacity *= 2
        if capacity == len(self.groups):
            return
        check_limit(capacity, "distinct values over all groups")
        self.groups, self.values = grown(self.groups, capacity), grown(self.values, capacity)
        self.slots = np.zeros(2 * capacity, np.int32)
        enter_pairs(self.groups, self.values, self.slots, int(self.used[0]))

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Groups and values of all pairs."""
        n = int(self.used[0])
        return self.groups[:n], self.values[:n]

    def drop_groups(self, gone: NDArray[np.bool_]) -> None:
        """Remove the pairs of the marked groups."""
        groups, values = self.pairs()
        keep = ~gone[groups]
        groups, values = groups[keep].copy(), values[keep].copy()
        n = len(groups)
        self.groups[:n], self.values[:n], self.used[0] = groups, values, n
        self.slots[:] = 0
        enter_pairs(self.groups, self.values, self.slots, n)


def _accumulator(of: ExactSum | FloatSum, capacity: int) -> Accumulator | FloatAccumulator:
    if isinstance(of, FloatSum):
        return FloatAccumulator(capacity)
    return Accumulator(capacity, of.digits, of.lowest)


class _Cell:
    """The state of one ``Aggregate``."""

    def __init__(self, aggregate: Aggregate, capacity: int) -> None:
        self.aggregate = aggregate
        self.fields: State = {f.name: f.new(capacity) for f in aggregate.fields}
        self.sums = {s.name: _accumulator(s, capacity) for s in aggregate.sums}
        t = aggregate.tally
        self.tally = None if t is None else Tally(t.words, t.largest, t.is_dated)
        self._coarse = None if t is None else t.coarse

    def argument(self, part: str, name: str) -> NDArray[Any]:
        if part == "field":
            return self.fields[name]
        if part == "tally":
            found: NDArray[Any] = getattr(self.tally, name)
            return found
        array: NDArray[Any] = getattr(self.sums[part], name)
        return array

    def arguments(self) -> tuple[NDArray[Any], ...]:
        sums: list[NDArray[Any]] = [a for s in self.sums.values() for a in (s.rows, s.log, s.used)]
        t = self.tally
        table: list[NDArray[Any]] = [] if t is None else [t.keys, t.counts, t.slots, t.used, t.words]
        table += [] if t is None or not t.is_dated else [t.at, t.tied]
        return (*self.fields.values(), *sums, *table)

    def make_room(self, rows: int) -> None:
        for s in self.sums.values():
            s.make_room(rows)
        if self.tally is not None:
            self.tally.make_room(rows)

    def grow(self, capacity: int) -> None:
        for f in self.aggregate.fields:
            self.fields[f.name] = grown(self.fields[f.name], capacity, f.identity)
        for s in self.sums.values():
            s.grow(capacity)

    def reset(self, rows: NDArray[np.intp], gone: NDArray[np.bool_]) -> None:
        for f in self.aggregate.fields:
            self.fields[f.name][rows] = f.identity
        for s in self.sums.values():
            s.reset(rows)
        if self.tally is not None:
            self.tally.drop_groups(gone)

    def settle(self) -> None:
        if self.aggregate.settle is not None:
            self.aggregate.settle(self.fields)
        for s in self.sums.values():
            s.settle()
        if self.tally is not None and self._coarse is not None:
            coarsened(self.tally, self.fields[LEFT], self._coarse)

    def relieve(self) -> None:
        self.settle()
        for s in self.sums.values():
            s.relieve()

    def export(self, n: int) -> State:
        out = {name: values[:n].copy() for name, values in self.fields.items()}
        for name, s in self.sums.items():
            out |= s.export(name, n)
        if self.tally is not None:
            keys, counts = self.tally.entries()
            out |= {"keys": keys.copy(), "counts": counts.copy()}
            if self.tally.is_dated:
                at, tied = self.tally.dates()
                out |= {"at": at.copy(), "tied": tied.copy()}
        return out

    def merge(self, at: NDArray[np.intp], part: State) -> None:
        fields = {f.name: part[f.name] for f in self.aggregate.fields}
        self.aggregate.merge(self.fields, at, fields)
        for name, s in self.sums.items():
            s.merge(name, at, part)
        if self.tally is not None:
            keys = part["keys"].copy()
            keys[:, 0] = at[keys[:, 0]]
            if self.tally.is_dated:
                self.tally.date(keys, part["at"], part["tied"])
            if self._coarse is None:
                self.tally.add(keys, part["counts"])
            else:
                merged_coarse(self.tally, self.fields[LEFT], self._coarse, at, keys, part["counts"], part[LEFT])

    def finish(self, rows: NDArray[np.intp], place: NDArray[np.int64], strings: list[str]) -> Finished:
        state: dict[str, Any] = {name: values[rows] for name, values in self.fields.items()}
        if self.aggregate.settle is not None:
            self.aggregate.settle(state)
        state = {"strings": strings, **state, **{name: s.totals(rows) for name, s in self.sums.items()}}
        if self.tally is not None:
            state |= {"entries": self.tally.of_groups(place, strings), "groups": len(rows)}
        return self.aggregate.finish(state)


class _SetCell:
    """The state of one ``SetAggregate``."""

    def __init__(self, aggregate: SetAggregate) -> None:
        self.aggregate = aggregate
        self.pairs = PairSet()

    def argument(self, part: str, name: str) -> NDArray[Any]:
        found: NDArray[Any] = getattr(self.pairs, name)
        return found

    def arguments(self) -> tuple[NDArray[Any], ...]:
        p = self.pairs
        return (p.groups, p.values, p.slots, p.used)

    def make_room(self, rows: int) -> None:
        self.pairs.make_room(rows)

    def grow(self, capacity: int) -> None:
        """Nothing to do: pairs exist only once they are entered."""

    def reset(self, rows: NDArray[np.intp], gone: NDArray[np.bool_]) -> None:
        self.pairs.drop_groups(gone)

    def settle(self) -> None:
        """Nothing to do: a set is canonical, except for its order."""

    def relieve(self) -> None:
        """Nothing to do: nothing can overflow."""

    def export(self, n: int) -> State:
        groups, values = self.pairs.pairs()
        return {"groups": groups.copy(), "values": values.copy()}

    def merge(self, at: NDArray[np.intp], part: State) -> None:
        groups, values = self.pairs.pairs()
        groups, values = np.concatenate([groups, at[part["groups"]]]), np.concatenate([values, part["values"]])
        # Not np.unique over rows, which took five times as long.
        order = np.lexsort((values, groups))
        groups, values = groups[order], values[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])
        check_limit(int(np.count_nonzero(new)), "distinct values over all groups")
        self.pairs = PairSet.of(groups[new], values[new])

    def finish(self, rows: NDArray[np.intp], place: NDArray[np.int64], strings: list[str]) -> Finished:
        groups, values = self.pairs.pairs()
        mine = place[groups] >= 0
        return self.aggregate.finish(place[groups[mine]], values[mine], len(rows), strings)


class AggregateStates:
    """The aggregates' states, ``capacity`` rows each: one row per group."""

    def __init__(self, aggregates: Sequence[AnyAggregate], capacity: int) -> None:
        self.aggregates = tuple(aggregates)
        self.capacity = capacity
        self._cells = [_SetCell(a) if isinstance(a, SetAggregate) else _Cell(a, capacity) for a in self.aggregates]
        sums = [s for c in self._cells if isinstance(c, _Cell) for s in c.sums.values()]
        self._float_sums = [s for s in sums if isinstance(s, FloatAccumulator)]

    def argument(self, number: int, part: str, name: str) -> NDArray[Any]:
        """An array argument of aggregate ``number``'s step: a field, or a part of a sum or table."""
        return self._cells[number].argument(part, name)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for c in self._cells for array in c.arguments())

    def make_room(self, rows: int = 1) -> None:
        """Make room for ``rows`` more rows in every aggregate's tables."""
        for c in self._cells:
            c.make_room(rows)

    def arguments(self, number: int) -> tuple[NDArray[Any], ...]:
        """All array arguments of aggregate ``number``'s step, in order."""
        return self._cells[number].arguments()

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups; the new rows are identities."""
        for c in self._cells:
            c.grow(capacity)
        self.capacity = capacity

    def reset(self, rows: NDArray[np.intp]) -> None:
        """Reset these rows to identities."""
        gone = np.zeros(self.capacity, np.bool_)
        gone[rows] = True
        for c in self._cells:
            c.reset(rows, gone)

    def settle(self) -> None:
        """Bring every state into canonical form."""
        for c in self._cells:
            c.settle()

    def counted(self, rows: int) -> None:
        """Record that ``rows`` rows were folded."""
        for s in self._float_sums:
            s.counted(rows)

    def relieve(self) -> None:
        """Carry before any accumulator can overflow."""
        for c in self._cells:
            c.relieve()

    def export(self, n: int) -> list[State]:
        """The states of the first ``n`` groups, to be sent and merged."""
        self.settle()
        return [c.export(n) for c in self._cells]

    def merge(self, at: NDArray[np.intp], states: Sequence[State]) -> None:
        """Merge exported states: their group j is ``at[j]`` here."""
        for c, state in zip(self._cells, states, strict=True):
            c.merge(at, state)

    def finish(self, rows: NDArray[np.intp], words: Words) -> list[Finished]:
        """Each aggregate's result for the groups at ``rows``; strings are codes of ``words``."""
        place = np.full(self.capacity, -1, np.int64)
        place[rows] = np.arange(len(rows))
        out: list[Finished] = []
        for number, (a, c) in enumerate(zip(self.aggregates, self._cells, strict=True)):
            try:
                values, valid = c.finish(rows, place, words.strings)
            except GroupError as error:
                error.aggregate = number
                raise
            if a.result is Type.JSON or values.dtype.kind in "OU":
                values = words.codes(values.tolist()).astype(np.int64)
            out.append((values, valid))
        return out


def each_code(
    aggregates: Sequence[AnyAggregate],
    states: Sequence[State],
    visit: Callable[[NDArray[Any], NDArray[np.bool_]], None],
) -> None:
    """Visit every array of string codes in exported states, with the mask of entries that are codes."""
    for a, state in zip(aggregates, states, strict=True):
        if isinstance(a, SetAggregate):
            if a.argument is Type.STRING:
                visit(state["values"], np.ones(len(state["values"]), np.bool_))
            continue
        for f in a.fields:
            if f.is_code:
                n = state["n"]
                visit(state[f.name], np.arange(f.width) < n[:, None] if f.width else n > 0)
        if a.tally is not None and a.tally.is_code and a.argument is Type.STRING:
            for j in range(a.tally.words):
                visit(state["keys"][:, 1 + j], np.ones(len(state["keys"]), np.bool_))


def own_codes(aggregates: Sequence[AnyAggregate], states: Sequence[State]) -> list[State]:
    """The states, with copies of the arrays that contain string codes."""
    out = []
    for a, state in zip(aggregates, states, strict=True):
        names = ["values"] if isinstance(a, SetAggregate) else ["keys", *(f.name for f in a.fields if f.is_code)]
        out.append({**state, **{name: state[name].copy() for name in names if name in state}})
    return out
