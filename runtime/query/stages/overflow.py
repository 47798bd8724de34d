"""Overflow errors name the step, the expression, and the row or group; those of memory name the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from dataflow.codegen.writer import Site
from dataflow.plan.sink import Grouping
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.described import described
from dataflow.typed.hidden_columns import ORDER
from operators.aggregates.json_values import from_bits
from operators.errors import DataflowError, GroupError, InexactCast, InexactDecimal, OverflowExceeded
from operators.kernels.arithmetic import SITES
from operators.states.groups import Groups
from operators.states.strings import Words
from operators.types import Type
from runtime.errors import NotEnoughMemory, not_enough_memory
from runtime.query.stages.keys import Keys
from runtime.query.stages.query_table import QueryTable
from runtime.query.stages.row_batch import RowBatch

_NO_INTEGER = "an integer result does not fit in 64 bits; filter the rows, or compute with floats (multiply by 1.0)"
_NO_BIN = "the number of a value's bin does not fit in 64 bits; take a larger width, or filter the rows"
_NO_DECIMAL = (
    "a number has more decimal places than decimal(...) declares, or is too large for them; give it more places, or "
    "rounding='half_even'"
)


@contextmanager
def memory_of(step: str) -> Iterator[None]:
    """Context of a step's work: if memory does not suffice, NotEnoughMemory names the innermost step."""
    try:
        yield
    except MemoryError as error:
        if isinstance(error, NotEnoughMemory):
            raise
        raise not_enough_memory(step) from None


def place_of(flag: int, sites: Sequence[Site]) -> tuple[Site, int]:
    """The expression and the row (-1: none) that a kernel's flag names."""
    row, site = divmod(flag, SITES)
    return sites[site - 1] if 0 < site <= len(sites) else Site("a result"), row - 1


def misfit(kind: int, step: str, site: Site, where: str) -> DataflowError:
    """The error for a kernel's flag of this kind; ``where`` names the row and the group."""
    if site.cast:
        return InexactCast(
            f"{step}: {site.text}{where}: the value has no exact counterpart of type {site.cast}; write try_cast(...) "
            "for null there"
        )
    if kind == 1:
        return InexactDecimal(f"{step}: {site.text}{where}: {_NO_DECIMAL}")
    return OverflowExceeded(f"{step}: {site.text}{where}: {_NO_BIN if site.is_bin else _NO_INTEGER}")


def at_row(chunk: RowBatch, row: int, keys: Keys) -> str:
    """The key and the time of a row of a chunk."""
    run = int(np.searchsorted(np.cumsum(chunk.run_len), row, side="right"))
    shown = _shown(keys.kind, int(keys.values[int(chunk.run_slot[run])]), keys.words.strings)
    if ORDER in chunk.columns:
        row = int(chunk.columns[ORDER][0][row])
    # Imported only for an error: a worker starts faster without display code.
    from runtime.display.text_tables import iso

    return f" for key {shown} at {iso(int(chunk.time[row if len(chunk.time) > 1 else 0]))}"


def in_table(table: QueryTable, row: int, names: Sequence[str]) -> str:
    """The values of these columns in a row of a table."""
    parts = []
    for name in names:
        kind, values, valid = table.columns[name]
        shown = _shown(kind, values[row], table.strings) if valid[row] else "null"
        parts.append(f"{name}={shown}")
    return f" for {', '.join(parts)}" if parts else ""


def of_group(sink: Grouping, groups: Groups, number: int, words: Words) -> str:
    """The values that identify a group."""
    key, parts = groups.keys[number], []
    for j, (name, e) in enumerate(sink.by):
        word = key[j]
        null = (int(key[-1]) >> j) & 1
        value: Any = word.view(np.float64) if e.type is Type.FLOAT else int(word)
        parts.append(f"{name}={'null' if null or e.type is None else _shown(e.type, value, words.strings)}")
    return f" for {', '.join(parts)}" if parts else ""


def _shown(kind: Type, value: Any, strings: list[str]) -> str:
    if kind is Type.FLOAT:
        return repr(float(value))
    found = from_bits(kind, int(value), strings)
    return repr(found) if kind is Type.STRING else str(found)


def located(error: GroupError, step: str, aggs: Sequence[BoundAgg], where: str) -> GroupError:
    """The error of an aggregate, with the step, the aggregate and where it happened."""
    a = aggs[error.aggregate]
    given = ", ".join(described(e) for e in (a.argument, a.other) if e is not None)
    call = f"{a.aggregate.name}({given})"
    # Aggregates of moving windows are hidden columns.
    named = f"{call} of a window" if a.name[:1] == "$" else f"{a.name} = {call}"
    return type(error)(f"{step}: {named}{where}: {error}")
