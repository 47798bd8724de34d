"""Chooses what a chart shows: its axes, the groups that fit, and how values are labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dataflow.expressions.aggregate_calls import Named
from dataflow.steps import GroupBy, Sort, Window, WithColumns
from dataflow.steps.base import Step
from dataflow.times.durations import Every, parse_every
from operators.distinct_values import distinct
from operators.errors import DataflowError
from operators.types import Type
from runtime.columns import Column
from runtime.display.text_tables import NULL, format_column, human_duration, printable

Floats = NDArray[np.float64]

_SPANS = (
    ("days", 86_400_000_000),
    ("hours", 3_600_000_000),
    ("minutes", 60_000_000),
    ("seconds", 1_000_000),
    ("milliseconds", 1_000),
    ("microseconds", 1),
)
_DAY = 86_400_000_000
_LABEL, _LINE = 56, 28


@dataclass(frozen=True)
class Buckets:
    """The calendar buckets of a time column: their length in microseconds, the longest of them, and their zone."""

    longest: int
    zone: str


@dataclass(frozen=True)
class Hints:
    """Hints from a metric: its group columns (None: unknown), the buckets of time columns, and whether it sorts the
    rows."""

    by: tuple[str, ...] | None = None
    buckets: Mapping[str, Buckets] = field(default_factory=dict)
    ordered: bool = False


def hints_of(steps: Sequence[Step]) -> Hints:
    """The hints of a metric's steps."""
    by: tuple[str, ...] | None = None
    buckets: dict[str, Buckets] = {}
    ordered = False
    for step in steps:
        match step:
            case Window():
                buckets["start"] = _buckets(parse_every(step.every, "window"), step.zone)
            case WithColumns():
                buckets |= _truncated(step.columns, buckets)
            case GroupBy():
                by, ordered = tuple(n for n, _ in step.by), False
                buckets = _truncated(step.by, buckets)
            case Sort():
                ordered = True
            case _:
                pass
    return Hints(by, buckets, ordered)


def _truncated(columns: Named, before: Mapping[str, Buckets]) -> dict[str, Buckets]:
    out = {}
    for name, e in columns:
        if e.fn == "truncate":
            out[name] = _buckets(parse_every(str(e.option("every")), "truncate"), str(e.option("zone")))
        elif e.fn == "col" and str(e.option("name")) in before:
            out[name] = before[str(e.option("name"))]
    return out


def _buckets(every: Every, zone: str) -> Buckets:
    return Buckets(every.months * 31 * _DAY or every.micros, zone)


@dataclass(frozen=True)
class ChartShape:
    """Which columns are the time axis, the categories and the measures."""

    time: str | None
    labels: tuple[str, ...]
    measures: tuple[str, ...]


def shape_of(columns: Mapping[str, Column], hints: Hints) -> ChartShape:
    """The shape of a result; DataflowError if there is nothing to draw.

    If the metric's group columns are unknown, the leading times, strings and booleans are taken.
    """
    names = list(columns)
    if hints.by is not None and set(hints.by) <= set(names):
        led = [n for n in names if n in hints.by]
    else:
        led = []
        while len(led) < len(names) and columns[names[len(led)]].type in (Type.STRING, Type.TIME, Type.BOOL):
            led.append(names[len(led)])
        if not led and len(names) > 1 and columns[names[0]].type is Type.INT and len(columns[names[0]]) > 1:
            led = names[:1]  # a number, for example the hour of the day
    time = next((n for n in led if columns[n].type is Type.TIME), None)
    measures = tuple(n for n in names if n not in led and is_drawn(columns[n]))
    if not measures:
        raise DataflowError(
            "nothing to draw: the result has no numeric column; aggregate something, for example df.count()"
        )
    if not len(columns[names[0]]):
        raise DataflowError("nothing to draw: the result has no rows")
    return ChartShape(time, tuple(n for n in led if n != time), measures)


def is_drawn(column: Column) -> bool:
    """Whether the values are numbers of some kind."""
    return column.type.is_numeric or column.type.places is not None


@dataclass(frozen=True)
class Measure:
    """A column as numbers, NaN where it is null or not finite, in a readable unit; ``title`` names it.

    ``floor`` is where an axis has to begin so that the values differ visibly: None for zero, where amounts begin.
    ``whole``: only whole numbers can occur.
    """

    values: Floats
    title: str
    floor: float | None
    ceiling: float | None
    whole: bool = False


