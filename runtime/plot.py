"""Charts of results, drawn with matplotlib (the extra ``antfold[plot]``)."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import DataflowError
from operators.types import Type
from runtime.columns import Column
from runtime.export import need
from runtime.table import NULL, format_column, html_table, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_BARS, _MAX_LINES, _MAX_PANELS, _PAGE_ROWS = 40, 10, 6, 10_000
_COLORS = ("#2a78d6", "#1baf7a", "#eda100", "#4a3aa7", "#e34948", "#eb6834", "#008300", "#e87ba4", "#5b6b7a", "#8a5a2b")
_INK, _QUIET, _GRID = "#1f2328", "#626a73", "#e3e6ea"
_SPANS = (("days", 86_400_000_000), ("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000))
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "axes.edgecolor": _GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "antfold",
}


@dataclass(frozen=True)
class _Shape:
    """Which columns are the axis of time, the category and the measures."""

    time: str | None
    labels: tuple[str, ...]
    measures: tuple[str, ...]


class Plot:
    """A chart of a result; notebooks show it, ``save`` writes it, ``figure`` is matplotlib's own object."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        need("matplotlib", "plot")
        self._columns = dict(columns)
        self.figure: Figure = _draw(self._columns, _shape(self._columns))

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
        import matplotlib

        out = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            # No date in the file: the same result gives the same bytes.
            self.figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
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
            f"{html_table(self._columns, max_rows=_PAGE_ROWS)}\n</body></html>\n"
        )


def _shape(columns: Mapping[str, Column]) -> _Shape:
    """The leading times, strings and booleans are what the result is grouped by; the numbers are what it measures."""
    names = list(columns)
    led = 0
    while led < len(names) and columns[names[led]].type in (Type.STRING, Type.TIME, Type.BOOL):
        led += 1
    if not led and len(names) > 1 and columns[names[0]].type is Type.INT:
        led = 1  # grouped by a number, such as the hour of the day
    time = next((n for n in names[:led] if columns[n].type is Type.TIME), None)
    labels = tuple(n for n in names[:led] if n != time)
    measures = tuple(n for n in names[led:] if columns[n].type.is_numeric or columns[n].type.places is not None)
    if not measures:
        raise DataflowError(
            "nothing to draw: the result has no numeric column; aggregate something, such as df.count()"
        )
    if not len(columns[names[0]]):
        raise DataflowError("nothing to draw: the result has no rows")
    return _Shape(time, labels, measures)


def _numbers(name: str, column: Column) -> tuple[NDArray[np.float64], str]:
    """The values as floats (NaN for null) in a unit that reads well, and the title that names it."""
    values = column.values.astype(np.float64)
    if column.valid is not None:
        values[~column.valid] = np.nan
    title = printable(name)
    if column.type.places is not None:
        return values / 10**column.type.places, title
    if column.type is Type.DURATION:
        known = np.abs(values[np.isfinite(values)])
        largest = float(known.max()) if len(known) else 0.0
        unit, size = next(((u, s) for u, s in _SPANS if largest >= 2 * s), _SPANS[-1])
        return values / size, f"{title} ({unit})"
    return values, title


def _draw(columns: dict[str, Column], shape: _Shape) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    measures = shape.measures[:_MAX_PANELS]
    hidden = len(shape.measures) - len(measures)
    by = [printable(n) for n in (*((shape.time,) if shape.time else ()), *shape.labels)]
    what = ", ".join(printable(m) for m in measures) + (f" and {hidden} more" if hidden else "")
    title = what + (f" by {', '.join(by)}" if by else "")
    with matplotlib.rc_context(_STYLE):
        if shape.time is not None:
            figure = Figure(figsize=(9, 0.8 + 2.6 * len(measures)), layout="constrained", label=title)
            panels = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
            _lines(figure, panels, columns, shape, measures)
        else:
            labels = _labels(columns, shape.labels)
            note = f"the first {_MAX_BARS} of {len(labels)} rows" if len(labels) > _MAX_BARS else ""
            labels = labels[:_MAX_BARS]
            across = min(3, len(measures))
            down = math.ceil(len(measures) / across)
            height = 1.3 + down * max(1.2, 0.6 + 0.32 * len(labels))
            figure = Figure(figsize=(max(6, 1.5 + 3.5 * across), height), layout="constrained", label=title)
            panels = figure.subplots(down, across, squeeze=False, sharey=True)
            _bars(panels.ravel(), columns, labels, measures, note)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _labels(columns: Mapping[str, Column], names: Sequence[str]) -> list[str]:
    if not names:
        return [""] * len(next(iter(columns.values())))
    cells = [format_column(columns[n]) for n in names]
    return [" · ".join("not reported" if c == NULL else c for c in row) for row in zip(*cells, strict=True)]


