"""Ticks of a chart's axes: round positions, and short, uniform labels that never overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_MOST, _LEAST = 1e15, 1e-4
"""Numbers at or above the first, or below the second, are written with an exponent."""

_MOST_DECIMALS = 12
_CHARACTER, _GAP = 0.62, 1.2
"""Widths in ems: of a character of a label, and of the space that two labels need between them."""

_OVERHANG = 0.6
"""How far, in ems, a label may go beyond the end of its axis."""


def places_between(low: float, high: float, most: int, whole: bool) -> list[float]:
    """About at most ``most`` round positions in [low, high], ``whole`` numbers for counts."""
    from matplotlib.ticker import MaxNLocator

    places = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    slack = 1e-9 * (high - low)
    # The locator gives fractions where it finds too few whole numbers.
    return [float(p) + 0.0 for p in places if low - slack <= p <= high + slack and not (whole and p % 1)]


def tick_texts(places: Sequence[float]) -> list[str]:
    """The labels of an axis: one unit (M, B and T for millions, billions and trillions) and as many decimals for all
    of them."""
    largest = max((abs(p) for p in places), default=0.0)
    step = min((b - a for a, b in pairwise(places)), default=largest) or 1.0
    if largest >= _MOST or 0 < largest < _LEAST:
        size = 10.0 ** math.floor(math.log10(largest))
        decimals = _decimals(places, size, step)
        return ["0" if p == 0 else f"{p:.{decimals}e}".replace("e+", "e").replace("e-0", "e-") for p in places]
    # Steps far finer than the unit would need more digits with it than without.
    unit, letter = next(((u, t) for u, t in _UNITS if largest >= u and step >= u / 1000), (1.0, ""))
    decimals = _decimals(places, unit, step)
    return ["0" if p == 0 else f"{p / unit:,.{decimals}f}{letter}" for p in places]


def _decimals(places: Sequence[float], unit: float, step: float) -> int:
    """The number of decimals that represents all positions, in ``unit``, to within a thousandth of a step."""
    for decimals in range(_MOST_DECIMALS):
        if all(abs(round(p / unit, decimals) - p / unit) <= 1e-3 * step / unit for p in places):
            return decimals
    return _MOST_DECIMALS


def fitting(axis: tuple[float, float], end: float, ems: float, most: int, whole: bool) -> tuple[list[float], list[str]]:
    """Places up to ``end`` on a horizontal ``axis`` (low, high) that is so many ems long, and their labels, which fit
    between each other and on the axis."""
    low, high = axis
    best: tuple[list[float], list[str]] = ([], [])
    for n in range(most, 0, -1):
        places = places_between(low, end, n, whole)
        texts = tick_texts(places)
        at = [(p - low) / (high - low) * ems for p in places]
        half = [len(t) * _CHARACTER / 2 for t in texts]
        inside = [i for i in range(len(at)) if at[i] - half[i] >= -_OVERHANG and at[i] + half[i] <= ems + _OVERHANG]
        if any(at[j] - half[j] - at[i] - half[i] < _GAP for i, j in pairwise(inside)):
            continue
        if len(inside) > len(best[0]):
            best = [places[i] for i in inside], [texts[i] for i in inside]
        if len(best[0]) >= 2:
            break
    return best


def make_room(figure: Figure, axes: Sequence[Axes]) -> None:
    """Widen each horizontal axis until the texts beside its bars lie within it."""
    for _ in range(4):
        figure.draw_without_rendering()
        moved = False
        for a in axes:
            box = a.get_window_extent()
            if not a.texts or box.width <= 0:
                continue
            boxes = [t.get_window_extent() for t in a.texts]
            over = max(b.x1 for b in boxes) - box.x1
            under = box.x0 - min(b.x0 for b in boxes)
            if over <= 0.5 and under <= 0.5:
                continue
            low, high = a.get_xlim()
            # The texts keep their size while the axis shrinks: the bars get the rest of it.
            left = max(0.25, 1 - (max(0.0, over) + max(0.0, under)) * 1.04 / box.width)
            more = (high - low) * (1 / left - 1)
            share = max(0.0, over) / (max(0.0, over) + max(0.0, under))
            a.set_xlim(low - more * (1 - share), high + more * share)
            moved = True
        if not moved:
            return


def ems_of(axes: Axes, size: float) -> float:
    """The width of an axis in ems of a font of ``size`` points."""
    figure: Any = axes.figure
    return float(axes.get_window_extent().width / figure.dpi * 72 / size)
