"""Charts of results, drawn with matplotlib (the extra ``antfold[plot]``)."""

from __future__ import annotations

import html
import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import distinct
from operators.errors import DataflowError
from operators.types import Type
from runtime.columns import Column
from runtime.display.chart_data import (
    ChartShape,
    Hints,
    Measure,
    broken,
    bucket_length,
    labels_of,
    measure_of,
    readable,
    shape_of,
    sizes_of,
    texts_of,
)
from runtime.display.chart_ticks import ems_of, fitting, make_room, places_between, tick_texts
from runtime.display.export import need
from runtime.display.text_tables import NULL, html_table, iso, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_BARS, _MAX_LINES, _MAX_PANELS, _PAGE_ROWS = 40, 10, 6, 10_000
_FEW = 20
"""Bars drawn if there are more than ``_MAX_BARS``."""

_ALONE = 43_200_000_000
"""Microseconds on the axis on either side of a single time."""

_COLORS = ("#2a78d6", "#1baf7a", "#eda100", "#4a3aa7", "#e34948", "#eb6834", "#008300", "#e87ba4", "#5b6b7a", "#8a5a2b")
_INK, _QUIET, _GRID = "#1f2328", "#626a73", "#e3e6ea"
_STYLE: dict[str, Any] = {
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "axes.edgecolor": _GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "antfold",
    "text.parse_math": False,
}
_WIDE_FONTS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "WenQuanYi Zen Hei", "Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji", "Symbola",
)  # fmt: skip
"""Fonts for scripts that matplotlib's own font lacks; installed ones are used."""

_MISSING_GLYPH = r"Glyph \d+ \("


@contextmanager
def _styled() -> Iterator[set[str]]:
    """matplotlib in our style; yields the set of characters that no installed font has, complete at exit."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {f.name for f in fontManager.ttflist}
    families = ["sans-serif", *(name for name in _WIDE_FONTS if name in installed)]
    missing: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _MISSING_GLYPH)
        with matplotlib.rc_context({**_STYLE, "font.family": families}):
            yield missing
    for warning in caught:
        text = str(warning.message)
        if text.startswith("Glyph ") and (number := text.split()[1]).isdecimal():
            missing.add(chr(int(number)))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class Plot:
    """A chart of a result; notebooks show it, ``save`` writes it, ``figure`` is matplotlib's own object.

    ``hints`` come from the metric, ``footer`` are the lines below the table of an HTML page. ``missing`` are the
    characters of the last image that no font of this machine has: PNG shows boxes for them.
    """

    def __init__(self, columns: Mapping[str, Column], hints: Hints | None = None, footer: Sequence[str] = ()) -> None:
        need("matplotlib", "plot")
        self._columns = dict(columns)
        self._footer = footer
        self.missing: set[str] = set()
        hints = hints or Hints()
        self.figure: Figure = _draw(self._columns, shape_of(self._columns, hints), hints)

    def save(self, path: str | Path) -> None:
        """Write the chart to a file that ends in ``.png``, ``.svg`` or ``.html``."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".html":
            data = self._page().encode()
        elif suffix in (".png", ".svg"):
            data = self._image(suffix[1:])
        else:
            raise DataflowError(f"cannot tell the kind of chart from '{path.name}': end it in .png, .svg or .html")
        try:
            path.write_bytes(data)
        except OSError as e:
            raise DataflowError(f"cannot write {path}: {e.strerror}; choose another file") from e

    def _repr_png_(self) -> bytes:
        return self._image("png")

    def _image(self, kind: str) -> bytes:
        out = io.BytesIO()
        with _styled() as missing:
            # No date in the file: the same result gives the same bytes.
            self.figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
        # An SVG contains the text, and the reader's machine may have a font for it.
        self.missing = missing if kind == "png" else set()
        return out.getvalue()

    def _page(self) -> str:
        image = self._image("svg").decode()
        image = image[image.index("<svg") :]
        title = html.escape(str(self.figure.get_label()))
        return (
            "<!doctype html>\n"
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>'
            f"body{{font:15px/1.5 system-ui,sans-serif;color:{_INK};background:#fff;max-width:960px;"
            "margin:2rem auto;padding:0 1rem}svg{max-width:100%;height:auto}"
            "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
            f"th,td{{padding:.3rem .9rem .3rem 0;border-bottom:1px solid {_GRID}}}small{{color:{_QUIET}}}"
            f"</style></head>\n<body>\n<h1>{title}</h1>\n{image}\n"
            f"{html_table(self._columns, max_rows=_PAGE_ROWS, footer=self._footer)}\n</body></html>\n"
        )


