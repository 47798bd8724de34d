"""The answer to a query: typed columns, the proof that nothing was left out, and the ways out of here."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.types import Type
from runtime.columns import Column
from runtime.display.text_tables import html_table, iso, text_table
from runtime.errors import QueryError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from dataflow.steps.base import Step
    from runtime.catalogue import Catalogue, Snapshot
    from runtime.display.plot import Plot
    from runtime.result.cost import Cost

_EXACT = 2**53  # the largest range in which every JSON reader keeps integers exactly
_REPR_ROWS, _REPR_FILES = 40, 10


class AnyProof(Protocol):
    """What shows that an answer is whole."""

    def to_dict(self) -> dict[str, object]:
        """The proof as plain JSON values."""


class Question(Protocol):
    """How a result was asked for: the metric's steps, the store's catalogue, and what of it was read."""

    @property
    def steps(self) -> Sequence[Step]:
        """The steps of the metric."""

    @property
    def snapshot(self) -> Snapshot:
        """The commit that was read."""

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue that it is of."""

    def explain(self, result: Result, row: int | Mapping[str, object], limit: int) -> Explanation:
        """See ``Result.explain``."""


class Result:
    """A table with names and types, in the order the metric's sort gives (else by its group columns).

    ``columns`` maps each name to a ``Column`` (all of one length); ``proof`` shows what was read. ``len(result)``
    is the number of rows; iterating gives tuples of Python values, with None for null, and times and durations
    as integer microseconds. ``result["name"]`` is the list of one column's values.
    """

    def __init__(self, columns: Mapping[str, Column], proof: AnyProof) -> None:
        self.columns: dict[str, Column] = dict(columns)
        self.proof = proof
        self.asked: Question | None = None
        """How a store was asked for this; None of a result that came otherwise."""
        self.cost: Cost | None = None
        """What the invocations cost that it took; None of a result that this machine or an executor computed."""
        self.notes: list[str] = list(getattr(proof, "notes", ()))
        """What a reader should know of these numbers, a sentence each."""
        lengths = {len(c) for c in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of one result must have one length, not {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return zip(*(c.to_list() for c in self.columns.values()), strict=True)

    def __getitem__(self, name: str) -> list[object]:
        return self._column(name).to_list()

    def __repr__(self) -> str:
        return self.to_text(width=shutil.get_terminal_size().columns, max_rows=_REPR_ROWS)

    def _repr_html_(self) -> str:
        return html_table(self.columns, max_rows=_REPR_ROWS, footer=self._footer())

    @property
    def types(self) -> dict[str, Type]:
        """The type of each column."""
        return {name: column.type for name, column in self.columns.items()}

    def to_text(self, *, width: int | None = None, color: bool = False, max_rows: int | None = None) -> str:
        """The table as text, with its range, the rows that were read and the rejected ones under it.

        ``width`` and ``max_rows`` limit the table, and the line after it says what is not shown.
        """
        return text_table(self.columns, width=width, color=color, max_rows=max_rows, footer=self._footer())

    def to_dict(self) -> dict[str, object]:
        """The result as plain JSON values: ``{"columns", "types", "rows", "proof"}``.

        Durations are integer microseconds, times ISO-8601 UTC with microseconds, integers beyond 2**53 strings,
        and the floats that JSON has no form for the strings ``NaN``, ``Infinity`` and ``-Infinity``.
        """
        plain = [_plain(column) for column in self.columns.values()]
        return {
            "columns": list(self.columns),
            "types": {name: column.type.value for name, column in self.columns.items()},
            "rows": [list(row) for row in zip(*plain, strict=True)],
            "proof": self.proof.to_dict(),
        }

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """The result as CSV with a header: written to ``path``, or returned when there is none.

        Null is an empty field, the empty string ``""``. Strings that a spreadsheet would run as a formula
        (those that begin with ``= + - @``, a tab or an end of line) get an apostrophe in front.
        """
        from runtime.display.export import csv_lines

        lines = csv_lines(self.columns)
        if path is None:
            return "".join(lines)
        try:
            with open(path, "w", encoding="utf-8", newline="") as out:
                out.writelines(lines)
        except OSError as e:
            raise DataflowError(f"cannot write {path}: {e.strerror}; choose another file") from e
        return None

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame: times ``datetime64[us, UTC]``, durations ``timedelta64[us]``, strings categorical.

        Integers and booleans with nulls become the nullable ``Int64`` and ``boolean``; a null float is NaN.
        """
        from runtime.display.export import to_pandas

        return to_pandas(self.columns)

    def to_polars(self) -> polars.DataFrame:
        """A polars DataFrame: times ``Datetime("us", "UTC")``, durations ``Duration("us")``, strings categorical."""
        from runtime.display.export import to_polars

        return to_polars(self.columns)

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table: times ``timestamp[us, UTC]``, durations ``duration[us]``, strings dictionary-encoded."""
        from runtime.display.export import to_arrow

        return to_arrow(self.columns)

    def plot(self, path: str | Path | None = None) -> Plot:
        """Draw the result: lines over the first time column that it is grouped by, else bars by the groups.

        One panel per numeric column, each with an axis of its own. Lines have gaps where buckets of time are missing;
        nulls are not drawn. Of many groups the largest are shown, and the chart says so. ``path`` ends in ``.png``,
        ``.svg`` or ``.html`` (one page with the chart and the table, nothing loaded from elsewhere). Needs the extra
        ``antfold[plot]``.
        """
        from runtime.display.chart_data import hints_of
        from runtime.display.plot import Plot

        plot = Plot(self.columns, None if self.asked is None else hints_of(self.asked.steps), self._footer())
        if path is not None:
            plot.save(path)
        return plot

    def explain(self, row: int | Mapping[str, object], limit: int = 1000) -> Explanation:
        """Where the numbers of one row come from: the keys and intervals (or points, sessions, ...) behind it, and the
        point files that hold them.

        ``row`` is its number, from 0 on, or values that tell it from the others, as ``{"firmware": "1.0"}``; text is
        read as the column's type, so times are ISO-8601 and ``"null"`` is null. The metric is run again without its
        last grouping, for that group, over the files that the result was made of. ``limit`` is how many rows to show.

        QueryError for a row that is not there or not the only one, for a result that no ``Store.query`` gave, for a
        partial one, and where files of the result are no longer part of the store.
        """
        if isinstance(self, PartialResult):
            raise QueryError("a partial result cannot be explained: parts of what is behind it were not read")
        if self.asked is None:
            raise QueryError(
                "this result does not say how it was asked for; only what Store.query gave can be explained"
            )
        return self.asked.explain(self, row, limit)

    def why_empty(self) -> str:
        """Why the result has no rows, as far as its proof says; empty if it has some, or no store gave it."""
        from runtime.result.footer import why_none

        return why_none(self.proof, None if self.asked is None else self.asked.snapshot, len(self))

    def _footer(self) -> list[str]:
        from runtime.result.footer import footer

        asked = self.asked
        return footer(
            self.proof, self.notes, len(self), *((None, None) if asked is None else (asked.snapshot, asked.catalogue))
        )

    def _column(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            raise DataflowError(
                f"the result has no column {name!r}; {meant(name, self.columns, 'it')} has {listed(self.columns)}"
            )
        return column


class PartialResult(Result):
    """An answer that is known to be incomplete; ``missing`` names what could not be read."""

    def __init__(self, columns: Mapping[str, Column], proof: AnyProof, missing: tuple[str, ...]) -> None:
        super().__init__(columns, proof)
        self.missing = tuple(missing)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n PARTIAL: {self._note()}"

    def _repr_html_(self) -> str:
        from html import escape

        return f"{super()._repr_html_()}\n<p><b>Partial:</b> {escape(self._note())}</p>"

    def to_dict(self) -> dict[str, object]:
        """As of a whole result, with the list ``missing`` beside it."""
        return {**super().to_dict(), "missing": list(self.missing)}

    def _note(self) -> str:
        return f"{len(self.missing)} not read: {', '.join(self.missing)}"


@dataclass(frozen=True)
class Explanation:
    """What is behind one row of an answer.

    ``answer`` is that row, and ``row`` its values by column. ``rows`` are the rows that were grouped into it, in the
    order of key and time: points, intervals (cut by the clock as the grouping and its aggregates cut them), sessions,
    windows and the like, or the rows of the grouping before it; of a metric without grouping, the row itself. They
    show the key, the times, the state, and what the metric grouped by and aggregated. ``total`` is how many there are,
    of which ``rows`` may be just the first. ``keys`` is how many keys of the stream they come from, ``files`` the point
    files that hold points of these keys at those times, and those that a value was carried in from: never fewer than
    are needed, and more only where rows depend on earlier ones (``last``, ``previous``, combined timelines, unknown
    time), where pieces of intervals come again (an hour of the day), on what other keys did (numbers of keys at once),
    or on very many groups of another grouping.
    """

    answer: Result
    rows: Result
    total: int
    keys: int
    files: tuple[str, ...]

    @property
    def row(self) -> dict[str, object]:
        """The values of the row, by column."""
        return {name: column.to_list()[0] for name, column in self.answer.columns.items()}

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values: ``{"row", "rows", "total", "keys", "files"}``; ``rows`` is as of ``Result.to_dict``."""
        plain = self.answer.to_dict()
        return {
            "row": dict(zip(self.answer.columns, plain["rows"][0], strict=True)),  # type: ignore[index]
            "rows": self.rows.to_dict(),
            "total": self.total,
            "keys": self.keys,
            "files": list(self.files),
        }

    def to_text(
        self,
        *,
        width: int | None = None,
        color: bool = False,
        max_rows: int | None = None,
        all_files: bool = False,
    ) -> str:
        """For a terminal: the rows as a table, then how many there are, of how many keys, and the files."""
        hidden = 0 if all_files else max(0, len(self.files) - _REPR_FILES)
        shown = [f" {path}" for path in self.files[: len(self.files) - hidden]]
        more = [f" ⋮ {hidden:,} more"] if hidden else []
        table = self.rows.to_text(width=width, color=color, max_rows=max_rows)
        return "\n".join([table, f" {self._note()}", *shown, *more])

    def __repr__(self) -> str:
        return self.to_text(width=shutil.get_terminal_size().columns, max_rows=_REPR_ROWS)

    def _note(self) -> str:
        first = f"the first {len(self.rows):,} of " if len(self.rows) < self.total else ""
        counts = counted(self.total, "row"), counted(self.keys, "key"), counted(len(self.files), "file")
        return f"{first}{counts[0]} of {counts[1]}, from {counts[2]}:"


def counted(n: int, noun: str) -> str:
    """A number of things, in words: "1 row", "2,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _plain(column: Column) -> list[object]:
    """The values of a column as JSON has them."""
    values = column.to_list()
    match column.type:
        case Type.TIME:
            return [iso(v) if isinstance(v, int) else None for v in values]
        case Type.FLOAT:
            return [_plain_float(v) if isinstance(v, float) else None for v in values]
        case Type.INT | Type.DURATION:
            return [str(v) if isinstance(v, int) and not -_EXACT <= v <= _EXACT else v for v in values]
        case _:
            return values


def _plain_float(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
