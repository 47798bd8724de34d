"""Finds the reader of files and tables, which is in a higher layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from operators.types import Type

_READER = "runtime.ingest.table_reading"
# By name, because imports go down the layers only. An entry point would say the same, but only after another
# installation; the packages are installed, bundled and checked together (``dataflow._home``), so it is always there.

Cell = bool | int | float | str | None
Column = tuple[str, Type, tuple[Cell, ...]]


def columns_of_source(
    source: object, options: Mapping[str, Any], rows: int, columns: int, bytes: int, may_mix: bool = False
) -> Sequence[Column]:
    """The columns of the file or table ``source``, of at most so many rows, columns and bytes of JSON.

    See ``read_columns`` there. DataflowError for anything that would be lost.
    """
    found: Sequence[Column] = import_module(_READER).read_columns(source, options, rows, columns, bytes, may_mix)
    return found
