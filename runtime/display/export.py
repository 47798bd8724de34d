"""Exports columns: CSV, pandas, polars, Arrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import DataflowError
from operators.types import Type
from runtime.columns import Column
from runtime.display.pieces import pieces

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_DECIMAL_DIGITS = 19
"""Digits of the largest int64."""

_SPECIAL = re.compile(r'[,"\n\r]|^\s|\s\Z|\A\Z')
"""What a CSV field must be quoted for: separators, line ends, blanks around it, nothing at all."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class MissingLibraryError(DataflowError):
    """An optional library that the call needs is not installed."""


def need(library: str, extra: str) -> Any:
    """The imported library; MissingLibraryError names the extra that installs it."""
    try:
        return import_module(library)
    except ImportError as e:
        raise MissingLibraryError(
            f"this needs {library}, which is not installed: pip install 'antfold[{extra}]'"
        ) from e


def safe_text(text: str) -> str:
    """The text, prefixed with an apostrophe if a spreadsheet would run it as a formula."""
    return "'" + text if text.startswith(_FORMULA) else text


def csv_lines(columns: Mapping[str, Column]) -> Iterator[str]:
    """The lines of a CSV file for spreadsheets, its header first; see ``safe_text``."""
    yield csv_header(columns, safe_text)
    for piece in pieces(columns):
        yield from csv_rows(piece, safe_text)


def csv_header(names: Iterable[str], text_as: Callable[[str], str] = str) -> str:
    """The first line of a CSV file; fields are quoted where they must be."""
    return ",".join(_quoted(text_as(name)) for name in names) + "\n"


def csv_rows(columns: Mapping[str, Column], text_as: Callable[[str], str] = str) -> Iterator[str]:
    """The lines of a CSV file that follow its header; null is an empty field, the empty string ``""``."""
    cells = [_csv_cells(column, text_as) for column in columns.values()]
    for row in zip(*cells, strict=True):
        yield ",".join(row) + "\n"


def _csv_cells(column: Column, text_as: Callable[[str], str]) -> list[str]:
    if column.type.is_text:
        codes, words = column.coded()
        quoted = [*(_quoted(text_as(word)) for word in words), ""]  # the last is for null
        return [quoted[code] for code in codes.tolist()]
    values = column.to_list()
    if column.type.places is not None:
        return ["" if v is None else format(v, "f") for v in values]
    match column.type:
        case Type.BOOL:
            return ["" if v is None else "true" if v else "false" for v in values]
        case Type.TIME:
            return [t or "" for t in iso_times(column)]
        case _:
            return ["" if v is None else repr(v) for v in values]


def iso_times(column: Column) -> list[str | None]:
    """The values of a time column as ``text_tables.iso`` writes them; None for null."""
    texts: list[str | None] = np.datetime_as_string(column.values.astype("M8[us]"), "us", "UTC").tolist()
    for at in [] if column.valid is None else np.flatnonzero(~column.valid).tolist():
        texts[at] = None
    return texts


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def to_pandas(columns: Mapping[str, Column]) -> pandas.DataFrame:
    """See ``Result.to_pandas``."""
    pd = need("pandas", "pandas")

    def series(column: Column) -> Any:
        values, valid = column.values, column.valid
        if column.type.places is not None:
            return pd.Series(column.to_list(), dtype=object)
        match column.type:
            case Type.STRING | Type.JSON:
                codes, words = column.coded()
                return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(words, dtype=object)))
            case Type.TIME:
                times = values.astype("M8[us]")
                if valid is not None:
                    times[~valid] = np.datetime64("NaT", "us")
                return pd.Series(times).dt.tz_localize("UTC")
            case Type.DURATION:
                spans = values.astype("m8[us]")
                if valid is not None:
                    spans[~valid] = np.timedelta64("NaT", "us")
                return pd.Series(spans)
            case Type.FLOAT:
                return pd.Series(values if valid is None else np.where(valid, values, np.nan))
            case Type.BOOL:
                flags = values.astype(np.bool_)
                return pd.Series(flags if valid is None else pd.arrays.BooleanArray(flags, ~valid))
            case _:
                whole = values.astype(np.int64)
                return pd.Series(whole if valid is None else pd.arrays.IntegerArray(whole, ~valid))

    return pd.DataFrame({name: series(column) for name, column in columns.items()})


def to_polars(columns: Mapping[str, Column]) -> polars.DataFrame:
    """See ``Result.to_polars``."""
    pl = need("polars", "polars")

    def series(name: str, column: Column) -> Any:
        values = column.values
        if column.type.places is not None:
            return pl.Series(name, column.to_list(), pl.Decimal(_DECIMAL_DIGITS, column.type.places))
        match column.type:
            case Type.STRING | Type.JSON:
                codes, words = column.coded()
                made = pl.Series(name, words, pl.String).gather(np.maximum(codes, 0) if words else codes[:0])
                if not words:
                    made = pl.Series(name, [None] * len(codes), pl.String)
                return _without(made, codes >= 0, pl).cast(pl.Categorical)
            case Type.TIME:
                made = pl.Series(name, values.astype(np.int64)).cast(pl.Datetime("us", "UTC"))
            case Type.DURATION:
                made = pl.Series(name, values.astype(np.int64)).cast(pl.Duration("us"))
            case Type.BOOL:
                made = pl.Series(name, values.astype(np.bool_))
            case Type.FLOAT:
                made = pl.Series(name, values.astype(np.float64))
            case _:
                made = pl.Series(name, values.astype(np.int64))
        return _without(made, column.valid, pl)

    return pl.DataFrame([series(name, column) for name, column in columns.items()])


def _without(series: Any, valid: NDArray[np.bool_] | None, pl: Any) -> Any:
    """The polars series with null where ``valid`` is False."""
    if valid is None or valid.all():
        return series
    return series.scatter(np.flatnonzero(~valid), None)


def to_arrow(columns: Mapping[str, Column]) -> pyarrow.Table:
    """See ``Result.to_arrow``."""
    pa = need("pyarrow", "parquet")
    plain = {
        Type.BOOL: pa.bool_(),
        Type.INT: pa.int64(),
        Type.FLOAT: pa.float64(),
        Type.TIME: pa.timestamp("us", "UTC"),
        Type.DURATION: pa.duration("us"),
    }

    def array(column: Column) -> Any:
        mask = None if column.valid is None else ~column.valid
        if column.type.places is not None:
            return pa.array(column.to_list(), pa.decimal128(_DECIMAL_DIGITS, column.type.places))
        if column.type.is_text:
            codes, words = column.coded()
            indices = pa.array(codes.astype(np.int32), pa.int32(), mask=codes < 0)
            return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))
        values = column.values.astype(np.bool_) if column.type is Type.BOOL else column.values
        if column.type in (Type.TIME, Type.DURATION):
            return pa.array(values, pa.int64(), mask=mask).cast(plain[column.type])
        return pa.array(values, plain[column.type], mask=mask)

    return pa.table({name: array(column) for name, column in columns.items()})
