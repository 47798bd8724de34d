"""The peers: DuckDB over sorted Parquet, and ClickHouse's MergeTree, each with the SQL forms worth trying.

Every question has at least two forms: the one that a person would write, and the fastest one found. All forms are
checked and timed; ratios are taken against the fastest. tests/FIGURES.md lists what was tried and dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import chdb.session
import duckdb
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from tests.benchmarks.data import Shape, Telemetry
from tests.benchmarks.questions import BUCKET_MS, GAP_MS, HOLD_MS, THRESHOLD, TIMEOUT_MS


class Engine(Protocol):
    """What the runner needs of an engine."""

    name: str
    ticks: int
    """Microseconds per unit of the times and durations in its answers."""

    def load(self, telemetry: Telemetry, folder: Path) -> None:
        """Write the rows in this engine's best form below `folder`, and open them."""

    def size(self) -> int:
        """Bytes of that form on disk."""

    def forms(self, question: str) -> tuple[str, ...]:
        """Names of the ways in which this engine can be asked."""

    def run(self, question: str, form: str) -> pa.Table:
        """Ask, and return the whole answer as an Arrow table."""

    def version(self) -> str:
        """The engine's version."""


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_millis(telemetry: Telemetry) -> pa.Table:
    """The rows with `ts` as int64 milliseconds: the narrowest exact form, and faster in both peers than a timestamp."""
    table = telemetry.to_arrow()
    return table.set_column(table.column_names.index("ts"), "ts", pa.array(telemetry.ts // 1_000))


class DuckDBParquet:
    """DuckDB over one Parquet file, sorted by (device, ts): zstd, delta-packed times, dictionaries."""

    name = "duckdb_parquet"
    ticks = 1_000

    def __init__(self, shape: Shape, workers: int) -> None:
        self._until = shape.until // 1_000
        self._workers = workers
        self._sql: dict[str, dict[str, str]] = {}

    def load(self, telemetry: Telemetry, folder: Path) -> None:
        """Write the file and point a view at it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "telemetry.parquet"
        pq.write_table(
            in_millis(telemetry),
            self._path,
            compression="zstd",
            row_group_size=500_000,
            use_dictionary=["device", "status", "firmware", "temp"],
            column_encoding={"ts": "DELTA_BINARY_PACKED"},
        )
        self._db = duckdb.connect()
        self._db.execute(f"SET threads = {self._workers}")
        self._db.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{self._path}')")
        self._sql = _duckdb_sql(self._until, telemetry.devices[len(telemetry.devices) // 2])

    def size(self) -> int:
        """Bytes of the Parquet file."""
        return self._path.stat().st_size

    def forms(self, question: str) -> tuple[str, ...]:
        """See `_duckdb_sql`."""
        return tuple(self._sql[question])

    def run(self, question: str, form: str) -> pa.Table:
        """Run one form."""
        return self._db.sql(self._sql[question][form]).to_arrow_table()

    def version(self) -> str:
        """DuckDB's version."""
        return duckdb.__version__


def _duckdb_sql(until: int, middle: str) -> dict[str, dict[str, str]]:
    # `window`: correct for any order of the rows. `file_order`: windows without PARTITION or ORDER stream over the rows
    # as the file has them; SQL promises nothing about that order, DuckDB keeps it. One half of the devices per thread.
    def halves(columns: str) -> str:
        return " UNION ALL ".join(
            f"(SELECT {columns}, device, ts, lead(ts) OVER () AS nts, lead(device) OVER () AS nd FROM t WHERE {half})"
            for half in (f"device < '{middle}'", f"device >= '{middle}'")
        )

    def window(columns: str) -> str:
        return f"SELECT {columns}, ts, lead(ts) OVER (PARTITION BY device ORDER BY ts) AS nts FROM t"

    uptime = """WITH l AS ({rows}),
        d AS (SELECT firmware, status, least({next} - ts, {hold}) AS d FROM l)
        SELECT firmware, (sum(d) FILTER (status = 'up'))::BIGINT AS up, sum(d)::BIGINT AS known
        FROM d GROUP BY firmware"""
    sessions = """WITH l AS ({rows}), d AS (SELECT {next} - ts AS d FROM l)
        SELECT count(*) FILTER (d IS NULL OR d > {gap}) AS sessions,
        (sum(d) FILTER (d <= {gap}))::BIGINT AS length FROM d"""
    heartbeat = """WITH l AS ({rows}), d AS (SELECT {next} - ts AS d FROM l)
        SELECT sum(least(d, {timeout}))::BIGINT AS alive, sum(d)::BIGINT AS known FROM d"""
    after = f"coalesce(nts, {until})"
    after_in_file = f"CASE WHEN nd = device THEN nts ELSE {until} END"
    same_device = "CASE WHEN nd = device THEN nts END"
    return {
        "uptime": {
            "window": uptime.format(rows=window("firmware, status"), next=after, hold=HOLD_MS),
            "file_order": uptime.format(rows=halves("firmware, status"), next=after_in_file, hold=HOLD_MS),
        },
        "sessions": {
            "window": sessions.format(rows=window("1"), next="nts", gap=GAP_MS),
            "file_order": sessions.format(rows=halves("1"), next=same_device, gap=GAP_MS),
        },
        "heartbeat": {
            "window": heartbeat.format(rows=window("1"), next=after, timeout=TIMEOUT_MS),
            "file_order": heartbeat.format(rows=halves("1"), next=after_in_file, timeout=TIMEOUT_MS),
        },
        "filter_group": {
            "where": f"""SELECT firmware, status, count(*) AS points, avg(temp) AS mean_temp FROM t
                WHERE temp > {THRESHOLD} GROUP BY firmware, status""",
        },
        "device_means": {
            "group": f"""SELECT device, bucket * {BUCKET_MS} AS bucket, mean_temp FROM (
                SELECT device, ts // {BUCKET_MS} AS bucket, avg(temp) AS mean_temp FROM t GROUP BY device, bucket)""",
        },
    }


class ClickHouseMergeTree:
    """ClickHouse (chDB) over a MergeTree ordered by (device, ts), merged into one part."""

    name = "clickhouse_mergetree"
    ticks = 1_000

    def __init__(self, shape: Shape, workers: int) -> None:
        self._until = shape.until // 1_000
        self._workers = workers
        self._sql: dict[str, dict[str, str]] = {}

    def load(self, telemetry: Telemetry, folder: Path) -> None:
        """Create the table, fill it through a Parquet file in a folder of its own, and merge it."""
        folder.mkdir(parents=True, exist_ok=True)
        untyped: Any = chdb.session
        source = folder / "source.parquet"
        pq.write_table(
            in_millis(telemetry), source, compression="none", use_dictionary=["device", "status", "firmware"]
        )
        self._session: Any = untyped.Session(str(folder / "server"))
        self._session.query(f"SET max_threads = {self._workers}, enable_alp_codec = 1")
        self._session.query("CREATE DATABASE bench ENGINE = Atomic")
        self._session.query(
            """CREATE TABLE bench.t (
                device LowCardinality(String), ts Int64 CODEC(Delta, T64, LZ4), status LowCardinality(String),
                firmware LowCardinality(String), temp Float64 CODEC(ALP)
            ) ENGINE = MergeTree ORDER BY (device, ts)
            SETTINGS index_granularity = 32768, min_compress_block_size = 262144"""
        )
        self._session.query(f"INSERT INTO bench.t SELECT * FROM file('{source}', Parquet)")
        self._session.query("OPTIMIZE TABLE bench.t FINAL")
        source.unlink()
        self._sql = _clickhouse_sql(self._until)

    def size(self) -> int:
        """Bytes of the active parts."""
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'bench'"
        return int(self._session.query(sql, "TSV").bytes())

    def forms(self, question: str) -> tuple[str, ...]:
        """See `_clickhouse_sql`."""
        return tuple(self._sql[question])

    def run(self, question: str, form: str) -> pa.Table:
        """Run one form."""
        answer = self._session.query(self._sql[question][form], "ArrowStream")
        return ipc.open_stream(pa.py_buffer(answer.bytes())).read_all()

    def version(self) -> str:
        """ClickHouse's version, as chDB has it."""
        return str(self._session.query("SELECT version()", "TSV").bytes().decode().strip())

    def close(self) -> None:
        """Let go of the table's folder."""
        self._session.close()


def _clickhouse_sql(until: int) -> dict[str, dict[str, str]]:
    # `window`: as a person would write it; the table's order saves the sort. `arrays`: each device's rows as sorted
    # arrays and the arithmetic on those, twice to four times as fast. groupArray alone would not do: two threads
    # may each read a part of a device, in either order; hence arraySort, cheap on what is nearly sorted.
    def lead(columns: str) -> str:
        frame = "PARTITION BY device ORDER BY ts ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING"
        return f"SELECT {columns}, ts, leadInFrame(ts, 1, 0) OVER ({frame}) AS nts FROM bench.t"

    steps = f"arrayMap((a, b) -> b - a, t, arrayPushBack(arrayPopFront(t), {until}::Int64)) AS d"
    times = "SELECT arraySort(groupArray(ts)) AS t FROM bench.t GROUP BY device"
    after = f"if(nts = 0, {until}, nts)"
    return {
        "uptime": {
            "window": f"""SELECT firmware, sumIf(d, status = 'up') AS up, sum(d) AS known FROM (
                SELECT firmware, status, least({after} - ts, {HOLD_MS}) AS d FROM ({lead("firmware, status")}))
                GROUP BY firmware""",
            # The time and whether the status is `up` share one integer, so that one plain sort orders both.
            "arrays": f"""SELECT firmware, sum(u) AS up, sum(k) AS known FROM (
                SELECT firmware, arrayMap(x -> bitShiftRight(x, 1), z) AS t, {steps},
                arrayMap(x -> least(x, {HOLD_MS}), d) AS h, arraySum(h) AS k,
                arraySum(arrayMap((x, y) -> x * bitAnd(y, 1), h, z)) AS u FROM (
                SELECT any(firmware) AS firmware, arraySort(groupArray(ts * 2 + (status = 'up'))) AS z
                FROM bench.t GROUP BY device)) GROUP BY firmware""",
        },
        "sessions": {
            "window": f"""SELECT countIf(nts = 0 OR nts - ts > {GAP_MS}) AS sessions,
                sumIf(nts - ts, nts != 0 AND nts - ts <= {GAP_MS}) AS length FROM ({lead("1")})""",
            "arrays": f"""SELECT sum(1 + c) AS sessions, sum(l) AS length FROM (
                SELECT arrayPopFront(arrayDifference(t)) AS d, arrayCount(x -> x > {GAP_MS}, d) AS c,
                arraySum(x -> x <= {GAP_MS} ? x : 0, d) AS l FROM ({times}))""",
        },
        "heartbeat": {
            "window": f"""SELECT sum(least({after} - ts, {TIMEOUT_MS})) AS alive, sum({after} - ts) AS known
                FROM ({lead("1")})""",
            "arrays": f"""SELECT sum(a) AS alive, sum(k) AS known FROM (
                SELECT {steps}, arraySum(x -> least(x, {TIMEOUT_MS}), d) AS a, {until} - t[1] AS k FROM ({times}))""",
        },
        "filter_group": {
            "where": f"""SELECT firmware, status, count() AS points, avg(temp) AS mean_temp FROM bench.t
                WHERE temp > {THRESHOLD} GROUP BY firmware, status""",
        },
        "device_means": {
            name: f"""SELECT device, bucket * {BUCKET_MS} AS bucket, mean_temp FROM (
                SELECT device, intDiv(ts, {BUCKET_MS}) AS bucket, avg(temp) AS mean_temp FROM bench.t
                GROUP BY device, bucket) SETTINGS optimize_aggregation_in_order = {in_order}"""
            for name, in_order in (("hash", 0), ("in_order", 1))
        },
    }
