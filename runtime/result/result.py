"""The result of a query: typed columns, proof, exports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.types import Type
from runtime.columns import Column
from runtime.display.json_form import json_pieces, plain_rows
from runtime.display.pieces import batched_text
from runtime.display.text_tables import html_table, text_lines
from runtime.errors import QueryError
from runtime.progress import count_of

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from dataflow.steps.base import Step
    from runtime.catalogue import Catalogue, Snapshot
    from runtime.display.plot import Plot
    from runtime.result.cost import Cost

_REPR_ROWS, _REPR_FILES = 40, 10


class AnyProof(Protocol):
    """A proof that a result is complete."""

    def to_dict(self) -> dict[str, object]:
        """The proof as plain JSON values."""


class Question(Protocol):
    """The query behind a result: the metric's steps, the store's catalogue, and the snapshot that was read."""

    @property
    def steps(self) -> Sequence[Step]:
        """The steps of the metric."""

    @property
    def snapshot(self) -> Snapshot:
        """The commit that was read."""

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue of the snapshot."""

    def explain(self, result: Result, row: int | Mapping[str, object], limit: int) -> Explanation:
        """See ``Result.explain``."""


class Result:
    """A table with named, typed columns, in the metric's sort order (else by its group columns).

    ``columns`` maps each name to a ``Column`` (all of one length); ``proof`` shows what was read. ``len(result)``
    is the number of rows; iterating gives tuples of Python values, with None for null, and times and durations
    as integer microseconds. ``result["name"]`` is the list of one column's values.
    """

    def __init__(self, columns: Mapping[str, Column], proof: AnyProof) -> None:
        self.columns: dict[str, Column] = dict(columns)
        self.proof = proof
        self.asked: Question | None = None
        """The query of a store; None for other results."""
        self.cost: Cost | None = None
        """The cost of its invocations; None if this machine or an executor computed it."""
        self.notes: list[str] = list(getattr(proof, "notes", ()))
        """Sentences that a reader of these numbers should know."""
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
        """The table as text, followed by its range and the numbers of rows read and rejected.

        ``width`` and ``max_rows`` limit the table; the line after it says what is not shown.
        """
        return "\n".join(self.text_lines(width=width, color=color, max_rows=max_rows))

    def text_lines(
        self, *, width: int | None = None, color: bool = False, max_rows: int | None = None
    ) -> Iterator[str]:
        """The lines of ``to_text``, one by one: of a large result they take much more memory than the result."""
        return text_lines(self.columns, width=width, color=color, max_rows=max_rows, footer=self._footer())

    def to_dict(self) -> dict[str, object]:
        """The result as plain JSON values: ``{"columns", "types", "rows", "proof"}``.

        Durations are integer microseconds, times ISO-8601 UTC with microseconds, integers beyond 2**53 strings, and
        floats that JSON cannot represent the strings ``NaN``, ``Infinity`` and ``-Infinity``.
        """
        return {**self.form(), "rows": plain_rows(self.columns)}

    def form(self) -> dict[str, object]:
        """``to_dict``, but with None for the rows."""
        return {
            "columns": list(self.columns),
            "types": {name: column.type.value for name, column in self.columns.items()},
            "rows": None,
            "proof": self.proof.to_dict(),
        }

    def to_json(self, path: str | Path | None = None) -> str | None:
        """``to_dict`` as JSON text on one line, decimals as text: written to ``path``, or returned without one.

        The file is written a few rows at a time, and appears whole or not at all; one that is there is replaced.
        """
        return _written(json_pieces(self), path, "\n")

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """The result as CSV with a header: written to ``path``, a few rows at a time, or returned without one.

        Null is an empty field, the empty string ``""``. Strings that a spreadsheet would run as a formula (those that
        begin with ``= + - @``, a tab or a line break) are prefixed with an apostrophe.
        """
        from runtime.display.export import csv_lines

        return _written(csv_lines(self.columns), path)

    def to_parquet(self, path: str | Path) -> None:
        """Write the result as Parquet to ``path``, which appears whole or not at all; a file that is there is replaced.

        Times are timestamps in UTC with microseconds, durations Arrow's durations (int64 microseconds), text plain
        strings, decimals decimals. Needs the extra ``antfold[parquet]``.
        """
        from operators.files import whole_file
        from runtime.display.table_files import write_table

        try:
            with whole_file(Path(path), replace=True) as out:
                write_table(out, "parquet", self.columns)
        except OSError as e:
            raise DataflowError(f"cannot write {path}: {e.strerror}; choose another file") from e

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

    def reference_columns(self) -> Sequence[tuple[str, Type, tuple[bool | int | float | str | None, ...]]]:
        """The columns as ``df.table(result)`` takes them: times and durations as microseconds, decimals in units."""
        out: list[tuple[str, Type, tuple[bool | int | float | str | None, ...]]] = []
        for name, column in self.columns.items():
            if column.type is Type.JSON:
                raise QueryError(f"df.table: the column {name!r} is json, which no reference table holds; leave it out")
            if column.type is Type.FLOAT and not np.isfinite(column.values[_known(column)]).all():
                raise QueryError(f"df.table: the column {name!r} contains numbers that are not finite; filter them")
            cells = column.texts() if column.type.is_text else column.values.tolist()
            out.append(
                (name, column.type, tuple(c if ok else None for c, ok in zip(cells, _known(column), strict=True)))
            )
        return out

    def plot(self, path: str | Path | None = None) -> Plot:
        """Draw the result: lines over its first time column among the group columns, else bars by group.

        One panel per numeric column, each with its own axis. Lines have gaps where time buckets are missing; nulls are
        not drawn. If there are many groups, the largest are shown, and the chart says so. ``path`` ends in ``.png``,
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
        """Drill down into one row: the keys and intervals (or points, sessions, ...) behind it, and the point files
        that contain them.

        ``row`` is its index, from 0, or values that identify it, for example ``{"firmware": "1.0"}``; text is parsed as
        the column's type, so times are ISO-8601 and ``"null"`` is null. The metric is run again without its last
        grouping, for that group, over the files of the result. ``limit`` is how many rows to show.

        QueryError for a row that does not exist or is ambiguous, for a result that is not from ``Store.query``, for a
        partial one, and if files of the result are no longer in the store.
        """
        if isinstance(self, PartialResult):
            raise QueryError("a partial result cannot be explained: some of its rows were not read")
        if self.asked is None:
            raise QueryError("this result has no query; only results of Store.query can be explained")
        return self.asked.explain(self, row, limit)

    def why_empty(self) -> str:
        """Why the result has no rows, according to its proof; empty if it has rows or is not from a store."""
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
    """A result that is known to be incomplete; ``missing`` names what could not be read."""

    def __init__(self, columns: Mapping[str, Column], proof: AnyProof, missing: tuple[str, ...]) -> None:
        super().__init__(columns, proof)
        self.missing = tuple(missing)

    def reference_columns(self) -> NoReturn:
        """See Result; what lacks rows would be a wrong table."""
        raise QueryError(f"df.table: this result is partial, {self._note()}")

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n PARTIAL: {self._note()}"

    def _repr_html_(self) -> str:
        from html import escape

        return f"{super()._repr_html_()}\n<p><b>Partial:</b> {escape(self._note())}</p>"

    def form(self) -> dict[str, object]:
        """As for a complete result, plus the list ``missing``."""
        return {**super().form(), "missing": list(self.missing)}

    def _note(self) -> str:
        return f"{len(self.missing)} not read: {', '.join(self.missing)}"


@dataclass(frozen=True)
class Explanation:
    """The rows, keys and files behind one row of a result.

    ``answer`` is that row, and ``row`` its values by column. ``rows`` are the rows that were grouped into it, in the
    order of key and time: points, intervals (split at the buckets of the grouping and its aggregates), sessions,
    windows and so on, or the rows of the previous grouping; for a metric without grouping, the row itself. They show
    the key, the times, the state, and the columns that the metric grouped by and aggregated. ``total`` is their number,
    of which ``rows`` may be only the first. ``keys`` is the number of their keys. ``files`` are the point files that
    contain points of these keys at those times, and those that a value was carried in from: never fewer than are
    needed, and more only where rows depend on earlier or later ones (``last``, ``next``, combined timelines, unknown
    time), where pieces of intervals recur (an hour of the day), or where they depend on other keys (keys at once) or on
    very many groups of another grouping.
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
        """As plain JSON values: ``{"row", "rows", "total", "keys", "files"}``; ``rows`` is as in ``Result.to_dict``."""
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
        """Text for a terminal: the rows as a table, then their number, the number of keys, and the files."""
        hidden = 0 if all_files else max(0, len(self.files) - _REPR_FILES)
        shown = [f" {path}" for path in self.files[: len(self.files) - hidden]]
        more = [f" ⋮ {hidden:,} more"] if hidden else []
        table = self.rows.to_text(width=width, color=color, max_rows=max_rows)
        return "\n".join([table, f" {self._note()}", *shown, *more])

    def __repr__(self) -> str:
        return self.to_text(width=shutil.get_terminal_size().columns, max_rows=_REPR_ROWS)

    def _note(self) -> str:
        first = f"the first {len(self.rows):,} of " if len(self.rows) < self.total else ""
        counts = count_of(self.total, "row"), count_of(self.keys, "key"), count_of(len(self.files), "file")
        return f"{first}{counts[0]} of {counts[1]}, from {counts[2]}:"


def _known(column: Column) -> NDArray[np.bool_]:
    """Which values are not null."""
    return np.ones(len(column), np.bool_) if column.valid is None else column.valid


def _written(text: Iterator[str], path: str | Path | None, end: str = "") -> str | None:
    """The pieces of a text and its ``end`` in a file, whole or not at all; without a path, the text itself."""
    if path is None:
        return "".join(text)
    from operators.files import whole_file

    place = Path(path)
    try:
        # A pipe or a terminal has to be written into.
        is_special = place.is_fifo() or place.is_char_device()
        with place.open("wb") if is_special else whole_file(place, replace=True) as out:
            for some in batched_text(text):
                out.write(some)
            out.write(end.encode())
    except OSError as e:
        raise DataflowError(f"cannot write {path}: {e.strerror}; choose another file") from e
    return None
