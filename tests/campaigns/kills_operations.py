"""What the processes of the campaign ``kills`` do to a store, and how others look at it."""

from __future__ import annotations

import json
import pickle
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dataflow as df
from dataflow.binding.typing import GraphError
from dataflow.language.stream import Stream
from runtime import Store
from runtime.catalogue import AttemptSwept, SqliteCatalogue, commits
from runtime.catalogue.items.entries import day_name
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.errors import IngestError, QueryError
from runtime.ingest import day_spans
from runtime.query.carry import carrying
from runtime.query.plan import make_tasks
from runtime.query.scan import merge_rows
from runtime.upkeep import rewrite, spans
from runtime.upkeep.sweep import sweep
from runtime.upkeep.sweep_plan import SweepRules
from tests.campaigns.kills_model import DAY, Action, Key, Row, Rules
from tests.runtime.upkeep.held_bytes import held

TYPES = {"x": "float64", "n": "int64", "t": "string", "id": "string"}
LATER = 8 * 86_400_000_000
"""By then all that a sweep may remove is old enough."""

BEGIN, END = 1_677_628_800, 1_756_857_600  # 2023-03-01 and 2025-09-03
"""No point is before, or after."""

_SWEPT = 50
"""How often an ingest is repeated that was swept while it ran."""


def small() -> None:
    """Small files, spans, tiers, tasks, transactions and records, in this process and those that it forks."""
    setattr(make_tasks, "_SMALL", 5)  # noqa: B010
    merge_rows.FEWEST, merge_rows.MOST = 6, 20
    day_spans.FEW_DAYS, day_spans.SPARSE = 1, 6
    for module in (spans, rewrite):
        setattr(module, "FULL", 12)  # noqa: B010
    spans.FAN = 2
    for name in ("LEAST", "TIMES", "SMALLER"):
        setattr(carrying, name, 0)
    SqliteTable.most = 10
    setattr(commits, "MAX_ITEM", 1_200)  # noqa: B010


@dataclass(frozen=True)
class World:
    """The folder with the store, the copies of its catalogue and the sources; the rules of its streams."""

    folder: Path
    rules: dict[str, Rules]

    @property
    def store(self) -> Path:
        """The folder of the store."""
        return self.folder / "store"

    @property
    def copy(self) -> Path:
        """The copy of its catalogue."""
        return self.folder / "copies" / "catalogue.sqlite"

    def open(self) -> Store:
        """The store."""
        return Store(self.store, create=True)


@dataclass(frozen=True)
class Operation:
    """One command. ``source`` is what it ingests or takes back, ``other`` what it replaces, both paths.

    ``alone``: nothing runs beside it, so that a sweep may remove what was replaced. ``compact``: of an ingest. ``day``:
    the first that a retention keeps.
    """

    kind: str
    stream: str
    source: str = ""
    other: str = ""
    key: Key = ""
    alone: bool = True
    compact: bool = True
    day: int = 0

    def actions(self) -> list[Action]:
        """What it commits, in its order."""
        match self.kind:
            case "ingest":
                return [Action("add", self.source)]
            case "ingest --replace":
                return [Action("replace", self.source, self.other)]
            case "undo":
                return [Action("undo", self.source)]
            case "erase key":
                return [Action("note", self.key), Action("remove", self.key)]
            case "erase stream":
                return [Action("clear")]
            case "retain":
                return [Action("retire", self.day)]
            case "query":
                return [Action("ask")]
            case "compact":
                return [Action("nothing")]
            case _:
                return []

    def run(self, world: World) -> str:
        """Do it; returns the outcome, as the model names it."""
        with world.open() as store:
            try:
                return _DO[self.kind](store, self, world)
            except QueryError:
                return "refused"
            except IngestError as error:
                if "replaces nothing" not in str(error):
                    raise
                return "refused"


