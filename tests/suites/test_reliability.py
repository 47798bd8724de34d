"""Reliability of recorded radio nodes: every row against DuckDB over the same files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dataflow as df
from deploy.metric_file import load_metric
from runtime import Store
from runtime.testing.oracle.oracle_zones import zone

EXAMPLE = Path(df.__file__).parent / "examples" / "mesh_reliability.py"
SPAN = {"since": "2026-05-01", "until": "2026-08-01"}

# One row a beat: alive on [lo, up), known on [lo, hi), by the model last reported; what follows is the next beat.
BEATS = """
create table beats as
with points as (
    select node, epoch_us(cast(ts as timestamptz)) t,
           last_value(hw_model ignore nulls) over (partition by node order by ts rows unbounded preceding) model
    from (select distinct node, ts, hw_model from read_json('{folder}/mesh-heartbeats-*.ndjson.gz',
          format='newline_delimited', columns={{node: 'VARCHAR', ts: 'VARCHAR', hw_model: 'VARCHAR'}}))),
r as (select epoch_us(timestamptz '2026-05-01 00:00:00+00') a, epoch_us(timestamptz '2026-08-01 00:00:00+00') e),
g as (select node, t, model, coalesce(lead(t) over (partition by node order by t), 9000000000000000000) nx from points)
select node, model, greatest(t, a) lo, least(nx, e) hi, greatest(least(t + 900000000, nx, e), greatest(t, a)) up,
       t + 900000000 < nx and t + 900000000 > a and t + 900000000 < e fails
from g, r where t < e and nx > a and greatest(t, a) < least(nx, e)
"""

# The numbers of nodes that are alive and that are known, by model, between their edges.
COUNTS = """
create table counts as
with edges as (
    select model, lo t, 1 known, case when up > lo then 1 else 0 end alive from beats
    union all select model, hi, -1, 0 from beats
    union all select model, up, 0, -1 from beats where up > lo),
steps as (select model, t, sum(known) known, sum(alive) alive from edges group by 1, 2)
select model, t lo, lead(t) over w hi,
       sum(known) over w known, sum(alive) over w alive
from steps window w as (partition by model order by t)
"""


@pytest.fixture(scope="module")
def store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("mesh"), create=True)
    files = sorted(map(str, shared_data.glob("mesh-heartbeats-*.ndjson.gz")))
    made.ingest("mesh", *files, key="node", time="ts", unit="iso", duplicates="exact", progress=False)
    return made


@pytest.fixture(scope="module")
def duck(shared_data: Path) -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("set timezone = 'UTC'; set threads = 1")
    made.execute(BEATS.format(folder=shared_data))
    made.execute(COUNTS)
    return made


def ask(store: Store, name: str) -> list[tuple[Any, ...]]:
    result = store.query(load_metric(f"{EXAMPLE}:{name}"), **SPAN, progress=False)  # type: ignore[arg-type]
    return list(zip(*(c.to_list() for c in result.columns.values()), strict=True))


def test_mtbf(store: Store, duck: duckdb.DuckDBPyConnection) -> None:
    expected = duck.execute("""
        with s as (select model, cast(sum(up - lo) as bigint) up, cast(sum(hi - up) as bigint) down,
                          count(*) filter (fails) failures from beats group by 1)
        select model, up, down, failures, up // nullif(failures, 0), down // nullif(failures, 0)
        from s order by model nulls first""").fetchall()
    assert sum(row[3] for row in expected) > 1000
    assert ask(store, "mtbf") == expected


def test_most_alive(store: Store, duck: duckdb.DuckDBPyConnection) -> None:
    expected = duck.execute("""
        select model, cast(max(alive) as bigint), cast(max(known) as bigint) from counts
        where known > 0 group by 1 order by model nulls first""").fetchall()
    assert max(row[1] for row in expected) > 10
    assert ask(store, "most_alive") == expected


def test_three_alive_by_month(store: Store, duck: duckdb.DuckDBPyConnection) -> None:
    # Neighbours that say the same are one interval; then months cut them.
    expected = duck.execute("""
        with s as (select model, lo, hi, alive >= 3 state from counts where known > 0),
        n as (select *, case when lag(state) over w = state and lag(hi) over w = lo then 0 else 1 end new_
              from s window w as (partition by model order by lo)),
        i as (select *, sum(new_) over (partition by model order by lo) number from n),
        whole as (select model, number, state, min(lo) lo, max(hi) hi from i group by 1, 2, 3),
        months as (select epoch_us(m) a, epoch_us(m + interval 1 month) e
                   from generate_series(timestamp '2026-05-01', timestamp '2026-07-01', interval 1 month) g(m)),
        cut as (select model, a, state, least(hi, e) - greatest(lo, a) d from whole, months where lo < e and hi > a)
        select model, a, cast(coalesce(sum(d) filter (state), 0) as bigint), cast(sum(d) as bigint),
               count(*) filter (not state), max(d) filter (not state)
        from cut group by 1, 2 order by model nulls first, a""").fetchall()
    exact = [(model, month, up / known, known, *rest) for model, month, up, known, *rest in expected]
    assert any(0 < row[2] < 1 for row in exact)
    assert ask(store, "three_alive_by_month") == exact


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def promised() -> list[tuple[int, int]]:
    """The service hours, day by day, in microseconds UTC."""
    berlin = zone("Europe/Berlin")
    holidays = {"2026-05-01", "2026-05-14", "2026-05-25", "2026-06-04"}
    out = []
    for n in range(92):
        day = datetime(2026, 5, 1) + timedelta(days=n)
        if f"{day:%Y-%m-%d}" in holidays or day.weekday() == 6:
            continue
        first, last = (8, 18) if day.weekday() < 5 else (9, 12)
        a, b = (day.replace(hour=h, tzinfo=berlin).timestamp() for h in (first, last))
        out.append((int(a) * 1_000_000, int(b) * 1_000_000))
    return out


UPDATES = [
    ("HELTEC_V3", "2026-05-05T10:00", "2026-05-05T14:30"),
    ("HELTEC_V3", "2026-06-16", "2026-06-17T12:00"),
    ("RAK4631", "2026-06-20T08:30", "2026-06-23"),
    ("TBEAM", "2026-07-07T06:00", "2026-07-08T06:00"),
]


def test_service_uptime(store: Store, duck: duckdb.DuckDBPyConnection) -> None:
    models = [m for (m,) in duck.execute("select distinct model from beats").fetchall()]
    hours = []
    for model in models:
        gone = [(micros(a), micros(b)) for m, a, b in UPDATES if m == model]
        for a, b in promised():
            edges = sorted({a, b, *(t for span in gone for t in span if a < t < b)})
            for lo, hi in pairwise(edges):
                if not any(x <= lo < y for x, y in gone):
                    hours.append((model, lo, hi))
    duck.execute("create table hours (model varchar, a bigint, e bigint)")
    duck.executemany("insert into hours values (?, ?, ?)", hours)
    expected = duck.execute("""
        select beats.model, cast(sum(greatest(least(up, e) - greatest(lo, a), 0)) as bigint),
               cast(sum(least(hi, e) - greatest(lo, a)) as bigint), count(distinct node)
        from beats join hours on beats.model is not distinct from hours.model and lo < e and hi > a
        group by 1 order by 1 nulls first""").fetchall()
    assert len(expected) > 30
    got = ask(store, "service_uptime")
    assert got == [(model, up / known, known, nodes) for model, up, known, nodes in expected]
