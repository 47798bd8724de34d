"""TSBS IoT: all twelve questions, on every row, against plain Python over the same rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from deploy.metric_file import load_metric
from runtime import Store
from tests.suites.trucks import LATE, MISSING, MODELS, NULL, START, Row, Trucks, trucks

EXAMPLE = Path(df.__file__).parent / "examples" / "tsbs_iot.py"
HOUR, DAY, BUCKET = 3600, 86_400, 600
STEPS = 16 * 3 * 1440

Answer = dict[tuple[Any, ...], tuple[Any, ...]]


@pytest.fixture(scope="module")
def fleet() -> Trucks:
    return trucks(seed=7)


@pytest.fixture(scope="module")
def store(fleet: Trucks, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("tsbs")
    made = Store(folder / "store", create=True)
    for stream, rows in (("readings", fleet.readings), ("diagnostics", fleet.diagnostics)):
        # Late rows come in other files than their neighbours.
        for i in range(3):
            path = folder / f"{stream}-{i}.ndjson"
            part = rows[i * len(rows) // 3 : (i + 1) * len(rows) // 3]
            path.write_text("".join(json.dumps(row) + "\n" for row in part))
            made.ingest(stream, str(path), key="name", time="ts", unit="s", progress=False)
    return made


def test_the_data_are_as_irregular_as_they_should_be(fleet: Trucks) -> None:
    for rows in (fleet.readings, fleet.diagnostics):
        assert len(rows) / STEPS == pytest.approx(1 - MISSING, abs=0.01)
        newest, late = 0, 0
        for row in rows:
            late += row["ts"] < newest
            newest = max(newest, row["ts"])
        assert late / len(rows) == pytest.approx(LATE, abs=0.03)
        fields = {name for row in rows for name in row} - {"name", "ts"}
        for name in fields:
            assert sum(name not in row for row in rows) / len(rows) == pytest.approx(NULL, abs=0.01)


# --- the questions again, in plain Python ------------------------------------------------------------------------


_ORDERED: dict[int, tuple[list[Row], dict[str, list[Row]]]] = {}
"""What ``in_order`` made of lists of rows, which most questions ask for again."""


def in_order(rows: list[Row]) -> dict[str, list[Row]]:
    """Every truck's rows by time (no two of a truck have the same), with fleet and model as last reported."""
    if id(rows) not in _ORDERED:
        trucks: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda r: r["ts"]):
            before = trucks[row["name"]][-1] if trucks[row["name"]] else {}
            trucks[row["name"]].append({**{n: before.get(n) for n in ("fleet", "model")}, **row})
        _ORDERED[id(rows)] = rows, trucks
    return _ORDERED[id(rows)][1]


def ranged(rows: list[Row], since: int, until: int) -> dict[str, list[Row]]:
    """The rows of the range, which remember what was reported before it."""
    found = {n: [r for r in part if since <= r["ts"] < until] for n, part in in_order(rows).items()}
    return {n: part for n, part in found.items() if part}


def mean(values: list[float]) -> float | None:
    return float(sum(map(Fraction, values)) / len(values)) if values else None


def last(rows: list[Row], *names: str) -> tuple[Any, ...]:
    found = [tuple(row[n] for n in names) for row in rows if all(n in row for n in names)]
    return found[-1] if found else (None,) * len(names)