def _draw(columns: dict[str, Column], shape: ChartShape, hints: Hints) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    measures = shape.measures[:_MAX_PANELS]
    hidden = len(shape.measures) - len(measures)
    by = [printable(n) for n in (*((shape.time,) if shape.time else ()), *shape.labels)]
    what = ", ".join(printable(m) for m in measures) + (f" and {hidden} more" if hidden else "")
    title = what + (f" by {', '.join(by)}" if by else "")
    with _styled():
        if shape.time is not None:
            figure = Figure(figsize=(9, 0.9 + 2.6 * len(measures)), layout="constrained", label=title)
            panels = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
            _title(figure, title)
            _lines(figure, panels, columns, shape, measures, hints)
        else:
            rows, note = _bar_rows(columns, shape, hints)
            taken = {name: column.take(rows) for name, column in columns.items()}
            labels = [readable(text) for text in labels_of(taken, shape.labels)]
            across = min(3, len(measures))
            down = math.ceil(len(measures) / across)
            lines = sum(1.0 + 0.45 * label.count("\n") for label in labels)
            beside = 0.075 * max(len(line) for label in labels for line in label.split("\n"))
            size = (max(6, beside + 3.4 * across), 1.3 + down * max(1.2, 0.75 + 0.32 * lines))
            figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1), label=title)
            panels = figure.subplots(down, across, squeeze=False, sharey=True)
            _title(figure, title)
            if note:
                figure.supxlabel(note, x=0.01, ha="left", fontsize=9, color=_QUIET)
            width = int((size[0] - beside) / across / 0.095)
            drawn = [measure_of(name, taken[name], width) for name in measures]
            _bars(figure, panels.ravel(), drawn, [texts_of(taken[name]) for name in measures], labels, width)
    return figure


def _title(figure: Figure, title: str) -> None:
    """The title on as many lines as it needs, at most two."""
    lines = textwrap.wrap(title, int(figure.get_figwidth() / 0.108), max_lines=2, placeholder=" …")
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=12, fontweight="bold")


def _clean(axes: Axes, title: str, grid: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_QUIET)
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


# ---- bars


def _bar_rows(columns: Mapping[str, Column], shape: ChartShape, hints: Hints) -> tuple[NDArray[np.intp], str]:
    """The rows to draw, in order, and a note on the others."""
    count = len(next(iter(columns.values())))
    if count <= _MAX_BARS:
        return np.arange(count), ""
    if hints.ordered:
        return np.arange(_FEW), f"the first {_FEW} of {count:,}, in the order of the metric"
    name, sizes = sizes_of(columns, shape.measures)
    order = np.argsort(-np.where(np.isfinite(sizes), sizes, -np.inf), kind="stable")
    return order[:_FEW], f"the {_FEW} largest of {count:,}, by {printable(name)}"


