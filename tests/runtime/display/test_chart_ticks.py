"""Ticks and labels: at any size no labels overlap, and no text leaves its axis or the picture."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.commands.store_views import column
from operators.types import Type
from runtime.display.chart_ticks import fitting, places_between, tick_texts
from runtime.display.plot import Plot

DAY = 86_400_000_000
MARCH = 1_709_251_200_000_000
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("places", "texts"),
    [
        ([0, 2000, 4000], ["0", "2,000", "4,000"]),
        ([0, 500_000, 1_000_000], ["0", "0.5M", "1.0M"]),
        ([0, 2.5e9, 5e9], ["0", "2.5B", "5.0B"]),
        ([-1e13, 0], ["-10T", "0"]),
        ([0, 2.5e15, 5e15], ["0", "2.5e15", "5.0e15"]),
        ([0, 1e-12, 2e-12], ["0", "1e-12", "2e-12"]),
        ([0.925, 0.95, 0.975, 1.0], ["0.925", "0.950", "0.975", "1.000"]),
        ([1_000_000.2, 1_000_000.4], ["1,000,000.2", "1,000,000.4"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_texts(places: list[float], texts: list[str]) -> None:
    assert tick_texts(places) == texts


numbers = st.floats(-1e18, 1e18, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-12)


@given(numbers, numbers, st.booleans(), st.floats(10, 80))
@example(0.0, 0.5, True, 10.0)
def test_labels_differ_and_never_touch(a: float, b: float, whole: bool, ems: float) -> None:
    low, high = min(a, b), max(a, b)
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return
    places, texts = fitting((low, high), high, ems, 4, whole)
    assert len(set(texts)) == len(texts) == len(places)
    assert all(not whole or p == round(p) for p in places)
    at = [(p - low) / (high - low) * ems for p in places]
    for (x, left), (y, right) in itertools.pairwise(zip(at, texts, strict=True)):
        assert y - x > 0.6 * (len(left) + len(right)) / 2
    units = {"M": 1e6, "B": 1e9, "T": 1e12}
    for place, text in zip(places, texts, strict=True):
        said = float(text.rstrip("MBT").replace(",", "")) * units.get(text[-1], 1)
        assert said == pytest.approx(place, rel=1e-9, abs=1e-3 * (high - low))


def test_counts_have_no_fractions() -> None:
    assert places_between(0, 5.6, 4, whole=True) == [0, 2, 4]
    assert places_between(0, 1.1, 4, whole=True) == [0, 1]
    assert places_between(0, 0.5, 4, whole=True) == [0]
    assert places_between(0.2, 0.7, 4, whole=True) == []


def _counts(size: int) -> dict[str, Any]:
    values = [size, 3 * size + 17, 9 * size + 5]
    return {
        "k": column(Type.STRING, NAMES),
        "n": column(Type.INT, values),
        "m": column(Type.INT, [-v for v in values]),
        "x": column(Type.FLOAT, [float(v) for v in values]),
    }


CHARTS = {
    **{f"counts of 1e{e}": _counts(10**e) for e in (0, 3, 6, 9, 12, 15, 17)},
    "shares": {"k": column(Type.STRING, NAMES), "up": column(Type.FLOAT, [0.921, 0.999, 1.0])},
    "durations": {
        "k": column(Type.STRING, NAMES),
        "d": column(Type.DURATION, [90_061_000_000, 400 * 3_600_000_000, 7]),
        "short": column(Type.DURATION, [1500, 7, 0]),
    },
    "long names": {
        "k": column(Type.STRING, ["warehouse/001/conveyor belt sensor of the second floor", "x" * 120, "a b " * 40]),
        "a_long_name_of_a_measure_that_does_not_fit_into_its_panel": column(Type.INT, [1, 2, 3]),
        "n": column(Type.INT, [1, 2, 3]),
    },
    "one row": {"k": column(Type.STRING, ["a"]), "n": column(Type.INT, [5_123_456_789])},
    "extremes": {"k": column(Type.STRING, ["a", "b"]), "n": column(Type.INT, [2**63 - 1, -(2**63)])},
}


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_leaves_the_picture_or_meets_another(name: str) -> None:
    figure = Plot(CHARTS[name]).figure
    figure.draw_without_rendering()
    panels = [a for a in figure.axes if a.get_visible()]
    ticks = []
    for axes in panels:
        box = axes.get_window_extent()
        for text in axes.texts:
            extent = text.get_window_extent()
            assert extent.x0 >= box.x0 - 1
            assert extent.x1 <= box.x1 + 1
        labels = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
        assert len(labels) >= 2
        assert all(extent.x1 <= box.x1 + 0.1 * figure.dpi for extent in labels)
        ticks += labels
        ticks.append(axes._left_title.get_window_extent())  # type: ignore[attr-defined]
    for one, other in itertools.combinations(ticks, 2):
        assert one is other or not one.overlaps(other)
    assert all(t.x1 <= figure.bbox.x1 and t.x0 >= 0 for t in ticks)


@pytest.mark.parametrize("step", [60_000_000, 3_600_000_000, DAY, 0])
def test_markers_at_the_edge_are_drawn_whole(step: int) -> None:
    times = [MARCH + i * step for i in range(24 if step else 1)]
    shares = [1 - 0.002 * i for i in range(len(times))]
    columns = {"t": column(Type.TIME, times), "up": column(Type.FLOAT, shares), "n": column(Type.INT, [0] * len(times))}
    figure = Plot(columns).figure
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert not axes.get_lines()[0].get_clip_on()
        low, high = axes.get_ylim()
        drawn = np.asarray(axes.get_lines()[0].get_ydata(), np.float64)
        assert low <= drawn.min() <= drawn.max() <= high
    last = figure.axes[-1].get_xticklabels()[-1].get_window_extent()
    assert last.x1 <= figure.bbox.x1
    if not step:
        assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["2024-03-01 00:00"]


def test_the_legend_is_whole() -> None:
    names = [f"group number {i} of the second floor of the warehouse" for i in range(10)]
    columns = {
        "t": column(Type.TIME, [MARCH + i // 10 * DAY for i in range(40)]),
        "k": column(Type.STRING, names * 4),
        "n": column(Type.INT, list(range(40))),
    }
    figure = Plot(columns).figure
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().y0 >= 0


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = ["$x^{2$ and $y$", "東京", None, "", "—"]
    columns = {"größe": column(Type.STRING, names), "n": column(Type.INT, [1, 2, 3, 4, 5])}
    plot = Plot(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.save(tmp_path / "chart.png")
        assert plot.missing <= set("東京")
        plot.save(tmp_path / "chart.svg")
    assert plot.missing == set()
    assert "東京" in (tmp_path / "chart.svg").read_text("utf-8")
    labels = [t.get_text() for t in plot.figure.axes[0].get_yticklabels()]
    assert labels == ["$x^{2$ and $y$", "東京", "not reported", '""', "—"]
