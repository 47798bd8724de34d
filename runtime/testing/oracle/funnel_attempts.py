"""Funnels: every attempt of a key on its own, and which of them count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.lasting import Scope, last_reported
from runtime.testing.oracle.rows import Json, Row, Table, Value

SECOND = 1_000_000


@dataclass(frozen=True)
class _Moment:
    """Rows of a key whose order does not matter: their time, the steps and exclusions that they meet, and the last of
    them."""

    time: int
    steps: set[int]
    excluded: set[int]
    last: int


@dataclass(frozen=True)
class _Attempt:
    """Which step it met when, in the order of time, and the numbers of its first moment and of its last one."""

    met: dict[int, int]
    first: int
    last: int

    @property
    def start(self) -> int:
        """When it started."""
        return next(iter(self.met.values()))


def funnel(step: Json, table: Table, scope: Scope) -> Table:
    """Try every attempt of a key, and keep those that count."""
    n, in_order = len(step["steps"]), step["mode"] != "any_order"
    met = [evaluate(condition, table, scope.params) for condition in step["steps"]]
    out = [evaluate(exclusion["where"], table, scope.params) for exclusion in step.get("exclude", [])]
    index = {id(row): i for i, row in enumerate(table.rows)}
    rows: list[Row] = []
    for points in table.by_key():
        held = {c: last_reported([point.values[c] for point in points]) for c in scope.held}
        mine = [(i, point) for i, point in enumerate(points) if point.time >= scope.since]
        for session in _sessions(mine, step.get("gap")):
            moments: list[_Moment] = []
            for i, point in session:
                at = index[id(point)]
                time = point.time // SECOND * SECOND if step["mode"] == "any" else point.time
                steps = {j for j in range(n) if met[j][at] is True}
                excluded = {x for x, values in enumerate(out) if values[at] is True}
                if moments and moments[-1].time == time and step["mode"] != "ordered":
                    before = moments.pop()
                    steps, excluded = steps | before.steps, excluded | before.excluded
                moments.append(_Moment(time, steps, excluded, i))
            for attempt, entry in _counted(step, moments):
                times = list(attempt.met.values())
                values: dict[str, Value] = {scope.key: points[0].key, "start": times[0], "end": times[-1]}
                values |= {"duration": times[-1] - times[0], "steps": len(times)}
                values |= {f"step_{j + 1}": attempt.met.get(j) for j in range(int(in_order), n)}
                if not in_order:
                    values |= {f"reached_{j + 1}": times[j] if j < len(times) else None for j in range(1, n)}
                if entry is not None:
                    values["entry"] = entry
                values |= {c: held[c][moments[attempt.first].last] for c in scope.held}
                rows.append(Row(points[0].key, times[0], len(rows), values, times[-1]))
    return Table("sessions", rows, own_types(step, table.types[scope.key], scope.key) | {
        c: table.types[c] for c in scope.held
    })  # fmt: skip


def own_types(step: Json, key_type: str | None, key: str) -> dict[str, str | None]:
    """The columns of a funnel's rows, apart from those that it holds."""
    n, in_order = len(step["steps"]), step["mode"] != "any_order"
    own: dict[str, str | None] = {key: key_type, "start": "time", "end": "time", "duration": "duration"}
    own |= {"steps": "int64"} | {f"step_{j}": "time" for j in range(2 if in_order else 1, n + 1)}
    own |= {} if in_order else {f"reached_{j}": "time" for j in range(2, n + 1)}
    return own | ({"entry": "time"} if "every" in step else {})


def _sessions(points: list[tuple[int, Row]], gap: int | None) -> Iterator[list[tuple[int, Row]]]:
    """The points in runs at most ``gap`` apart."""
    run: list[tuple[int, Row]] = []
    for point in points:
        if gap is not None and run and point[1].time - run[-1][1].time > gap:
            yield run
            run = []
        run.append(point)
    yield run


