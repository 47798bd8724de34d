"""The event-stream and transaction-log suites of ``dataflow/examples`` over recorded data, against SQL."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from deploy.metric_file import load_metric
from runtime import Store

EXAMPLES = Path(df.__file__).parent / "examples"
SECOND = 1_000_000
Rows = list[tuple[Any, ...]]


class Suite:
    """A recorded stream twice: in a store, and in DuckDB as the view ``e`` with the order of arrival ``rn``."""

    def __init__(self, store: Store, sql: Any, file: str) -> None:
        self.store, self.sql, self.file = store, sql, file

    def ours(self, name: str) -> Rows:
        """The metric's rows; times and durations in microseconds."""
        columns = self.store.query(load_metric(f"{EXAMPLES / self.file}:{name}")).columns
        return list(zip(*(column.to_list() for column in columns.values()), strict=True))

    def theirs(self, query: str) -> Rows:
        rows: Rows = self.sql.execute(query).fetchall()
        return rows


def suite(shared_data: Path, folder: Path, stream: str, source: str, file: str, view: str, **ingest: Any) -> Suite:
    duckdb = pytest.importorskip("duckdb", reason="the truths are computed by DuckDB")
    store = Store(folder, create=True)
    store.ingest(stream, str(shared_data / source), time="ts", **ingest)
    sql = duckdb.connect()
    sql.execute(f"create table e as {view.replace('FILE', str(shared_data / source))}")
    return Suite(store, sql, file)


