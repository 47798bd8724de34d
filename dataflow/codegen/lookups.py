"""Emits lookups in reference tables and calendars: the valid row, and its columns."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import I4, I8, U1, Looked, value_array
from dataflow.tables.answer_tables import AnswerIndex
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Index
from dataflow.typed.nodes import Typed
from operators.types import Type


def _number(x: Emitter, e: Typed) -> tuple[int, Looked]:
    table = e.option("in")
    assert isinstance(table, Index | Calendar | AnswerIndex)
    tables = x.w.tables.lookups
    for j, known in enumerate(tables):
        if repr(known) == repr(table):
            return j, known
    tables.append(table)
    return len(tables) - 1, table


def key_place(x: Emitter, e: Typed) -> str:
    """The number of the row's key in the table of the lookup ``e``; -1 if it is missing."""
    j, _ = _number(x, e)
    if not e.args or e.args[0].fn == "now":
        return "np.int64(0)"
    v, k = x.emit(e.args[0])
    if e.args[0].type is Type.STRING:
        codes = x.w.arg(f"look{j}_codes", I4, "lookup", j, "codes")
        place = f"np.int64({codes}[{v}])"
    else:
        place = f"key_number({v}, {x.w.arg(f'look{j}_keys', I8, 'lookup', j, 'keys')})"
    return x.name(place if k == "True" else f"{place} if {k} else np.int64(-1)", "True")[0]


def period_tables(x: Emitter, e: Typed) -> str:
    """The arguments of ``row_at`` and ``edge_after`` after key and time."""
    j, _ = _number(x, e)
    return ", ".join(x.w.arg(f"look{j}_{part}", I8, "lookup", j, part) for part in ("offsets", "starts", "ends"))


@source("lookup")
def found_row(x: Emitter, e: Typed) -> Value:
    """The table row that is valid for the current row, or at an instant of it; null if there is none."""
    _, table = _number(x, e)
    place = key_place(x, e)
    if table.timed:
        at = x.now if e.args and e.args[-1].fn == "now" else x.time
        place = x.name(f"row_at({place}, {at}, {period_tables(x, e)})", "True")[0]
    # Without times, each key has one row, with the same number.
    return x.name(place, f"{place} >= 0")


@source("answer_row")
def answer_row(x: Emitter, e: Typed) -> Value:
    """The row of an answer that has these values in its key columns; null if there is none."""
    j, _ = _number(x, e)
    places, sizes = (x.w.arg(f"look{j}_{part}", I8, "lookup", j, part) for part in ("places", "sizes"))
    found = ""
    for i, key in enumerate(e.args):
        v, k = x.emit(key)
        if key.type is Type.STRING:
            place = f"np.int64({x.w.arg(f'look{j}_codes{i}', I4, 'lookup', j, f'codes{i}')}[{v}])"
        else:
            word = f"float_bits({v} + 0.0)" if key.type is Type.FLOAT else f"np.int64({v})"
            place = f"key_number({word}, {x.w.arg(f'look{j}_distinct{i}', I8, 'lookup', j, f'distinct{i}')})"
        place = x.name(place if k == "True" else f"{place} if {k} else {places}[np.uint64({i})]", "True")[0]
        if i:
            pairs = x.w.arg(f"look{j}_pairs{i}", I8, "lookup", j, f"pairs{i}")
            pair = f"key_number({found} * {sizes}[np.uint64({i})] + {place}, {pairs})"
            place = x.name(f"{pair} if {found} >= 0 and {place} >= 0 else np.int64(-1)", "True")[0]
        found = place
    return x.name(found, f"{found} >= 0")


@source("pick")
def picked(x: Emitter, e: Typed) -> Value:
    """One column of the row found."""
    row, k = x.emit(e.args[0])
    j, _ = _number(x, e)
    pair = (j, str(e.option("column")))
    picks = x.w.tables.picks
    if pair not in picks:
        picks.append(pair)
    n = picks.index(pair)
    values = x.w.arg(f"pick{n}_v", value_array(e.type), "pick", n)
    valid = x.w.arg(f"pick{n}_k", U1, "pick_valid", n)
    at = x.name(f"np.uint64({row} if {k} else np.int64(0))", "True")[0]
    text = f"{values}[{at}]" + (" != 0" if e.type is Type.BOOL else "")
    return x.name(text, f"{k} and {valid}[{at}] != 0")
