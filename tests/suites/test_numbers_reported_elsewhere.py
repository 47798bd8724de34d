"""Wrong numbers reported of other engines: quantiles, bins, rounding, means, comparisons, zeros.

Each test names the report; the values are the report's, or a minimal example.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import dataflow as df
from operators.errors import OverflowExceeded
from runtime.testing.oracle.strategies import BASE, KEY, TIME
from tests.laws.memory import run_in_memory

P, N, T = df.stream("s"), df.col("n"), df.col("temp")
DAY = 86_400_000_000


def asked(metric: df.Stream, column: str, values: list[Any], tasks: int = 1) -> list[dict[str, Any]]:
    points = [{KEY: "abc"[i % 3], TIME: BASE + i, column: v} for i, v in enumerate(values)]
    return run_in_memory(json.loads(metric.to_json()), points, since=0, until=2**60, tasks=tasks)


def one(column: str, values: list[Any], tasks: int = 2, **aggs: Any) -> dict[str, Any]:
    (row,) = asked(P.agg(**aggs), column, values, tasks)
    return row


@pytest.mark.parametrize("tasks", [1, 3])
class TestQuantiles:
    def test_duckdb_14144_what_quantile_disc_is(self, tasks: int) -> None:
        values = [1000, 2000, 3000, 4000, 5000, 6000]
        row = one("n", values, tasks, a=df.quantile("n", 0.7), b=df.quantile("n", 0.9), c=df.median("n"))
        assert row == {"a": 5000, "b": 6000, "c": 3000}

    def test_duckdb_5422_the_lower_of_two_from_either_end(self, tasks: int) -> None:
        values = [11000, 3100, 2900, 2800, 2600, 2500]
        assert one("n", values, tasks, a=df.median("n"), b=df.median(-N)) == {"a": 2800, "b": -2900}

    def test_duckdb_24314_medians_of_integers_that_are_no_floats(self, tasks: int) -> None:
        values = [2**63 - 3, 2**63 - 1]
        row = one("n", values, tasks, a=df.median("n"), b=df.median(N.decimal(0)))
        assert row == {"a": 2**63 - 3, "b": Decimal(2**63 - 3)}

    def test_clickhouse_22408_few_values_many_times(self, tasks: int) -> None:
        values = [9000.0] * 2 + [3000.0] * 11 + [1000.0] * 26
        assert one("temp", values, tasks, a=df.quantile("temp", 0.95), b=df.quantile("temp", 0.9)) == {
            "a": 9000,
            "b": 3000,
        }

    def test_clickhouse_61093_merged_states_say_the_least_and_the_greatest(self, tasks: int) -> None:
        values = [(i * 7919) % 100_003 - 50_000 for i in range(5000)]
        row = one("n", values, tasks, low=df.quantile("n", 0), high=df.quantile("n", 1), e=df.median("n", exact=True))
        assert row == {"low": min(values), "high": max(values), "e": sorted(values)[2499]}

    def test_prometheus_13020_the_greatest_is_no_edge_of_a_bucket(self, tasks: int) -> None:
        values = [0.005 + i / 1e6 for i in range(3000)]
        row = one("temp", values, tasks, top=df.quantile("temp", 1), near=df.quantile("temp", 0.9999))
        assert row["top"] == max(values)
        assert row["near"] <= max(values)


class TestMeans:
    def test_prometheus_7346_and_influxdb_7509_the_sum_is_beyond_floats(self) -> None:
        big = 9.988465674311579e307
        assert one("temp", [-big, big], m=df.mean("temp")) == {"m": 0.0}
        values = [*map(float, range(10)), 1.7976931348623157e308, *map(float, range(9, -1, -1))]
        row = one("temp", [*values, 1.7976931348623157e308], m=df.mean("temp"), sd=df.stddev("temp"))
        exact = [Fraction(v) for v in [*values, 1.7976931348623157e308]]
        assert row["m"] == float(sum(exact) / len(exact))
        assert math.isfinite(row["sd"])

    def test_datafusion_22713_means_of_decimals_near_their_limit(self) -> None:
        price = N.decimal(0)
        assert one("n", [2**63 - 1] * 5, m=df.mean(price), q=df.median(price)) == {
            "m": 2.0**63,
            "q": Decimal(2**63 - 1),
        }

    def test_clickhouse_10532_no_spread_is_negative(self) -> None:
        equal = one("temp", [0.2345] * 100, v=df.variance("temp"), sd=df.stddev("temp"))
        assert equal == {"v": 0.0, "sd": 0.0}
        far = one("temp", [1e12 - 1, 1e12 + 1] * 50, v=df.variance("temp", ddof=0), sd=df.stddev("temp", ddof=0))
        assert far == {"v": 1.0, "sd": 1.0}

    def test_polars_14375_and_17639_means_of_durations(self) -> None:
        long = N * timedelta(microseconds=1)
        days = one("n", [DAY, 2 * DAY, 15 * DAY], mean=df.mean(long), median=df.median(long))
        assert days == {"mean": 6 * DAY, "median": 2 * DAY}
        seconds = one("n", [1_000_000, 2_000_000, 4_000_000], mean=df.mean(long), median=df.median(long))
        assert seconds == {"mean": 2_333_333, "median": 2_000_000}

    def test_pandas_9442_and_66551_sums_of_durations_do_not_wrap(self) -> None:
        long = N * timedelta(microseconds=1)
        assert one("n", [2**63 - 1] * 3, mean=df.mean(long)) == {"mean": 2**63 - 1}
        with pytest.raises(OverflowExceeded, match=r"total = sum\(time\(\) - time\(\) \+ n\)|total = sum\("):
            one("n", [2**63 - 1] * 2, total=df.sum(long))


class TestRounding:
    @pytest.mark.parametrize(
        ("value", "places", "mode", "expected"),
        [
            (123.55, 1, "half_even", "123.6"),  # cudf 21319
            (0.45, 1, "half_up", "0.5"), (0.95, 1, "half_up", "1.0"),  # pandas 41640
            (0.45, 1, "half_even", "0.4"), (0.95, 1, "half_even", "1.0"),  # cpython 102552, and below
            (0.0095, 3, "half_even", "0.010"), (0.00095, 4, "half_even", "0.0010"), (9.5e-10, 9, "half_up", "1E-9"),
            (2.5, 0, "half_even", "2"), (3.5, 0, "half_even", "4"), (2.5, 0, "half_up", "3"),  # duckdb 19491
            (-2.5, 0, "half_up", "-3"), (-0.125, 2, "half_even", "-0.12"), (1.115, 2, "half_even", "1.12"),
        ],
    )  # fmt: skip
    def test_ties_are_those_that_were_written(self, value: float, places: int, mode: str, expected: str) -> None:
        (row,) = asked(P.select(x=T.decimal(places, rounding=mode)), "temp", [value])
        assert row["x"] == Decimal(expected)


class TestBins:
    def test_numpy_20610_as_many_in_every_bin(self) -> None:
        values = [round(i * 0.01, 2) for i in range(100)]
        (row,) = asked(P.agg(h=df.histogram("temp", width=0.1)), "temp", values, 3)
        assert [(b["from"], b["to"], b["count"]) for b in row["h"]] == [(i / 10, (i + 1) / 10, 10) for i in range(10)]

    def test_fast_histogram_63_and_seaborn_3220_edges_are_in_the_bin_above(self) -> None:
        values = [0.999, 1.0, 1.001, 1.099, 1.1, 1.101, 0.9]
        (row,) = asked(P.agg(h=df.histogram("temp", width=0.02)), "temp", values)
        found = {b["from"]: b["count"] for b in row["h"]}
        assert found == {0.9: 1, 0.98: 1, 1.0: 2, 1.08: 1, 1.1: 2}


class TestComparisons:
    def test_numpy_9733_an_integer_beside_the_float_that_is_nearest_to_it(self) -> None:
        (row,) = asked(P.select(same=N == 1e16, more=N > 1e16, less=N < 1e16), "n", [10**16 + 1])
        assert (row["same"], row["more"], row["less"]) == (False, True, False)

    @pytest.mark.parametrize(
        ("value", "listed", "found"),
        [
            (58830407606777880, 58830407606777883, False),  # polars 21966
            (1378774140726870442, 1378774140726870528, False),  # pandas 46485 and 61676
            (1378774140726870442, 1378774140726870528.0, False),
            (1378774140726870528, 1378774140726870528.0, True),
            (635554097106142143, 635554097106142079, False),  # pandas 66794
        ],
    )
    def test_membership_is_exact(self, value: int, listed: float, found: bool) -> None:
        (row,) = asked(P.select(x=N.is_in([listed])), "n", [value])
        assert row["x"] is found


class TestZeros:
    def test_clickhouse_65316_zeros_are_one_group_and_one_value(self) -> None:
        values = [0.0, -0.0, 0.0, -0.0]
        assert one("temp", values, n=df.count_distinct("temp"), a=df.approx_distinct("temp")) == {"n": 1, "a": 1}
        assert [r["n"] for r in asked(P.group_by("temp").agg(n=df.count()), "temp", values, 3)] == [4]
        assert one("temp", values, n=df.count(where=T == 0.0), m=df.count(where=T.is_in([0.0]))) == {"n": 4, "m": 4}
        assert one("temp", values, h=df.histogram("temp", width=0.1)) == {"h": [{"from": 0.0, "to": 0.1, "count": 4}]}


def test_doris_68123_sums_of_decimals_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(OverflowExceeded, match=r"total = sum\(n\.decimal\(2, 'exact'\)\): a sum exceeds"):
        one("n", [10**16, 10**17 - 10**16 - 5 * 10**15], total=df.sum(N.decimal(2)))


def test_durations_beside_numbers_of_seconds() -> None:
    long = N * timedelta(microseconds=1)
    (row,) = asked(P.select(same=long == timedelta(seconds=2), ratio=long / timedelta(seconds=1)), "n", [2_000_000])
    assert (row["same"], row["ratio"]) == (True, 2.0)