def _ingest(store: Store, it: Operation, world: World) -> str:
    rules = world.rules[it.stream]
    for _ in range(_SWEPT):
        try:
            (done,) = store.ingest(
                it.stream, it.source, key="k", time="ts", unit="s", duplicates=rules.duplicates, type=TYPES,
                id="id" if rules.id else None, progress=False, compact=it.compact, replace=it.other or False,
            ).sources  # fmt: skip
        except AttemptSwept:
            continue
        return done.status.split(" ")[0]
    raise AssertionError("it was swept all the time")


def _undo(store: Store, it: Operation, world: World) -> str:
    return "undone" if store.undo(it.stream, it.source).sources else "refused"


def _erase_key(store: Store, it: Operation, world: World) -> str:
    store.erase(it.stream, it.key)
    return "done"


def _erase_stream(store: Store, it: Operation, world: World) -> str:
    store.erase(it.stream)
    return "done"


def _retain(store: Store, it: Operation, world: World) -> str:
    done = store.retain(it.stream, before=day_name(it.day))
    if done.day > it.day and (done.rows, done.files, done.carried) != (0, 0, 0):
        raise AssertionError(f"a retention below the floor has done something: {done}")
    return f"kept from {done.day} on"


def _compact(store: Store, it: Operation, world: World) -> str:
    store.compact(it.stream, progress=False)
    return "done"


def _optimize(store: Store, it: Operation, world: World) -> str:
    for _ in store.optimize(progress=False):
        pass
    return "done"


def _sweep(store: Store, it: Operation, world: World) -> str:
    clock = time.time_ns() // 1000 + (LATER if it.alone else 0)
    rules = SweepRules() if it.alone else SweepRules(orphan_age=0)
    sweep(
        store.objects, store.catalogue, allow_many=True, rules=rules, clock=lambda: clock,
        states_of=lambda stream: store.kept_of(stream)[0],
    )  # fmt: skip
    return "done"


def _backup(store: Store, it: Operation, world: World) -> str:
    if not (world.store / "catalogue.sqlite").exists():
        return "refused"
    store.backup(world.copy, force=True)
    return "done"


def _query(store: Store, it: Operation, world: World) -> str:
    with suppress(QueryError):  # the floor may be raised meanwhile
        lasting(store, it.stream)  # which may keep a snapshot of last values
    return answer(store, it.stream, publish=True)


_DO: dict[str, Callable[[Store, Operation, World], str]] = {
    "ingest": _ingest,
    "ingest --replace": _ingest,
    "undo": _undo,
    "erase key": _erase_key,
    "erase stream": _erase_stream,
    "retain": _retain,
    "compact": _compact,
    "optimize": _optimize,
    "sweep": _sweep,
    "backup": _backup,
    "query": _query,
}
KINDS = tuple(_DO)
"""Of operations."""


def _totals(stream: str) -> Stream:
    x = "x"
    return (
        df.stream(stream).group_by("k").agg(n=df.count(), total=df.sum(x), first=df.first(x), last=df.last(x)).sort("k")
    )


def answer(store: Store, stream: str, publish: bool) -> str:
    """The answer to the campaign's query, published or not, as ``kills_model.answered`` gives it."""
    metric = _totals(stream)
    try:
        if publish:
            store.publish(metric, f"totals-{stream}")
        found = store.query(f"totals-{stream}" if publish else metric, progress=False)
    except GraphError:
        return "[]"  # a stream that was erased, and of which no later source had a point, has no columns
    return json.dumps(found.to_dict()["rows"])


