"""Charts: axes, omissions and their notes; nulls and gaps are not numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from deploy.commands.store_views import column
from operators.types import Type
from runtime.display.chart_data import Hints, broken, bucket_length, hints_of, readable, shape_of, texts_of
from runtime.display.plot import Plot
from runtime.store import Store

DAY = 86_400_000_000
MARCH = 1_709_251_200_000_000
P = df.stream("s")


def days(*numbers: int) -> list[int]:
    return [MARCH + n * DAY for n in numbers]


def lines(plot: Plot, panel: int = 0) -> list[list[float | None]]:
    return [
        [None if np.isnan(y) else float(y) for y in line.get_ydata()] for line in plot.figure.axes[panel].get_lines()
    ]


def test_gaps_are_gaps() -> None:
    columns = {
        "day": column(Type.TIME, days(0, 1, 2, 5, 6, 9)),
        "n": column(Type.INT, [1, 2, None, 4, 5, 6]),
    }
    assert lines(Plot(columns)) == [[1, 2, None, None, 4, 5, None, 6]]
    alone = Plot(columns).figure.axes[0].get_lines()[0]
    assert np.asarray(alone.get_ydata())[alone.get_markevery()].tolist() == [1, 2, 4, 5, 6]


def test_the_buckets_of_the_metric_show_gaps_where_points_do_not() -> None:
    columns = {"day": column(Type.TIME, days(0, 2)), "n": column(Type.INT, [1, 2])}
    assert lines(Plot(columns)) == [[1, 2]]
    metric = P.group_by(day=df.time().truncate("1d", "Europe/Berlin")).agg(n=df.count())
    hints = hints_of(metric.steps)
    assert lines(Plot(columns, hints)) == [[1, None, 2]]
    assert Plot(columns, hints).figure.axes[0].get_xlabel() == "day (Europe/Berlin)"


def test_months_and_days_of_23_hours_are_no_gaps() -> None:
    months = np.array([0, 31, 59, 90, 120], np.int64) * DAY
    berlin = np.array([0, 24, 47, 71, 95], np.int64) * DAY // 24
    for times in (months, berlin):
        at, values = broken(times, np.ones(5), bucket_length(times, None))
        assert len(at) == len(values) == 5
        assert len(broken(times[[0, 1, 3, 4]], np.ones(4), bucket_length(times, None))[0]) == 5
    assert bucket_length(np.array([0, 7, 1000, 1001], np.int64), None) == 1
    assert bucket_length(np.array([0, 700, 1000, 1990], np.int64), None) is None


def test_a_metric_says_what_it_is_grouped_by() -> None:
    columns = {"n": column(Type.INT, [7]), "mean": column(Type.FLOAT, [2.5])}
    whole = hints_of(P.agg(n=df.count(), mean=df.mean("x")).steps)
    assert shape_of(columns, whole).measures == ("n", "mean")
    counted = {"hour": column(Type.INT, [0, 1]), "day": column(Type.TIME, days(0, 1)), "n": column(Type.INT, [3, 4])}
    by_both = hints_of(P.group_by(hour=df.time().hour(), day=df.time().truncate("1d")).agg(n=df.count()).steps)
    assert shape_of(counted, by_both).time == "day"
    assert shape_of(counted, by_both).labels == ("hour",)
    assert shape_of(counted, by_both).measures == ("n",)
    twice = P.group_by("k", d=df.time().truncate("1mo")).agg(n=df.count()).group_by("d").agg(most=df.max("n"))
    assert hints_of(twice.steps).buckets["d"].longest == 31 * DAY
    assert hints_of(P.window("1h", zone="Asia/Kolkata").steps).buckets["start"].zone == "Asia/Kolkata"


def test_no_bars_of_counts_against_means() -> None:
    """Each measure has a panel and an axis of its own."""
    columns = {
        "k": column(Type.STRING, ["a", "b"]),
        "n": column(Type.INT, [1_000_000, 2_000_000]),
        "mean": column(Type.FLOAT, [1.5, 5.5]),
    }
    n, mean = Plot(columns).figure.axes
    assert not n.get_shared_x_axes().joined(n, mean)
    assert [p.get_width() for p in mean.patches] == [1.5, 5.5]
    assert mean.get_xlim()[1] < 10


def test_shares_that_are_close_differ_visibly() -> None:
    columns = {"k": column(Type.STRING, ["a", "b", "c"]), "up": column(Type.FLOAT, [0.921, 0.999, None])}
    (axes,) = Plot(columns).figure.axes
    assert not axes.patches  # a bar's length would be read from zero
    low, high = axes.get_xlim()
    assert 0.9 < low < 0.921
    assert axes.get_title(loc="left") == f"up (axis from {low:.3g})"
    places = [float(x) for x in axes.get_lines()[0].get_xdata()]
    assert places == [0.921, 0.999]
    assert (places[1] - places[0]) / (high - low) > 0.3
    assert max(axes.get_xticks()) <= 1.0
    assert [t.get_text() for t in axes.texts] == ["0.921", "0.999", "—"]


def test_nulls_are_absent() -> None:
    columns = {"k": column(Type.STRING, ["a", "b"]), "n": column(Type.INT, [None, 3])}
    assert [p.get_width() for p in Plot(columns).figure.axes[0].patches] == [3]
    nothing = {"k": column(Type.STRING, ["a", "b"]), "n": column(Type.INT, [None, None])}
    assert not Plot(nothing).figure.axes[0].patches
    over_time = {"day": column(Type.TIME, days(0, 1)), "x": column(Type.FLOAT, [None, None])}
    assert [t.get_text() for t in Plot(over_time).figure.axes[0].texts] == ["all null"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (column(Type.INT, [1_234_567, None, -1000]), ["1,234,567", "—", "-1,000"]),
        (column(Type.FLOAT, [1_234_567.5, None, -0.25]), ["1,234,567.50", "—", "-0.25"]),
        (column(Type.DURATION, [90_061_000_000, 1500, 7, 0, None]), ["1d 01:01:01", "1.5 ms", "7 µs", "00:00:00", "—"]),
    ],
)
def test_figures_beside_bars(values: Any, texts: list[str]) -> None:
    assert texts_of(values) == texts


def test_the_largest_groups() -> None:
    n = 3412
    columns = {
        "k": column(Type.STRING, [f"g{i}" for i in range(n)]),
        "share": column(Type.FLOAT, [0.5] * n),
        "n": column(Type.INT, [(i * 7919) % n for i in range(n)]),
    }
    figure = Plot(columns).figure
    assert [p.get_width() for p in figure.axes[1].patches] == list(range(n - 1, n - 21, -1))
    assert figure.get_supxlabel() == "the 20 largest of 3,412, by n"
    ordered = Plot(columns, Hints(("k",), {}, ordered=True)).figure
    assert ordered.get_supxlabel() == "the first 20 of 3,412, in the order of the metric"
    assert [t.get_text() for t in ordered.axes[0].get_yticklabels()][:2] == ["g0", "g1"]


def test_long_names() -> None:
    assert readable("short") == "short"
    first, second = readable("warehouse/001/conveyor belt sensor of the second floor, spare (left)").split("\n")
    assert first.startswith("warehouse/001/")
    assert second.endswith("spare (left)")
    assert max(len(first), len(second)) <= 36


def test_a_stored_answer_is_drawn_by_its_metric(tmp_path: Path) -> None:
    columns = {"k": ["a", "b", "a"], "t": [1_709_251_200, 1_709_254_800, 1_709_600_000], "v": [1.0, 2.0, 3.0]}
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", columns, key="k", time="t", unit="s", progress=False)
        result = store.query(P.group_by(day=df.time().truncate("1d")).agg(n=df.count()), progress=False)
        assert lines(result.plot()) == [[2, None, 1]]
        result.plot(tmp_path / "chart.html")
    assert "3 rows read, none rejected" in (tmp_path / "chart.html").read_text()