def _bars(
    figure: Figure,
    panels: NDArray[Any],
    measures: Sequence[Measure],
    figures: Sequence[list[str]],
    labels: list[str],
    width: int,
) -> None:
    """A panel for each measure, with the text of each value (``figures``) beside its bar."""
    places = np.arange(len(labels))
    for axes, measure, texts in zip(panels, measures, figures, strict=False):
        title = measure.title
        known = np.isfinite(measure.values)
        if measure.floor is not None:
            start = f"(axis from {_number(measure.floor)})"
            title = f"{printable(title, max(8, width - len(start) - 1))} {start}"
        _clean(axes, title, "x")
        if measure.floor is None:
            axes.barh(places[known], measure.values[known], height=0.68, color=_COLORS[0])
        else:
            # The length of a bar suggests zero, which is not on this axis.
            axes.plot(measure.values[known], places[known], "o", color=_COLORS[0], markersize=8)
            axes.grid(axis="y", color=_GRID, linewidth=0.8)
        nothing = _limits(axes, measure, texts)
        for place, value, text in zip(places, measure.values, texts, strict=True):
            left = value < 0
            axes.annotate(
                text,
                (value if math.isfinite(value) else nothing, place),
                xytext=(-4 if left else 4 if measure.floor is None else 8, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=8.5,
                color=_QUIET if text == NULL else _INK,
            )
        axes.set_yticks(places, labels, color=_INK)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xticks([])
    for axes in panels[len(measures) :]:
        axes.set_visible(False)
    make_room(figure, panels[: len(measures)].tolist())
    for axes, measure in zip(panels, measures, strict=False):
        low, high = axes.get_xlim()
        end = 1.0 if measure.ceiling == 1.0 else high
        axes.set_xticks(*fitting((low, high), end, ems_of(axes, 10), 4, measure.whole))
        axes.set_xlim(low, high)


def _limits(axes: Axes, measure: Measure, texts: Sequence[str]) -> float:
    """Set the limits of a panel's axis, with room for the figures beside the bars; returns where an empty bar
    begins."""
    known = measure.values[np.isfinite(measure.values)]
    room = 0.018 * len(max(texts, key=len)) + 0.05
    if measure.floor is not None and measure.ceiling is not None:
        axes.set_xlim(measure.floor, measure.ceiling + (measure.ceiling - measure.floor) * room * 1.3)
        return measure.floor
    top = max(0.0, float(known.max())) if len(known) else 0.0
    low = min(0.0, float(known.min())) if len(known) else 0.0
    span = (top - low) or 1.0
    axes.set_xlim(low - (span * room if low else 0), top + (span * room if top or not low else 0))
    return 0.0


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


# ---- lines


def _lines(
    figure: Figure,
    panels: NDArray[Any],
    columns: Mapping[str, Column],
    shape: ChartShape,
    measures: Sequence[str],
    hints: Hints,
) -> None:
    assert shape.time is not None
    clock = columns[shape.time]
    times = clock.values.astype(np.int64)
    known = np.ones(len(clock), np.bool_) if clock.valid is None else clock.valid
    names = labels_of(columns, shape.labels)
    groups = list(dict.fromkeys(names))
    position = {group: i for i, group in enumerate(groups)}
    membership = np.array([position[n] for n in names], np.int64)
    shown, note = _line_groups(columns, shape, membership, len(groups))
    buckets = hints.buckets.get(shape.time)
    longest = bucket_length(times[known], buckets)
    for axes, name in zip(panels, measures, strict=True):
        measure = measure_of(name, columns[name])
        _clean(axes, measure.title, "y")
        for i, group in enumerate(shown):
            rows = np.flatnonzero((membership == group) & known)
            rows = rows[np.argsort(times[rows], kind="stable")]
            at, values = broken(times[rows], measure.values[rows], longest)
            label = readable(groups[group])
            dots = np.isfinite(values) if len(rows) < 60 else _alone(values)
            axes.plot(
                at.astype("M8[us]"),
                values,
                color=_COLORS[i],
                linewidth=1.8,
                marker="o",
                markersize=3.5,
                markevery=np.flatnonzero(dots).tolist(),
                label=label,
                clip_on=False,  # the limits hold all points; a marker on one of them is drawn whole
            )
        axes.margins(x=0.02, y=0.12)
        if not np.isfinite(measure.values[known]).any():
            axes.set_yticks([])
            axes.annotate("all null", (0.5, 0.5), xycoords="axes fraction", ha="center", color=_QUIET)
        elif columns[name].type is not Type.FLOAT and float(np.nanmin(measure.values)) >= 0:
            axes.set_ylim(bottom=0)
        if measure.ceiling == 1.0:
            axes.set_ylim(top=1.0 + 0.02 * (1.0 - float(np.nanmin(measure.values))))
        low, high = axes.get_ylim()
        if len(axes.get_yticks()):
            rounded = places_between(low, 1.0 if measure.ceiling == 1.0 else high, 5, measure.whole)
            axes.set_yticks(rounded, tick_texts(rounded))
            axes.set_ylim(low, high)
    _dates(panels, shape.time, "UTC" if buckets is None else buckets.zone, distinct(times[known]))
    if len(groups) > 1:
        title = " · ".join(printable(n) for n in shape.labels) + note
        handles, texts = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside right upper", frameon=False, title=title, alignment="left", fontsize=9
        )
        figure.set_figheight(max(figure.get_figheight(), _legend_inches([title, *texts])))


def _legend_inches(entries: Sequence[str]) -> float:
    """The height of a legend and of the figure's title above it."""
    return 0.7 + sum(0.16 * (1 + entry.count("\n")) + 0.07 for entry in entries)


def _dates(panels: NDArray[Any], name: str, zone: str, times: NDArray[np.int64]) -> None:
    """Dates on the axis of all panels, in the time zone of the rows' buckets."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    from dataflow.times.zones import zone_named

    panels[-1].set_xlabel(f"{printable(name)} ({zone})", fontsize=9)
    place = zone_named(zone, "plot")
    for axes in panels:
        axes.tick_params(axis="x", pad=7)
        if len(times) == 1:
            moment = int(times[0])
            text = datetime.fromisoformat(iso(moment)).astimezone(place).isoformat(" ")[:16]
            axes.set_xticks([np.datetime64(moment, "us")], [text])
            axes.set_xlim(np.datetime64(moment - _ALONE, "us"), np.datetime64(moment + _ALONE, "us"))
            continue
        locator = AutoDateLocator(tz=place, minticks=3, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=place))


def _line_groups(
    columns: Mapping[str, Column], shape: ChartShape, membership: NDArray[np.int64], count: int
) -> tuple[list[int], str]:
    """The groups to draw, in order, and a note on the others."""
    if count <= _MAX_LINES:
        return list(range(count)), ""
    name, sizes = sizes_of(columns, shape.measures)
    known = np.isfinite(sizes)
    totals = np.bincount(membership[known], sizes[known], count)
    rows = np.bincount(membership[known], minlength=count)
    if columns[name].type is Type.FLOAT:
        totals = np.where(rows > 0, totals / np.maximum(rows, 1), -np.inf)
    largest = np.argsort(-totals, kind="stable")[:_MAX_LINES]
    return sorted(int(i) for i in largest), f"\n({_MAX_LINES} largest of {count:,},\nby {printable(name)})"


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Isolated points, which no line reaches."""
    known = np.isfinite(values)
    beside = np.zeros(len(values), np.bool_)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    return known & ~beside