def lasting(store: Store, stream: str) -> dict[tuple[Key, str], int]:
    """For how many seconds each key had each value of ``t`` from the floor on, as ``kills_model.lasting`` says."""
    metric = df.stream(stream).state_duration("t").group_by("k", "t").agg(up=df.known_time())
    begin = max(BEGIN, (store.catalogue.snapshot(stream).floor or 0) * DAY)
    try:
        found = store.query(metric, begin * 1_000_000, END * 1_000_000, progress=False)
    except GraphError:
        return {}
    rows: list[tuple[Key, str, int]] = found.to_dict()["rows"]
    return {(key, value): up // 1_000_000 for key, value, up in rows if up}


@dataclass(frozen=True)
class Seen:
    """A stream as another process sees it: its floor, sources in the order of their commits, points by key, the
    answers."""

    floor: int
    live: list[str]
    points: dict[Key, list[Row]]
    answer: str
    lasting: dict[tuple[Key, str], int]


@dataclass(frozen=True)
class Sight:
    """A store as another process sees it: its streams, what is wrong with it, files that nothing explains, texts."""

    streams: dict[str, Seen]
    problems: list[str]
    left: list[str]
    texts: set[str]


def look(world: World, to: Path, after_sweep: bool) -> str:
    """Write the ``Sight`` of a store to a file."""
    left: list[str] = []
    texts: set[str] = set()
    with world.open() as store:
        streams = {name: _seen(store, name) for name in store.catalogue.streams()}
        report = store.verify()
        problems = [] if report.ok else [str(report)]
        problems += _copy_problems(world, store)
        for name in streams:
            floor = (store.catalogue.snapshot(name).floor or 0) * DAY * 1_000_000
            across = [file.path for file in store.files(name) if file.t_min < floor <= file.t_max]
            problems += [f"{path} has points on both sides of the floor" for path in across]
        explained = {file.path for name in streams for file in store.files(name)}
        entries = [entry for name in streams for entry in store.catalogue.sources(name)]
        explained |= {entry.rejects_path for entry in entries if entry.rejects_path is not None}
        if after_sweep:
            texts = held(store)
    if after_sweep:
        copies = {world.copy.name, f"{world.copy.name}-head"}
        left = [f"copies/{path.name}" for path in world.copy.parent.glob("*") if path.name not in copies]
        files = [path.relative_to(world.store).as_posix() for path in world.store.rglob("*") if path.is_file()]
        left += [path for path in files if path not in explained and not _OURS.fullmatch(path)]
        left += [f"{path} is missing" for path in explained if path not in files]
    to.write_bytes(pickle.dumps(Sight(streams, problems, left, texts)))
    return "done"


_OURS = re.compile(
    r"catalogue\.sqlite(-head)?|queries/[\w-]+/\d+\.json|cache/[0-9a-f]+/[0-9a-f]+/\d+-\d+-[0-9a-f]+"
    r"|carry/\w+/writable|carry/\w+/[0-9a-f]+/\d+-[0-9a-f]+(\.[\w.-]+\.points)?"
)


def _seen(store: Store, stream: str) -> Seen:
    sources = [s for s in reversed(store.sources(stream)) if not s.entry.undone]
    found: dict[Key, list[Row]] = {}
    if store.catalogue.snapshot(stream).first_time is not None:
        path = Path(store.url).parent / "export.ndjson"
        store.export(stream, path, force=True, progress=False)
        for line in path.read_bytes().splitlines():
            row: dict[str, Any] = json.loads(line)
            at = int(datetime.fromisoformat(row["ts"]).timestamp())
            found.setdefault(row["k"], []).append(Row(row["k"], at, row["x"], row["n"], row.get("t"), row.get("id")))
    floor = store.catalogue.snapshot(stream).floor or 0
    live = [s.entry.name for s in sources]
    return Seen(floor, live, found, answer(store, stream, publish=False), lasting(store, stream))


def _copy_problems(world: World, store: Store) -> list[str]:
    """What is wrong with the copy of the catalogue; a copy without its head was never finished."""
    if not world.copy.exists() or not world.copy.with_name(f"{world.copy.name}-head").exists():
        return []
    with SqliteCatalogue(world.copy) as copy:
        problems = copy.problems()
        for stream in copy.streams():
            problems += copy.audit(stream)
            if copy.snapshot(stream).seq > store.catalogue.snapshot(stream).seq:
                problems.append(f"{stream} has commits that its store does not have")
    return [f"the copy of the catalogue: {problem}" for problem in problems]