@pytest.fixture(scope="module")
def clicks(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    view = "select *, row_number() over () rn from read_json('FILE', format='newline_delimited')"
    folder = tmp_path_factory.mktemp("clicks")
    return suite(
        shared_data, folder, "clicks", "clicks.ndjson.gz", "clicks_events.py", view, key="user_id", unit="s"
    )  # fmt: skip


@pytest.fixture(scope="module")
def retail(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    view = """
        select coalesce(customer, 'unknown') customer, invoice, country, epoch_us(cast(ts as timestamp)) ts,
        cast(quantity as bigint) quantity, row_number() over () rn,
        cast(quantity as decimal(18,0)) * cast(unit_price as decimal(18,3)) amount
        from read_csv('FILE', all_varchar=true)
    """
    folder = tmp_path_factory.mktemp("retail")
    return suite(
        shared_data, folder, "purchases", "retail.csv.gz", "retail_ledger.py", view,
        key="customer", unit="iso", missing_key="unknown", type={"invoice": "string"},
    )  # fmt: skip


def money(value: float | None) -> Decimal | None:
    """To the tenth of a cent, the unit of the prices: a sum of products is off by the rounding of each."""
    return None if value is None else round(Decimal(value), 3)


def seconds(rows: Rows, *places: int) -> Rows:
    """Rows with the times and durations at these places in seconds."""
    return [tuple(v // SECOND if i in places and v is not None else v for i, v in enumerate(row)) for row in rows]


# ---- events


def funnel(sql: Suite, place: str, after: str) -> Rows:
    """Rows of (user, steps, start, end), in seconds; each step is ``after`` the one before in terms of ``place``."""
    return sql.theirs(f"""
        with o as (select *, {place} k from e window w as (partition by user_id order by ts, rn)),
        one as (select distinct user_id, ts t1, k from o where starts_with(action, 'search for')),
        two as (
            select one.user_id, t1, min(o.ts) t2, min(o.k) k from one left join o on one.user_id = o.user_id
            and starts_with(action, 'interaction') and o.k {after} one.k and o.ts <= t1 + 1800
            group by one.user_id, t1, one.k
        ),
        three as (
            select two.user_id, t1, t2, min(o.ts) t3 from two left join o on two.user_id = o.user_id
            and action = 'clickout item' and o.k {after} two.k and o.ts <= t1 + 1800
            group by two.user_id, t1, t2, two.k
        ),
        windows as (
            select user_id, 1 + (t2 is not null)::int + (t3 is not null)::int steps, t1, coalesce(t3, t2, t1) final
            from three
        )
        select * from windows
        qualify row_number() over (partition by user_id order by steps desc, t1 desc, final) = 1 order by 1
    """)


MODES = {"strict": ("ts", ">"), "ordered": ("row_number() over w", ">"), "any": ("ts", ">=")}


def test_funnel_modes(clicks: Suite) -> None:
    """Every user's best window, in each mode: the laxer, the further."""
    reached: dict[str, int] = {}
    action = df.col("action")
    steps = [action.starts_with("search for"), action.starts_with("interaction"), action == "clickout item"]
    for mode, (place, after) in MODES.items():
        rows = df.stream("clicks").funnel(steps, "30m", mode).select("user_id", "steps", "start", "end")
        ours = clicks.store.query(rows).columns
        theirs = funnel(clicks, place, after)
        lists = [ours[name].to_list() for name in ("user_id", "steps", "start", "end")]
        assert seconds(list(zip(*lists, strict=True)), 2, 3) == theirs
        reached[mode] = sum(row[1] for row in theirs)
    assert reached["strict"] < reached["ordered"] <= reached["any"]


def test_funnel(clicks: Suite) -> None:
    devices = dict(clicks.theirs("select distinct user_id, device from e"))
    expected: dict[tuple[str, int], list[int]] = {}
    for user, steps, start, end in funnel(clicks, *MODES["any"]):
        expected.setdefault((devices[user], steps), []).append(end - start)
    ours = seconds(clicks.ours("search_to_clickout"), 3)
    assert ours == [(*group, len(took), max(took)) for group, took in sorted(expected.items())]
    assert len(ours) > 5


def test_retention(clicks: Suite) -> None:
    ours = seconds(clicks.ours("retention"), 0)
    assert ours == clicks.theirs("""
        with f as (select user_id, min(ts) // 21600 cohort from e group by 1),
        grid as (select user_id, cohort, unnest(range(cohort, (select max(ts) // 21600 from e) + 1)) b from f),
        came as (select distinct user_id, ts // 21600 b from e)
        select cohort * 21600, b - cohort, count(came.b), count(*), count(came.b) / count(*)
        from grid left join came using (user_id, b) group by all order by 1, 2
    """)
    assert len(ours) == 9 * 8 // 2


def test_paths(clicks: Suite) -> None:
    ours = clicks.ours("paths")
    assert ours == clicks.theirs("""
        with n as (
            select *, lag(ts) over w t0, lag(action) over w a0, lead(ts) over w t2, (select max(ts) from e) last
            from e window w as (partition by user_id order by ts, rn)
        ),
        moves as (
            select case when ts - t0 <= 1800 then a0 end a, action b from n
            union all select action, null from n where ts + 1800 <= last and (t2 is null or t2 - ts > 1800)
        )
        select a, b, count(*) from moves group by all order by a nulls first, b nulls first
    """)
    assert {(a is None, b is None) for a, b, _ in ours} == {(False, False), (True, False), (False, True)}


def test_top_items(clicks: Suite) -> None:
    ours = clicks.ours("top_items")
    assert ours == clicks.theirs("""
        select reference, count(*) n, count(distinct user_id) from e where action = 'clickout item'
        group by 1 order by n desc, reference limit 100
    """)
    assert len(ours) == 100


def test_visitors_by_hour(clicks: Suite) -> None:
    ours = seconds(clicks.ours("visitors_by_hour"), 1)
    # Berlin's hours are UTC's: it is a whole number of hours ahead.
    assert ours == clicks.theirs(
        "select platform, ts // 3600 * 3600, count(*), count(distinct user_id) from e group by 1, 2 order by 1, 2"
    )
    assert len(ours) > 1000


def test_clickouts_by_quarter(clicks: Suite) -> None:
    ours = seconds(clicks.ours("clickouts_by_quarter"), 1)
    assert ours == clicks.theirs("""
        with q as (
            select platform, ts // 900 q, count(*) n, count(distinct user_id) users from e
            where action = 'clickout item' group by 1, 2
        ),
        grid as (select platform, unnest(range(min(q), (select max(ts) // 900 from e) + 1)) q from q group by 1)
        select platform, q * 900, coalesce(n, 0), coalesce(users, 0)
        from grid left join q using (platform, q) order by 1, 2
    """)
    assert sum(row[2] == 0 for row in ours) > 1000


def test_errands(clicks: Suite) -> None:
    assert seconds(clicks.ours("errands"), 4) == clicks.theirs("""
        with s as (
            select *, coalesce(ts - lag(ts) over w <= 1800, false) and action <> 'search for destination' goes_on
            from e window w as (partition by user_id order by ts, rn)
        ),
        n as (
            select *, sum((not goes_on)::int) over w sid from s
            window w as (partition by user_id order by ts, rn rows unbounded preceding)
        ),
        c as (select *, (ts - min(ts) over (partition by user_id, sid)) // 7200 piece from n),
        p as (
            select user_id, device, count(*) n, count(*) filter (action = 'clickout item') out, max(ts) - min(ts) span
            from c group by user_id, sid, piece, device
        )
        select device, count(*), sum(n)::bigint, count(*) filter (out > 0), sum(span)::bigint
        from p group by 1 order by 1
    """)


def test_busiest_half_hour(clicks: Suite) -> None:
    assert clicks.ours("busiest_half_hour") == clicks.theirs("""
        with w as (select user_id, ts // 600 - unnest([0, 1, 2]) b from e),
        n as (select user_id, b, count(*) n from w group by 1, 2)
        select user_id, max(n), count(*) from n group by 1 order by 1
    """)


# ---- transactions


def test_revenue_by_day_and_country(retail: Suite) -> None:
    ours = [(c, day, money(net), money(back), n) for c, day, net, back, n in retail.ours("revenue_by_day_and_country")]
    assert ours == retail.theirs("""
        select country, ts // 86400000000 * 86400000000, sum(amount), sum(amount) filter (quantity < 0),
        count(distinct invoice) from e group by 1, 2 order by 1, 2
    """)
    assert len(ours) > 1500


def test_rfm(retail: Suite) -> None:
    ours = [(c, last, n, money(value), recency) for c, last, n, value, recency in retail.ours("rfm")]
    assert ours == retail.theirs("""
        select customer, max(ts) filter (quantity > 0), count(distinct invoice) filter (quantity > 0), sum(amount),
        epoch_us(timestamp '2011-12-10') - max(ts) filter (quantity > 0)
        from e where customer <> 'unknown' group by 1 order by 1
    """)
    assert len(ours) == 4372


def test_baskets(retail: Suite) -> None:
    ours = [(i, lines, items, money(value)) for i, lines, items, value in retail.ours("baskets")]
    theirs = retail.theirs(
        "select invoice, count(*), sum(quantity)::bigint, sum(amount) from e where quantity > 0 group by 1 order by 1"
    )
    assert ours == theirs
    ((n, lines, items, value, largest),) = retail.ours("basket_size")
    assert (n, lines, items) == (len(theirs), sum(r[1] for r in theirs) / n, sum(r[2] for r in theirs) / n)
    assert largest == max(r[2] for r in theirs)
    assert abs(Decimal(value) - sum((r[3] for r in theirs), Decimal(0)) / n) < Decimal("1e-9")


def test_repeat_interval(retail: Suite) -> None:
    theirs = retail.theirs("""
        with n as (
            select *, ts - lag(ts) over w pause, invoice <> lag(invoice) over w is_new from e
            where customer <> 'unknown' and quantity > 0 window w as (partition by customer order by ts, rn)
        )
        select customer, count(*), sum(pause)::hugeint, min(pause), max(pause) from n where is_new group by 1 order by 1
    """)
    # A mean of durations is one: to the microsecond, ties to even.
    expected = [(c, n, round(Fraction(total, n)), low, high) for c, n, total, low, high in theirs]
    assert retail.ours("repeat_interval") == expected
    assert len(theirs) > 2000


def test_running_balance(retail: Suite) -> None:
    ours = [(c, i, money(a), money(balance), ts) for c, i, a, balance, ts in retail.ours("running_balance")]
    assert ours == retail.theirs("""
        select customer, invoice, amount, sum(amount) over w, ts from e where customer <> 'unknown'
        window w as (partition by customer order by ts, rn rows unbounded preceding) order by customer, ts, rn
    """)
    assert len(ours) == 406_829


def test_closing_balances(retail: Suite) -> None:
    ours = [(c, money(spent), money(held), month, n) for c, spent, held, month, n in retail.ours("closing_balances")]
    assert ours == retail.theirs("""
        with m as (
            select customer, date_trunc('month', make_timestamp(ts)) mo, count(*) n, sum(amount) spent
            from e where customer <> 'unknown' group by 1, 2
        ),
        grid as (
            select customer, unnest(generate_series(min(mo), timestamp '2011-12-01', interval 1 month)) mo
            from m group by 1
        )
        select customer, spent, sum(spent) over (partition by customer order by mo), epoch_us(mo), coalesce(n, 0)
        from grid left join m using (customer, mo) order by customer, mo
    """)
    assert any(row[4] == 0 for row in ours)