def measure_of(name: str, column: Column, width: int = _LABEL) -> Measure:
    """The numbers of a column; the title has at most ``width`` characters of its name."""
    values = column.values.astype(np.float64)
    if column.valid is not None:
        values[~column.valid] = np.nan
    values[~np.isfinite(values)] = np.nan
    title = printable(name, width)
    if column.type.places is not None:
        return Measure(values / 10**column.type.places, title, None, None)
    if column.type is Type.DURATION:
        known = np.abs(values[np.isfinite(values)])
        largest = float(known.max()) if len(known) else 0.0
        unit, size = next(((u, s) for u, s in _SPANS if largest >= 2 * s), _SPANS[-1])
        return Measure(values / size, f"{title} ({unit})", None, None)
    if column.type is Type.FLOAT:
        return Measure(values, title, *_window(values))
    return Measure(values, title, None, None, whole=True)


def _window(values: Floats) -> tuple[float | None, float | None]:
    """The axis range for levels and shares that are all far from zero; amounts begin at zero."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None, None
    low, high = float(known.min()), float(known.max())
    if low <= 0 or high == low or high - low > 0.4 * high:
        return None, None
    room = 0.12 * (high - low)
    return low - room, 1.0 if high <= 1.0 < high + room else high + room


def texts_of(column: Column) -> list[str]:
    """The values as labels beside their bars: with thousands separators, durations to the second."""
    texts = format_column(column)
    match column.type:
        case Type.INT:
            return [t if t == NULL else f"{int(t):,}" for t in texts]
        case Type.DURATION:
            return [_length(v) if isinstance(v, int) else NULL for v in column.to_list()]
        case Type.FLOAT:
            return [NULL if t == NULL else _apart(t) for t in texts]
        case _ if column.type.places is not None:
            return [NULL if t == NULL else _apart(t) for t in texts]
        case _:
            return texts


def _length(us: int) -> str:
    if abs(us) >= 1_000_000 or us == 0:
        return human_duration(us)
    return f"{us / 1000:g} ms" if abs(us) >= 1000 else f"{us} µs"


def _apart(text: str) -> str:
    """A decimal number with thousands separators."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{rest}" if whole.isdecimal() else text


def labels_of(columns: Mapping[str, Column], names: Sequence[str]) -> list[str]:
    """The name of each row's group."""
    if not names:
        return [""] * len(next(iter(columns.values())))
    return [" · ".join(row) for row in zip(*(_cells(columns[n]) for n in names), strict=True)]


def _cells(column: Column) -> list[str]:
    """The values of a group column; a text may be empty, or look like null."""
    texts = [text or '""' for text in format_column(column, None)]
    if column.valid is None:
        return texts
    return [text if known else "not reported" for text, known in zip(texts, column.valid.tolist(), strict=True)]


def readable(label: str) -> str:
    """A label on at most two lines; a longer one is shortened in the middle, because names often differ at their
    ends."""
    if len(label) > _LABEL:
        label = f"{label[: _LABEL // 2]}…{label[-(_LABEL // 2 - 1) :]}"
    if len(label) <= _LINE:
        return label
    cut = label.rfind(" ", _LABEL - _LINE - 8, _LINE + 1)
    cut = _LINE if cut < 0 else cut
    return f"{label[:cut].rstrip()}\n{label[cut:].lstrip()}"


def sizes_of(columns: Mapping[str, Column], measures: Sequence[str]) -> tuple[str, Floats]:
    """The measure that ranks groups, and its values: the first amount, else the first measure."""
    amounts = [n for n in measures if columns[n].type is not Type.FLOAT]
    name = (amounts or list(measures))[0]
    return name, measure_of(name, columns[name]).values


def broken(times: NDArray[np.int64], values: Floats, longest: int | None) -> tuple[NDArray[np.int64], Floats]:
    """A line's points, in order of time, with a NaN wherever a bucket is missing between two of them."""
    if longest is None or len(times) < 2:
        return times, values
    after = np.flatnonzero(np.diff(times) > 1.5 * longest) + 1
    middle = times[after - 1] + np.diff(times)[after - 1] // 2
    return np.insert(times, after, middle), np.insert(values, after, np.nan)


def bucket_length(times: NDArray[np.int64], given: Buckets | None) -> int | None:
    """The bucket length of times that begin buckets: the metric's, else the smallest step if all are multiples of it;
    None if they are not buckets."""
    if given is not None:
        return given.longest
    steps = np.diff(distinct(times))
    if len(steps) < 2:
        return None
    least = int(steps.min())
    ratio = steps.astype(np.float64) / least
    # Months and days on which the clocks change differ a little.
    return int(1.12 * least) if np.all(np.abs(ratio - np.round(ratio)) <= 0.12 * np.round(ratio)) else None
