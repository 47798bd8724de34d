"""What the streams of the campaign ``kills`` must hold: the sources of each, in plain Python.

An operation that was interrupted happened or did not, and of two processes nobody knows who was first. So there is a
set of states that a stream may be in; what is seen of it decides which of them remain.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Key = str | int
DAY = 86_400


class Row(NamedTuple):
    """A point of a source; ``time`` in seconds."""

    key: Key
    time: int
    x: float
    n: int
    t: str | None
    id: str | None


@dataclass(frozen=True)
class Rules:
    """How a stream resolves duplicates."""

    duplicates: str
    id: bool


@dataclass(frozen=True)
class Held:
    """A source in a stream, without the points of keys that were erased from it; as it was committed, it had those
    from the day ``floor`` on, of all keys but ``never``."""

    name: str
    missing: frozenset[Key] = frozenset()
    floor: int = 0
    never: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class State:
    """A stream: its sources in the order of their commits, the keys that later sources leave out, whether it exists.

    Points before the day ``floor`` are retired (0: none are); ``carried`` is the last ``t`` of each key from before it.
    """

    live: tuple[Held, ...] = ()
    erased: frozenset[Key] = frozenset()
    known: bool = False
    floor: int = 0
    carried: tuple[tuple[Key, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """The sources."""
        return [held.name for held in self.live]

    def without(self, name: str) -> State:
        """The stream without a source."""
        return replace(self, live=tuple(held for held in self.live if held.name != name))

    def with_source(self, name: str) -> State:
        """The stream with one more source."""
        held = Held(name, self.erased, self.floor, self.erased)
        return replace(self, live=(*self.live, held), known=True)


@dataclass(frozen=True)
class Action:
    """One commit of an operation, or what it reads: ``what`` is done to the source, key or day ``one``.

    ``outcome`` is what the operation reported of it, None if it did not.
    """

    what: str
    one: Key = ""
    other: str = ""
    outcome: str | None = None


@dataclass(frozen=True)
class Model:
    """What is known of a stream besides its state: its rules, and the rows of all sources."""

    rules: Rules
    sources: Mapping[str, Sequence[Row]]

    def points(self, state: State) -> dict[Key, list[Row]]:
        """The points of each key, in the order of time, then of their commits."""
        return resolved(self._rows(state), self.rules)

    def _rows(self, state: State) -> list[Row]:
        return [
            row
            for held in state.live
            for row in self.sources[held.name]
            if row.key not in held.missing and row.time >= state.floor * DAY
        ]

    def has_retired(self, state: State, name: str) -> bool:
        """Whether points of a source were retired."""
        (held,) = (held for held in state.live if held.name == name)
        days = {row.time // DAY for row in self.sources[name] if row.key not in held.never}
        return any(held.floor <= day < state.floor for day in days)

    def retired(self, state: State, day: int) -> tuple[State, str]:
        """The state after points before a day were retired, and what is reported of it."""
        days = [row.time // DAY for row in self._rows(state)]
        if day <= state.floor or (days and day <= min(days)):
            return state, f"kept from {max(day, state.floor)} on"
        if not days or day > max(days):
            return state, "refused"
        last = dict(state.carried)
        for key, rows in self.points(state).items():
            for row in rows:
                if row.t is not None and row.time < day * DAY:
                    last[key] = row.t
        return replace(state, floor=day, carried=tuple(sorted(last.items()))), f"kept from {day} on"

    def lasting(self, state: State, begin: int, end: int) -> dict[tuple[Key, str], int]:
        """For how many seconds each key had each value of ``t`` from the floor, or ``begin``, until ``end``."""
        found, total = self.points(state), Counter[tuple[Key, str]]()
        last = dict(state.carried)
        for key in {*found, *last}:
            at, value = max(begin, state.floor * DAY), last.get(key)
            for row in found.get(key, []):
                if row.t is not None:
                    if value is not None:
                        total[key, value] += row.time - at
                    at, value = row.time, row.t
            if value is not None:
                total[key, value] += end - at
        return dict(+total)


def applied(state: State, action: Action, model: Model) -> tuple[State, str]:
    """The state after an action, and what an operation reports of it."""
    name = str(action.one)
    match action.what:
        case "add" if name in state.names:
            return state, "already"
        case "replace" if name in state.names and name != action.other:
            return state, "already"
        case "add":
            return state.with_source(name), "ingested"
        case "replace" if action.other not in state.names or model.has_retired(state, action.other):
            return state, "refused"
        case "replace":
            return state.without(action.other).with_source(name), "ingested"
        case "undo" if name in state.names and not model.has_retired(state, name):
            return state.without(name), "undone"
        case "undo":
            return state, "refused"
        case "ask":
            return state, answered(model.points(state)) if state.known else "refused"
        case _ if not state.known:
            return state, "refused"
        case "note":
            return replace(state, erased=state.erased | {action.one}), "done"
        case "remove":
            live = tuple(replace(held, missing=held.missing | {action.one}) for held in state.live)
            carried = tuple((key, value) for key, value in state.carried if key != action.one)
            return replace(state, live=live, carried=carried), "done"
        case "clear":
            return replace(state, live=(), floor=0, carried=()), "done"
        case "retire":
            return model.retired(state, int(action.one))
        case _:
            return state, "done"


def afterwards(
    states: Iterable[State], processes: Sequence[tuple[Sequence[Action], int]], model: Model
) -> frozenset[State]:
    """The states that a stream may be in after processes ran beside one another.

    Each did its actions in their order; the first so many of them happened, each later one happened only if all those
    before it did. Of what was reported, only states remain that agree with it.
    """
    done: dict[tuple[int, ...], set[State]] = {(0,) * len(processes): set(states)}
    ends: set[State] = set()
    waiting = [(0,) * len(processes)]
    while waiting:
        place = waiting.pop(0)
        if all(at >= sure for at, (_, sure) in zip(place, processes, strict=True)):
            ends |= done[place]
        for p, (actions, _) in enumerate(processes):
            if place[p] == len(actions):
                continue
            action = actions[place[p]]
            following = (*place[:p], place[p] + 1, *place[p + 1 :])
            if following not in done:
                waiting.append(following)
            found = done.setdefault(following, set())
            for state in done[place]:
                after, outcome = applied(state, action, model)
                if action.outcome in (None, outcome):
                    found.add(after)
    return frozenset(ends)


def resolved(rows: Iterable[Row], rules: Rules) -> dict[Key, list[Row]]:
    """The points of each key, in the order of time, where those of rows are in the order of their commits."""
    rows = sorted(rows, key=lambda row: row.time)
    if rules.id:
        first: dict[object, Row] = {}
        for number, row in enumerate(rows):
            first.setdefault((row.time // DAY, row.key, row.id or number), row)
        rows = list(first.values())
    if rules.duplicates == "exact":
        rows = list(dict.fromkeys(rows))
    if rules.duplicates == "latest":
        last: dict[object, Row] = {}
        for row in rows:
            before = last.get((row.key, row.time), row)
            last[row.key, row.time] = row._replace(t=row.t or before.t, id=row.id or before.id)
        rows = list(last.values())
    out: dict[Key, list[Row]] = {}
    for row in rows:
        out.setdefault(row.key, []).append(row)
    return out


def answered(found: Mapping[Key, Sequence[Row]]) -> str:
    """What the campaign's query returns of these points: for each key the number of them, the sum, first and last
    value of x."""
    rows: list[list[Any]] = [
        [key, len(rows), sum(row.x for row in rows), rows[0].x, rows[-1].x] for key, rows in sorted(found.items())
    ]
    return json.dumps(rows)