def by_bucket(rows: list[Row], since: int, until: int) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if since <= row["ts"] < until:
            found[row["ts"] // BUCKET * BUCKET].append(row)
    return found


def velocities(fleet: Trucks, since: int, until: int) -> dict[str, dict[int, float]]:
    """The mean velocity of every truck in every ten minutes in which it reported one."""
    out: dict[str, dict[int, float]] = {}
    for name, rows in in_order(fleet.readings).items():
        means = {
            b: mean([r["velocity"] for r in part if "velocity" in r])
            for b, part in by_bucket(rows, since, until).items()
        }
        out[name] = {b: v for b, v in means.items() if v is not None}
    return out


def last_location(fleet: Trucks, since: int, until: int) -> Answer:
    return {(n,): last(rows, "latitude", "longitude") for n, rows in ranged(fleet.readings, since, until).items()}


def low_fuel(fleet: Trucks, since: int, until: int) -> Answer:
    found = {(n,): last(rows, "fuel_state") for n, rows in ranged(fleet.diagnostics, since, until).items()}
    return {n: v for n, v in found.items() if v[0] is not None and v[0] < 0.1}


def loads(rows: list[Row]) -> list[Row]:
    """Rows with the share of what the truck can carry, where both are known."""
    known = [r for r in rows if r["model"] is not None and "current_load" in r]
    return [{**r, "share": r["current_load"] / MODELS[r["model"]][0]} for r in known]


def high_load(fleet: Trucks, since: int, until: int) -> Answer:
    found = {(n,): last(loads(rows), "share") for n, rows in ranged(fleet.diagnostics, since, until).items()}
    return {n: v for n, v in found.items() if v[0] is not None and v[0] > 0.9}


def mean_load(fleet: Trucks, since: int, until: int) -> Answer:
    shares: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for rows in ranged(fleet.diagnostics, since, until).values():
        for row in rows:
            shares[row["fleet"], row["model"]] += [r["share"] for r in loads([row])]
    return {group: (mean(values),) for group, values in shares.items()}


def stationary(fleet: Trucks, since: int, until: int) -> Answer:
    found = velocities(fleet, since, until)
    return {(n, b * 1_000_000): (v,) for n, means in found.items() for b, v in means.items() if v < 1}


def driving(fleet: Trucks, since: int, until: int) -> dict[str, list[int]]:
    found = velocities(fleet, since, until)
    return {n: sorted(b for b, v in means.items() if v > 1) for n, means in found.items() if max(means.values()) > 1}


def long_driving(fleet: Trucks, since: int, until: int) -> Answer:
    return {(n,): (len(b),) for n, b in driving(fleet, since, until).items() if len(b) > 22}


def long_daily(fleet: Trucks, since: int, until: int) -> Answer:
    return {(n,): (len(b),) for n, b in driving(fleet, since, until).items() if len(b) > 60}


def consumption(fleet: Trucks, since: int, until: int) -> Answer:
    rows = [r for part in ranged(fleet.readings, since, until).values() for r in part if r.get("velocity", 0) > 1]
    out: Answer = {}
    for name in {r["fleet"] for r in rows}:
        mine = [r for r in rows if r["fleet"] == name]
        nominal = [MODELS[r["model"]][1] for r in mine if r["model"] is not None]
        out[name,] = (mean([r["fuel_consumption"] for r in mine if "fuel_consumption" in r]), mean(nominal))
    return out


def days_of(buckets: list[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for b in buckets:
        found[b // DAY * DAY * 1_000_000].append(b)
    return found


def daily_driving(fleet: Trucks, since: int, until: int) -> Answer:
    out: Answer = {}
    for name, buckets in driving(fleet, since, until).items():
        hours = [len(part) / 6 for part in days_of(buckets).values()]
        out[name,] = (len(hours), mean(hours))
    return out


def daily_sessions(fleet: Trucks, since: int, until: int) -> Answer:
    out: Answer = {}
    for name, buckets in driving(fleet, since, until).items():
        runs: list[list[int]] = []
        for b in buckets:
            if runs and b - runs[-1][-1] == BUCKET:
                runs[-1].append(b)
            else:
                runs.append([b])
        for day, starts in days_of([run[0] for run in runs]).items():
            lengths = [(run[-1] - run[0] + BUCKET) * 1_000_000 for run in runs if run[0] in starts]
            out[name, day] = (len(lengths), round(Fraction(sum(lengths), len(lengths))))
    return out


def statuses(fleet: Trucks, since: int, until: int) -> Iterable[tuple[str, int, Row, list[int]]]:
    """Truck, bucket, its first row and all statuses, in order."""
    for name, rows in in_order(fleet.diagnostics).items():
        for b, part in sorted(by_bucket(rows, since, until).items()):
            yield name, b, part[0], [r["status"] for r in part if "status" in r]


def daily_activity(fleet: Trucks, since: int, until: int) -> Answer:
    found: dict[tuple[Any, ...], int] = defaultdict(int)
    for _, b, first, levels in statuses(fleet, since, until):
        if levels and sum(levels) / len(levels) < 1:
            found[first["fleet"], first["model"], b // DAY * DAY * 1_000_000] += 1
    return {group: (n, n / 144) for group, n in found.items()}


def breakdowns(fleet: Trucks, since: int, until: int) -> Answer:
    edges: dict[Any, int] = defaultdict(int)
    names: dict[Any, set[str]] = defaultdict(set)
    was: dict[str, bool] = {}
    for name, _, first, levels in statuses(fleet, since, until):
        edges[first["model"]] += 0
        names[first["model"]].add(name)
        if levels:
            broken = 2 * sum(level > 0 for level in levels) >= len(levels)
            edges[first["model"]] += broken and was.get(name) is False
            was[name] = broken
    return {(model,): (n, len(names[model])) for model, n in edges.items()}


QUESTIONS: list[tuple[Callable[[Trucks, int, int], Answer], int, int]] = [
    (last_location, 5 * HOUR, 2 * DAY),
    (low_fuel, 5 * HOUR, 2 * DAY),
    (high_load, 5 * HOUR, 2 * DAY),
    (stationary, 30 * HOUR, 30 * HOUR + BUCKET),
    (stationary, 0, 3 * DAY),
    (long_driving, 10 * HOUR, 14 * HOUR),
    (long_daily, DAY, 2 * DAY),
    (consumption, 5 * HOUR, 2 * DAY),
    (daily_driving, 0, 3 * DAY),
    (daily_sessions, 0, 3 * DAY),
    (mean_load, 5 * HOUR, 2 * DAY),
    (daily_activity, 0, 3 * DAY),
    (breakdowns, 0, 3 * DAY),
]


_ANSWERS: dict[tuple[str, int, int], Answer] = {}
"""What is right, for any number of workers."""


@pytest.mark.parametrize(("question", "first", "end"), QUESTIONS, ids=lambda v: getattr(v, "__name__", str(v)))
@pytest.mark.parametrize("workers", [1, 3])
def test_questions(
    store: Store, fleet: Trucks, question: Callable[[Trucks, int, int], Answer], first: int, end: int, workers: int
) -> None:
    since, until = START + first, START + end
    asked = question.__name__, since, until
    expected = _ANSWERS[asked] = _ANSWERS.get(asked) or question(fleet, since, until)
    assert expected, "a question that nothing answers tests nothing"
    metric = load_metric(f"{EXAMPLE}:{question.__name__}")
    micros = {"since": since * 1_000_000, "until": until * 1_000_000}
    result = store.query(metric, **micros, workers=workers, progress=False)  # type: ignore[arg-type]
    columns = [c.to_list() for c in result.columns.values()]
    keys = len(next(iter(expected)))
    got = {row[:keys]: row[keys:] for row in zip(*columns, strict=True)}
    assert len(got) == len(result)
    assert got == expected
