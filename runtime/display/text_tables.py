"""Tables for terminals and notebooks."""

from __future__ import annotations

import html
import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column
from runtime.display.pieces import PIECE, parts
from runtime.progress import count_of

NULL = "—"
_GAP = "   "
_EPOCH = datetime(1970, 1, 1)
_MAX_CELL = 48
_SECOND = 1_000_000
_DATE = 10
"""Characters of a time without its time of day."""

_DAY = 86_400 * _SECOND
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_LEFT = (Type.STRING, Type.TIME, Type.BOOL, Type.JSON)


def iso(us: int) -> str:
    """An event time as ISO-8601 in UTC with microseconds: ``2024-03-01T00:00:00.000000Z``."""
    try:
        return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds") + "Z"
    except OverflowError:  # outside the years 1 to 9999
        return str(np.datetime64(us, "us")) + "Z"


def human_duration(us: int, digits: int = 0) -> str:
    """A duration for people, ``3d 04:12:09`` or ``04:12:09``, with ``digits`` (0, 3 or 6) fractional digits of the
    seconds."""
    sign, us = ("-", -us) if us < 0 else ("", us)
    days, rest = divmod(us, _DAY)
    seconds, part = divmod(rest, _SECOND)
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
    if digits:
        text += f".{part:06}"[: digits + 1]
    return f"{sign}{days}d {text}" if days else sign + text


def printable(text: str, limit: int | None = _MAX_CELL) -> str:
    """The text with control characters (line ends, escape sequences) spelled out, cut to ``limit`` characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def format_column(column: Column, limit: int | None = _MAX_CELL, written: int | None = None) -> list[str]:
    """The cells of one column as text, numbers all to the same decimals, strings cut to ``limit`` characters.

    ``written`` is what ``_written`` says of a column of which this is a part.
    """
    written = _written(column) if written is None else written
    values = column.to_list() if column.type is not Type.JSON else []
    match column.type:
        case Type.FLOAT:
            return [_float(v, written) if isinstance(v, float) else NULL for v in values]
        case Type.TIME:
            end = "Z" if written > _DATE else ""
            return [iso(v)[:written] + end if isinstance(v, int) else NULL for v in values]
        case Type.DURATION:
            return [human_duration(v, written) if isinstance(v, int) else NULL for v in values]
        case Type.BOOL:
            return [NULL if v is None else "true" if v else "false" for v in values]
        case Type.JSON:
            return [NULL if t is None else printable(t, limit) for t in column.texts()]
        case _ if column.type.places is not None:
            return [NULL if v is None else format(v, "f") for v in values]
        case _:
            return [NULL if v is None else printable(str(v), limit) for v in values]


def _written(column: Column) -> int:
    """How all values of a column are written: decimals of floats, characters of times, digits of durations' seconds."""
    if column.type not in (Type.FLOAT, Type.TIME, Type.DURATION):
        return 0
    values = column.values if column.valid is None else column.values[column.valid]
    if column.type is Type.FLOAT:
        return _decimals(values.astype(np.float64))
    whole = values.astype(np.int64)
    if column.type is Type.DURATION:
        return _fraction_digits(whole)
    digits = _fraction_digits(whole)
    return _DATE if not (whole % _DAY).any() else 19 + (digits + 1 if digits else 0)


def _fraction_digits(values: NDArray[np.int64]) -> int:
    if not (values % _SECOND).any():
        return 0
    return 6 if (values % 1000).any() else 3


def _decimals(values: NDArray[np.float64]) -> int:
    finite = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(finite):
        return 1
    whole = max(0, math.floor(math.log10(float(finite.max()))) + 1)
    limit = min(6, max(2, 6 - whole))
    for decimals in range(1, limit):
        some = (finite[at : at + PIECE].tolist() for at in range(0, len(finite), PIECE))
        if all(round(v, decimals) == v for part in some for v in part):
            return decimals
    return limit


