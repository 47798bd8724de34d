"""Upkeep, ingests and queries killed at drawn steps and times: nothing lost, nothing twice, nothing left behind.

Each round one or two processes do drawn operations on a store in a folder, and are killed with SIGKILL: before a drawn
step (a file that is created, linked, renamed or removed; a statement that writes to SQLite), or at a drawn time.
Another process then compares the store with a model in plain Python: what was reported happened, what was interrupted
happened or did not. Every few rounds what was interrupted is repeated, which must succeed; after a sweep as of eight
days later no file is left that nothing explains, and no object holds an erased key.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.campaigns import Report
from tests.campaigns.apart import run_apart
from tests.campaigns.kills_children import Child, Fate, run_all
from tests.campaigns.kills_model import DAY, Action, Key, Model, Row, Rules, State, afterwards, answered
from tests.campaigns.kills_operations import BEGIN, END, KINDS, Operation, Seen, Sight, World, look, small

RULES = {
    "plain": Rules("keep", id=False),
    "exact": Rules("exact", id=False),
    "latest": Rules("latest", id=False),
    "ids": Rules("exact", id=True),
}
"""The streams; the keys of ``plain`` are integers."""

ROUNDS = 24
"""Of one store."""

SETTLED = 4
"""Rounds after which what was interrupted is repeated."""

FAILURES = 5
"""After so many a campaign ends."""

_WEIGHTS = {"ingest": 5, "erase stream": 0.3, "erase key": 0.7, "retain": 0.7}
_OPENED = 8
"""More steps than opening a store has."""

_COLUMNS = ("k", "ts", *Row._fields[2:])
_DAYS = (0, 0, 0, 1, 2, 40, 400)
_RETIRED = (-1, 0, 0, 1, 1, 1, 1, 2, 3, 41, 400, 402)
"""Days from the floor on that are retired, or cannot be."""

_FIRST, _LATEST = BEGIN // DAY + 2, BEGIN // DAY + 400
"""No source begins earlier than two days before the first of these days, or after the other one."""


def run(budget: int, seed: int) -> Report:
    """Kill ``budget`` operations while they are under way."""
    return run_apart("tests.campaigns.kills", budget, seed)


def attack(report: Report, budget: int, seed: int) -> None:
    """Kill ``budget`` operations while they are under way, all in children of this process, which only draws them."""
    small()
    rng = random.Random(seed)
    killed, profiles = Counter[str](), _Profiles()
    for number in range(4 * budget // ROUNDS + 4):
        with tempfile.TemporaryDirectory(prefix="antfold-kills-") as name:
            history = _History(Path(name), random.Random(rng.random()), killed, profiles, report, f"store {number}")
            history.play(budget)
        if sum(killed.values()) >= budget or len(report.failures) == FAILURES:
            return
    report.failures.append(f"only {sum(killed.values())} of {budget} kills hit an operation")


class _Profiles:
    """The steps and durations of operations that ran to their end: where others can be killed."""

    def __init__(self) -> None:
        self._of: dict[str, deque[tuple[dict[str, int], float]]] = defaultdict(lambda: deque(maxlen=6))

    def add(self, kind: str, steps: dict[str, int], seconds: float) -> None:
        """An operation of this kind had these steps, and took so long; most of what did nothing is left out."""
        if steps and (len(self._of[kind]) < 2 or sum(steps.values()) > _OPENED):
            self._of[kind].append((steps, seconds))

    def fate(self, kind: str, operation: int, rng: random.Random) -> Fate:
        """Where an operation of this kind is to be killed: each kind of step is as likely."""
        if not self._of[kind]:
            return Fate(operation, seconds=rng.uniform(0, 0.1))
        steps, seconds = rng.choice(self._of[kind])
        if rng.random() < 0.25:
            return Fate(operation, seconds=rng.uniform(0.1, 1) * seconds)
        label = rng.choice(sorted(steps))
        return Fate(operation, label, rng.randint(1, steps[label]))


class _History:
    """One store, from its creation on."""

    def __init__(
        self, folder: Path, rng: random.Random, killed: Counter[str], profiles: _Profiles, report: Report, name: str
    ) -> None:
        self._world, self._rng, self._killed, self._profiles = World(folder, RULES), rng, killed, profiles
        self._report, self._name = report, name
        self._rows: dict[str, tuple[Row, ...]] = {}
        self._stream_of: dict[str, str] = {}
        self._models = {stream: Model(rules, self._rows) for stream, rules in RULES.items()}
        self._states = dict.fromkeys(RULES, frozenset({State()}))
        self._interrupted: list[Operation] = []
        self._said: list[str] = []
        (folder / "sources").mkdir()

    def play(self, budget: int) -> None:
        """Rounds until so many operations were killed, or something failed."""
        for number in range(1, ROUNDS + 1):
            lists = self._drawn()
            fates = [self._fate(operations, n) for n, operations in enumerate(lists)]
            enough = sum(self._killed.values()) >= budget
            if not (self._ran(lists, fates) and self._is_right()):
                return
            if (number % SETTLED == 0 or enough) and not self._settled():
                return
            if enough:
                return

    # ---- what is done

    def _drawn(self) -> list[list[Operation]]:
        """The operations of the processes of a round."""
        rng = self._rng
        lists = []
        alone = rng.random() < 0.5
        for _ in range(1 if alone else 2):
            kinds = rng.choices(KINDS, [_WEIGHTS.get(kind, 1) for kind in KINDS], k=rng.randint(0, 2))
            fewest = min(self._killed[kind] for kind in KINDS)
            kinds.append(rng.choice([kind for kind in KINDS if self._killed[kind] <= fewest + 1]))
            lists.append([self._operation(kind, alone) for kind in kinds])
        if self._interrupted and rng.random() < 0.4:
            lists[0].insert(0, replace(rng.choice(self._interrupted), alone=alone))
        return lists

    def _operation(self, kind: str, alone: bool) -> Operation:
        rng = self._rng
        streams = list(RULES)
        if kind not in ("ingest", "query"):
            streams = [of for of in streams if any(state.live for state in self._states[of])] or streams
        stream = rng.choice(streams)
        state = min(self._states[stream], key=repr)
        offered = [name for name, of in self._stream_of.items() if of == stream]
        live = rng.choice(state.names or offered or [str(self._world.folder / "nothing")])
        new = kind.startswith("ingest")
        source = self._source(stream) if new and (not offered or rng.random() < 0.8) else live
        if kind == "ingest" and source == live and offered:
            source = rng.choice(offered)
        keys = sorted({row.key for row in self._rows.get(live, ())} or {_key(stream, 0)}, key=str)
        return Operation(
            kind, stream, source, live if kind == "ingest --replace" else "", rng.choice(keys), alone,
            rng.random() < 0.7, max(state.floor, _FIRST) + rng.choice(_RETIRED),
        )  # fmt: skip

    def _source(self, stream: str) -> str:
        """Write a new source: some points are those of others, some may be before the floor."""
        rng = self._rng
        number = len(self._rows)
        state = min(self._states[stream], key=repr)
        erased = state.erased
        day = min(max(state.floor, _FIRST), _LATEST) - rng.choice([0, 0, 0, 1, 2])
        keys = [key for key in (_key(stream, n) for n in range(14)) if key not in erased or rng.random() < 0.1]
        keys = keys[: rng.randint(1, 8)] or [_key(stream, 14)]
        hot, size = rng.random() < 0.3, rng.choice([3, 8, 8, 20, 60])
        rows = [Row(keys[0], day * DAY, 0.25, 1_000 + number, "first", f"i{number}")]
        others = [row for name, of in self._stream_of.items() if of == stream for row in self._rows[name]]
        for _ in range(size):
            if others and rng.random() < 0.3:
                row = rng.choice(others)
                if rng.random() < 0.5:
                    row = row._replace(x=rng.randrange(40) / 4, t=rng.choice([None, "up"]))
            else:
                row = Row(
                    keys[0] if hot and rng.random() < 0.8 else rng.choice(keys),
                    (day + rng.choice(_DAYS)) * DAY + rng.randrange(24) * 3_600,
                    rng.randrange(40) / 4, rng.randrange(5), rng.choice([None, "up", "down"]),
                    rng.choice([None, f"i{rng.randrange(60)}"]),
                )  # fmt: skip
            rows.append(row)
        records = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        records += [{**records[0], "ts": "bad"} for _ in range(rng.choice([0, 0, 2]))]
        path = self._world.folder / "sources" / f"source-{number}.ndjson"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        self._rows[str(path)], self._stream_of[str(path)] = tuple(rows), stream
        return str(path)

    def _fate(self, operations: Sequence[Operation], process: int) -> Fate:
        if process and self._rng.random() < 0.4:
            return Fate()
        at = len(operations) - 1
        return self._profiles.fate(operations[at].kind, at, self._rng)

    # ---- what it led to

    def _ran(self, lists: Sequence[Sequence[Operation]], fates: Sequence[Fate]) -> bool:
        """Run operations, and work out which states the streams may be in."""
        works = [[partial(operation.run, self._world) for operation in operations] for operations in lists]
        children = run_all(self._world.folder, works, fates)
        self._said.append(" | ".join(map(_said, children, lists)))
        for child, operations in zip(children, lists, strict=True):
            for operation, steps, seconds in zip(operations, child.steps, child.seconds, strict=False):
                self._profiles.add(operation.kind, steps, seconds)
            if child.error:
                return self._failed(f"{operations[child.begun - 1]}: {child.error}")
            if child.under_way:
                operation = operations[len(child.outcomes)]
                self._interrupted.append(operation)
                self._killed[operation.kind] += 1
                how = "at a time" if child.fate.label is None else "before a step"
                self._report.count(f"{operation.kind}, killed {how}")
        for stream in RULES:
            processes = [_actions(child, operations, stream) for child, operations in zip(children, lists, strict=True)]
            self._states[stream] = afterwards(self._states[stream], processes, self._models[stream])
            if not self._states[stream]:
                return self._failed(f"{stream}: no order of the operations has these outcomes")
        return True

    def _is_right(self, after_sweep: bool = False) -> bool:
        """Whether another process sees what the model says."""
        path = self._world.folder / "sight.pickle"
        (child,) = run_all(self._world.folder, [[partial(look, self._world, path, after_sweep)]], [Fate()])
        if child.error:
            return self._failed(f"another process: {child.error}")
        sight: Sight = pickle.loads(path.read_bytes())
        wrong = [*sight.problems, *(f"left behind: {name}" for name in sight.left)]
        for stream, states in self._states.items():
            seen = sight.streams.get(stream)
            if seen is None:
                remaining = {state for state in states if not state.known}
            else:
                remaining = set()
                for state in states:
                    found = self._models[stream].points(state)
                    held = (state.floor, state.names, found, self._models[stream].lasting(state, BEGIN, END))
                    if state.known and (seen.floor, seen.live, seen.points, seen.lasting) == held:
                        remaining.add(state)
                        if seen.answer != answered(found):
                            wrong.append(f"{stream}: the answer is {seen.answer}, right is {answered(found)}")
            if not remaining:
                wrong.append(f"{stream}: {self._difference(stream, seen, states)}")
            self._states[stream] = frozenset(remaining)
            if after_sweep:
                gone = frozenset[Key]().union(*(state.erased for state in remaining))
                texts = "\n".join(sight.texts)
                wrong += [f"{stream}: the erased key {key} is still held" for key in gone if str(key) in texts]
        return not wrong or self._failed("; ".join(wrong))

    def _difference(self, stream: str, seen: Seen | None, states: frozenset[State]) -> str:
        """How a stream differs from one of the states that it may be in."""
        if seen is None:
            return f"it does not exist, but may only be one of {len(states)} states"
        state = min(states, key=lambda state: (state.names != seen.live, repr(state)))
        if state.names != seen.live:
            return f"it has the sources {seen.live}, right is {state.names}, or another of {len(states)} states"
        if state.floor != seen.floor:
            return f"its floor is {seen.floor}, right is {state.floor}, or another of {len(states)} states"
        right = self._models[stream].points(state)
        if right == seen.points:
            lasting = self._models[stream].lasting(state, BEGIN, END)
            return f"values last for {seen.lasting}, right is {lasting}, or another of {len(states)} states"
        mine = Counter(row for rows in seen.points.values() for row in rows)
        others = Counter(row for rows in right.values() for row in rows)
        return (
            f"of its {mine.total()} points {list((mine - others).elements())[:3]} are too many, "
            f"{list((others - mine).elements())[:3]} missing, the order wrong if none are"
        )

    def _settled(self) -> bool:
        """Whether what was interrupted can be repeated, and a sweep leaves nothing behind."""
        again = [replace(operation, alone=True) for operation in self._interrupted]
        self._interrupted = []
        for path in self._world.copy.parent.glob("*"):
            os.utime(path, (0, 0))
        last = [Operation(kind, next(iter(RULES))) for kind in ("backup", "sweep")]
        self._report.count("repeated after they were killed", len(again))
        return self._ran([[*again, *last]], [Fate()]) and self._is_right(after_sweep=True)

    def _failed(self, what: str) -> bool:
        said = "; ".join(self._said[-3:])
        self._report.failures.append(f"{self._name}, round {len(self._said)}: {what}; after {said}")
        return False


def _key(stream: str, number: int) -> Key:
    at = list(RULES).index(stream)
    return 8_675_300 + number if stream == "plain" else f"key-{at}{number:03}"


def _actions(child: Child, operations: Sequence[Operation], stream: str) -> tuple[list[Action], int]:
    """What a process did to a stream, and how much of it certainly happened."""
    sure = []
    for operation, outcome in zip(operations, child.outcomes, strict=False):
        if operation.stream == stream:
            sure += [replace(action, outcome=outcome) for action in operation.actions()]
    begun = operations[len(child.outcomes) : child.begun]
    perhaps = [action for operation in begun if operation.stream == stream for action in operation.actions()]
    return [*sure, *perhaps], len(sure)


def _said(child: Child, operations: Sequence[Operation]) -> str:
    names = [f"{operation.kind} {operation.stream}" for operation in operations[: child.begun]]
    return ", ".join(names) + (f" killed by {child.fate}" if child.killed else "")
