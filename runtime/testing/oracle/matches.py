"""Patterns of rows, by brute force: every way in which some rows fit a pattern is written out, and one is chosen.

A *reading* of rows lists the place in the pattern that each of them takes. A place is a tuple that says which part of
the pattern, and which time of a repetition it is; places in the order of the text ascend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from runtime.testing.oracle.expressions import evaluate
from runtime.testing.oracle.lasting import Scope, last_reported
from runtime.testing.oracle.rows import Json, Row, Table, Value

Place = tuple[Any, ...]
"""Where in the pattern, ending with the name of a condition, or ``.``."""

Reading = tuple[Place, ...]


# ---- the pattern: ("row", name), ("all", parts), ("one", options), ("many", part, low, high)


def _parsed(text: str) -> Any:
    tokens = re.findall(r"\w+|[.()|?*+]|\{[^}]*\}", text)

    def options() -> Any:
        found = [parts()]
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            found.append(parts())
        return ("one", found)

    def parts() -> Any:
        found = []
        while tokens and tokens[0] not in ("|", ")"):
            token = tokens.pop(0)
            if token == "(":
                part = options()
                tokens.pop(0)
            else:
                part = ("row", token)
            if tokens and tokens[0][0] in "?*+{":
                part = ("many", part, *_bounds(tokens.pop(0)))
            found.append(part)
        return ("all", found)

    return options()


def _bounds(token: str) -> tuple[int, int | None]:
    if token in ("?", "*", "+"):
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[token]
    low, comma, high = token[1:-1].partition(",")
    return int(low or 0), (int(high) if high.strip() else None) if comma else int(low)


def _readings(part: Any, at: Place, room: int) -> Iterator[Reading]:
    """All that a part of the pattern can be read as, in at most ``room`` rows."""
    kind = part[0]
    if kind == "row":
        if room > 0:
            yield ((*at, part[1]),)
    elif kind == "one":
        for i, option in enumerate(part[1]):
            yield from _readings(option, (*at, i), room)
    elif kind == "all":
        yield from _in_turn(part[1], at, 0, room)
    else:
        yield from _times(part, at, 0, room)


def _in_turn(parts: list[Any], at: Place, i: int, room: int) -> Iterator[Reading]:
    if i == len(parts):
        yield ()
        return
    for first in _readings(parts[i], (*at, i), room):
        for rest in _in_turn(parts, at, i + 1, room - len(first)):
            yield (*first, *rest)


def _times(part: Any, at: Place, done: int, room: int) -> Iterator[Reading]:
    """A repetition, of which ``done`` times are read. Of any number of times, the last that is required repeats."""
    _, inner, low, high = part
    if done >= low:
        yield ()
    if high is not None and done == high:
        return
    number = done if high is not None else min(done, max(low - 1, 0))
    for one in _readings(inner, (*at, number), room):
        if not one and done >= low:
            continue
        for rest in _times(part, at, done + 1, room - len(one)):
            yield (*one, *rest)


@lru_cache
def readings(pattern: str, most: int) -> frozenset[Reading]:
    """Every reading of one to ``most`` rows, whatever conditions they meet."""
    return frozenset(r for r in _readings(_parsed(pattern), (), most) if r)


# ---- matches


@dataclass(frozen=True)
class _Match:
    """The rows from ``start`` on that ``reading`` reads."""

    start: int
    reading: Reading

    @property
    def end(self) -> int:
        return self.start + len(self.reading) - 1


def match(step: Json, table: Table, scope: Scope) -> Table:
    """One row for each match of a key, as ``MEANINGS.md`` says which are chosen."""
    names = [entry["name"] for entry in step["conditions"]]
    met = {n: evaluate(entry["expr"], table, scope.params) for n, entry in zip(names, step["conditions"], strict=True)}
    index = {id(row): i for i, row in enumerate(table.rows)}
    held = [c for c in scope.held if c in table.types]
    of_conditions = [c for c in scope.held if c not in table.types]
    rows = []
    for every in table.by_key():
        reports = {c: last_reported([point.values[c] for point in every]) for c in table.types}
        skipped = sum(point.time < scope.since for point in every)
        points = every[skipped:]
        fits = [{".", *(n for n in names if met[n][index[id(point)]] is True)} for point in points]
        times = [point.time for point in points]
        for found in _matches(step["pattern"], fits, times, step["within"]):
            start, end = times[found.start], times[found.end]
            values: dict[str, Value] = {scope.key: every[0].key, "start": start, "end": end, "duration": end - start}
            values["count"] = len(found.reading)
            taken = {n: [found.start + i for i, p in enumerate(found.reading) if p[-1] == n] for n in names}
            for name, at in taken.items():
                values[f"{name}_first"] = times[at[0]] if at else None
                values[f"{name}_last"] = times[at[-1]] if at else None
                values[f"{name}_count"] = len(at)
            values |= {c: reports[c][skipped + found.start] for c in held}
            for column in of_conditions:
                name, of = column.split(".", 1)
                values[column] = reports[of][skipped + taken[name][-1]] if taken[name] else None
            rows.append(Row(every[0].key, start, 0, values, end))
    types = {scope.key: table.types[scope.key], "start": "time", "end": "time", "duration": "duration"}
    types |= {"count": "int64"}
    types |= {f"{n}_{what}": kind for n in names for what, kind in _MEASURES.items()}
    types |= {c: table.types[c] for c in held}
    types |= {c: table.types[c.split(".", 1)[1]] for c in of_conditions}
    return Table("sessions", rows, types)


_MEASURES = {"first": "time", "last": "time", "count": "int64"}


def _matches(pattern: str, fits: list[set[str]], times: list[int], within: int | None) -> Iterator[_Match]:
    free = 0
    """The first row that a match may begin with."""

    while (found := _first_complete(pattern, fits, times, within, free)) is not None:
        found = _continued(pattern, fits, times, within, found)
        yield found
        free = found.end + 1


def _first_complete(
    pattern: str, fits: list[set[str]], times: list[int], within: int | None, free: int
) -> _Match | None:
    """The match that ends first; of those, the one that begins first, or, if that is too long, the one that begins
    last; of its readings, the one in which the last row takes the first place, and so on backwards."""
    for end in range(free, len(fits)):
        complete = _complete_at(pattern, fits, free, end)
        for one in [min(complete, key=lambda m: m.start), max(complete, key=lambda m: m.start)] if complete else []:
            if within is None or times[end] - times[one.start] <= within:
                return min((m for m in complete if m.start == one.start), key=lambda m: m.reading[::-1])
    return None


def _complete_at(pattern: str, fits: list[set[str]], free: int, end: int) -> list[_Match]:
    """Everything that fits the pattern and ends with this row."""
    return [
        _Match(end - len(reading) + 1, reading)
        for reading in readings(pattern, end - free + 1)
        if all(place[-1] in fits[end - len(reading) + 1 + i] for i, place in enumerate(reading))
    ]


def _continued(pattern: str, fits: list[set[str]], times: list[int], within: int | None, found: _Match) -> _Match:
    """The match with the rows that follow, each at the first place that the pattern allows after the one before; up to
    the last at which it is complete, and not beyond a match of the rows after it."""
    known = readings(pattern, len(fits) + 1)
    after = {(r[i], r[i + 1]) for r in known for i in range(len(r) - 1)}
    last = {r[-1] for r in known}
    other = _first_complete(pattern, fits, times, within, found.end + 1)
    trial = found
    while trial.end + 1 < len(fits):
        at = trial.end + 1
        places = sorted(q for p, q in after if p == trial.reading[-1] and q[-1] in fits[at])
        if not places or (within is not None and times[at] - times[found.start] > within):
            break
        trial = replace(trial, reading=(*trial.reading, places[0]))
        if places[0] in last:
            found = trial
            other = _first_complete(pattern, fits, times, within, found.end + 1)
        elif other is not None and other.end <= at:
            break
    return found