def _counted(step: Json, moments: list[_Moment]) -> Iterator[tuple[_Attempt, int | None]]:
    """The attempts that make rows, each with the begin of its bucket of entry."""
    attempts = [_attempt(step, moments, i) for i, m in enumerate(moments) if _may_start(step, m)]
    if step.get("count") == "all":
        used = -1
        while True:
            done = [a for a in attempts if a.first > used and len(a.met) == len(step["steps"])]
            if not done:
                return
            # The first to be complete; of those the one that starts last.
            chosen = min(done, key=lambda a: (a.last, -a.first))
            used = chosen.last
            yield chosen, None
    entries: dict[int | None, list[_Attempt]] = {}
    for attempt in attempts:
        entry = bucket(attempt.start, step["every"], step.get("zone", "UTC"))[0] if "every" in step else None
        entries.setdefault(entry, []).append(attempt)
    for entry, entered in entries.items():
        yield max(entered, key=lambda a: (len(a.met), a.first)), entry


def _may_start(step: Json, moment: _Moment) -> bool:
    return bool(moment.steps) if step["mode"] == "any_order" else 0 in moment.steps


def _attempt(step: Json, moments: list[_Moment], first: int) -> _Attempt:
    return _in_any_order(step, moments, first) if step["mode"] == "any_order" else _in_order(step, moments, first)


def _in_order(step: Json, moments: list[_Moment], first: int) -> _Attempt:
    """The attempt that starts at this moment and meets each step as early as it can."""
    start, windows = moments[first].time, step["within"]
    met, at = {0: start}, [first]
    for j in range(1, len(step["steps"])):
        candidates = range(at[-1] if step["mode"] == "any" else at[-1] + 1, len(moments))
        found = next((i for i in candidates if j in moments[i].steps), None)
        if found is None:
            break
        if isinstance(windows, list):
            near = moments[found].time - met[j - 1] <= windows[j - 1]
        else:
            near = moments[found].time - start <= windows
        ended = any(
            e["after"] <= j < e["before"] and x in moments[i].excluded
            for x, e in enumerate(step.get("exclude", []))
            if e["after"] <= len(at)
            for i in range(at[e["after"] - 1] + 1, found)
        )
        if not near or ended:
            break
        met[j] = moments[found].time
        at.append(found)
    return _Attempt(met, first, at[-1])


def _in_any_order(step: Json, moments: list[_Moment], first: int) -> _Attempt:
    """The attempt that starts at this moment and meets each step as early as it can."""
    start, met, last = moments[first].time, dict[int, int](), first
    for i in range(first, len(moments)):
        if moments[i].time - start > step["within"]:
            break
        new = sorted(moments[i].steps - set(met))
        if new:
            met |= dict.fromkeys(new, moments[i].time)
            last = i
        if i > first and moments[i].excluded:
            break
    return _Attempt(met, first, last)


def funnel_table(step: Json, table: Table, scope: Scope) -> Table:
    """For each group of a funnel's rows, and each step, the rows that met it."""
    by = [evaluate(entry["expr"], table, scope.params) for entry in step["by"]]
    groups: dict[tuple[Value, ...], list[Row]] = {} if by else {(): []}
    for i, row in enumerate(table.rows):
        groups.setdefault(tuple(values[i] for values in by), []).append(row)
    rows = []
    for group in sorted(groups, key=lambda g: [(v is not None, v) for v in g]):
        names = {entry["name"]: value for entry, value in zip(step["by"], group, strict=True)}
        before: list[Row] = []
        for n in range(1, step["steps"] + 1):
            met = [row for row in groups[group] if row.values["steps"] >= n]  # type: ignore[operator]
            values: dict[str, Value] = names | {"step": n, "keys": len(met)}
            values["share_of_first"] = len(met) / len(groups[group]) if groups[group] else None
            values["share_of_previous"] = len(met) / len(before) if before else None
            took = sorted(_took(row, n, "any_order" in step) for row in met) if n > 1 else []
            values["median_time"] = took[(len(took) - 1) // 2] if took else None
            rows.append(Row(None, 0, 0, values))
            before = met
    types = {entry["name"]: type_of(entry["expr"], table.types) for entry in step["by"]}
    types |= {"step": "int64", "keys": "int64", "share_of_first": "float64", "share_of_previous": "float64"}
    return Table("plain", rows, types | {"median_time": "duration"})


def _took(row: Row, n: int, any_order: bool) -> int:
    name = "reached" if any_order else "step"
    times: list[Any] = [row.values["start"], *(row.values[f"{name}_{j}"] for j in range(2, n + 1))]
    return int(times[-1] - times[-2])