def _float(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    # Three significant digits, where the common number of decimals would leave less of a small number.
    if size >= 1e15 or abs(round(value, decimals) - value) > 0.005 * size:
        return f"{value:.3g}"
    return f"{value:.{decimals}f}"


def cell_width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    space = " " * (width - cell_width(text))
    return text + space if left else space + text


def _head(columns: Mapping[str, Column], max_rows: int | None) -> tuple[dict[str, Column], int, int]:
    """The first rows, how many rows there are, and how many of them are hidden."""
    rows = len(next(iter(columns.values()))) if columns else 0
    hidden = 0 if max_rows is None else max(0, rows - max_rows)
    if not hidden:
        return dict(columns), rows, 0
    shown = np.arange(rows - hidden, dtype=np.intp)
    return {name: column.take(shown) for name, column in columns.items()}, rows, hidden


def _wrapped(line: str, width: int | None) -> list[str]:
    """A line on as many lines as it takes, cut between words; the further ones are indented."""
    if width is None or cell_width(line) < width:
        return [line]
    size = max(10, width - 1)
    return textwrap.wrap(line, size, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or [""]


def text_table(
    columns: Mapping[str, Column],
    *,
    width: int | None = None,
    color: bool = False,
    max_rows: int | None = None,
    footer: Sequence[str] = (),
    noun: str = "row",
) -> str:
    """The lines of ``text_lines``, without a line end after the last."""
    return "\n".join(text_lines(columns, width=width, color=color, max_rows=max_rows, footer=footer, noun=noun))


class _Cells:
    """The cells of one column as text, a piece at a time, all as wide as the widest one."""

    def __init__(self, name: str, column: Column, written: Callable[[Column, int], list[str]], least: int = 0) -> None:
        self._column, self._written = column, written
        self._how = _written(column)
        self.title = name
        self.left = column.type in _LEFT
        self._whole = [written(column, self._how)] if len(column) <= PIECE else None
        self.width = max(least, cell_width(name), *(max(map(cell_width, body), default=0) for body in self._bodies()))

    def _bodies(self) -> Iterable[list[str]]:
        return self._whole or (self._written(part, self._how) for part in parts(self._column))

    def pieces(self) -> Iterator[list[str]]:
        """The padded cells."""
        for body in self._bodies():
            yield [self.padded(cell) for cell in body]

    def padded(self, text: str) -> str:
        """The text, as wide as the column."""
        return _pad(text, self.width, self.left)


def text_lines(
    columns: Mapping[str, Column],
    *,
    width: int | None = None,
    color: bool = False,
    max_rows: int | None = None,
    footer: Sequence[str] = (),
    noun: str = "row",
) -> Iterator[str]:
    """The columns as lines of text.

    Columns that do not fit in ``width`` and rows past ``max_rows`` are omitted, and the line after the table says how
    many. ``footer`` are lines below that; ``noun`` is what a row is called.
    """
    shown, rows, hidden_rows = _head(columns, max_rows)
    limit = None if width is None else max(_MAX_CELL, width // 2)
    cells: list[_Cells] = []
    used = 1
    for name, column in shown.items():
        cell = _Cells(printable(name), column, lambda part, how: format_column(part, limit, how))
        needed = used + cell.width + (len(_GAP) if cells else 0)
        if width is not None and cells and needed > width:
            break
        used = needed
        cells.append(cell)

    def style(text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if color else text

    if cells:
        yield style((" " + _GAP.join(cell.padded(cell.title) for cell in cells)).rstrip(), _BOLD)
        yield style(" " + _GAP.join("─" * cell.width for cell in cells), _DIM)
    for bodies in zip(*(cell.pieces() for cell in cells), strict=True):
        for row in zip(*bodies, strict=True):
            line = (" " + _GAP.join(row)).rstrip()
            yield line.replace(NULL, style(NULL, _DIM)) if color else line
    note = count_of(rows, noun)
    if hidden_rows:
        yield " ⋮"
        note += f", {hidden_rows:,} of them not shown"
    if len(cells) < len(shown):
        names = ", ".join(printable(n) for n in list(shown)[len(cells) :])
        note += f"; {count_of(len(shown) - len(cells), 'column')} not shown: {names}"
    for line in (note, *footer):
        for part in _wrapped(printable(line, None), width):
            yield style(f" {part}", _DIM)


def markdown_table(columns: Mapping[str, Column]) -> str:
    """The lines of ``markdown_lines``, without a line end after the last."""
    return "\n".join(markdown_lines(columns))


def markdown_lines(columns: Mapping[str, Column]) -> Iterator[str]:
    """The columns as a table of GitHub's Markdown, every text escaped, numbers to the right."""
    cells = [_Cells(_markdown(printable(name, None)), column, _escaped, 3) for name, column in columns.items()]
    rule = [f":{'-' * (c.width - 1)}" if c.left else f"{'-' * (c.width - 1)}:" for c in cells]
    yield f"| {' | '.join(c.padded(c.title) for c in cells)} |"
    yield f"| {' | '.join(rule)} |"
    for bodies in zip(*(c.pieces() for c in cells), strict=True):
        for row in zip(*bodies, strict=True):
            yield f"| {' | '.join(row)} |"


def _escaped(part: Column, how: int) -> list[str]:
    return [_markdown(cell) for cell in format_column(part, None, how)]


def _markdown(text: str) -> str:
    """The text without a meaning in Markdown; an underscore within a word has none."""
    return re.sub(r"[\\|`*<\[\]~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def html_table(columns: Mapping[str, Column], *, max_rows: int | None = None, footer: Sequence[str] = ()) -> str:
    """The columns as an HTML table, every text escaped."""
    shown, rows, hidden = _head(columns, max_rows)
    cells = [(name, format_column(c, None), "left" if c.type in _LEFT else "right") for name, c in shown.items()]
    head = "".join(f'<th style="text-align:{align}">{html.escape(name)}</th>' for name, _, align in cells)
    lines = ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for i in range(rows - hidden):
        row = "".join(f'<td style="text-align:{align}">{html.escape(body[i])}</td>' for _, body, align in cells)
        lines.append(f"<tr>{row}</tr>")
    note = count_of(rows, "row") + (f", {hidden:,} of them not shown" if hidden else "")
    note = "<br>".join(html.escape(line) for line in (note, *footer))
    lines += ["</tbody>", "</table>", f"<p><small>{note}</small></p>"]
    return "\n".join(lines)