def _clean(axes: Axes, title: str, grid: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_QUIET)
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _bars(
    panels: NDArray[Any], columns: Mapping[str, Column], labels: list[str], measures: Sequence[str], note: str
) -> None:
    places = np.arange(len(labels))
    for axes, name in zip(panels, measures, strict=False):
        values, title = _numbers(name, columns[name])
        values = values[: len(labels)]
        texts = format_column(columns[name].take(places.astype(np.intp)))
        if columns[name].type is Type.DURATION:
            texts = [text.partition(".")[0] for text in texts]
        _clean(axes, title, "x")
        drawn = np.where(np.isfinite(values), values, 0.0)
        axes.barh(places, drawn, height=0.68, color=_COLORS[0])
        top, low = max(0.0, float(drawn.max())), min(0.0, float(drawn.min()))
        room = 0.018 * len(max(texts, key=len)) + 0.05  # for the figures at the ends of the bars
        span = (top - low) or 1.0
        axes.set_xlim(low - (span * room if low else 0), top + (span * room if top or not low else 0))
        for place, value, text in zip(places, drawn, texts, strict=True):
            axes.annotate(
                text,
                (value, place),
                xytext=(-4 if value < 0 else 4, 0),
                textcoords="offset points",
                ha="right" if value < 0 else "left",
                va="center",
                fontsize=8.5,
                color=_QUIET if text == NULL else _INK,
            )
        axes.set_yticks(places, labels, color=_INK)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.xaxis.set_major_locator(_ticks(4))
        axes.xaxis.set_major_formatter(_thousands())
    for axes in panels[len(measures) :]:
        axes.set_visible(False)
    if note:
        panels[0].set_xlabel(note, fontsize=8.5, loc="left")


def _ticks(n: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n)


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.10g}")


def _lines(
    figure: Figure, panels: NDArray[Any], columns: Mapping[str, Column], shape: _Shape, measures: Sequence[str]
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    assert shape.time is not None
    clock = columns[shape.time]
    times = clock.values.astype("M8[us]")
    known = np.ones(len(clock), np.bool_) if clock.valid is None else clock.valid
    names = _labels(columns, shape.labels)
    groups = list(dict.fromkeys(names))
    shown = groups[:_MAX_LINES]
    position = {g: i for i, g in enumerate(groups)}
    membership = np.array([position[n] for n in names], np.int64)
    for axes, name in zip(panels, measures, strict=True):
        values, title = _numbers(name, columns[name])
        _clean(axes, title, "y")
        for i, group in enumerate(shown):
            rows = np.flatnonzero((membership == i) & known)
            rows = rows[np.argsort(times[rows], kind="stable")]
            marker = "o" if len(rows) < 60 else ""
            axes.plot(
                times[rows], values[rows], color=_COLORS[i], linewidth=1.8, marker=marker, markersize=3.5, label=group
            )
        axes.margins(x=0.02, y=0.12)
        locator = AutoDateLocator(minticks=3, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.yaxis.set_major_locator(_ticks(5))
        axes.yaxis.set_major_formatter(_thousands())
    if len(groups) > 1:
        title = " · ".join(printable(n) for n in shape.labels)
        if len(groups) > len(shown):
            title += f" (first {len(shown)} of {len(groups)})"
        handles, texts = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside right upper", frameon=False, title=title, alignment="left", fontsize=9
        )
