"""Makes the assembler of a source from the settings of its ingest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from operators.types import Type
from runtime.ingest.columns.assemble import Assembler, Declared
from runtime.ingest.columns.event_times import TimeReader
from runtime.ingest.inputs.composed import key_value
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.dialects.written_numbers import Marks
from runtime.ingest.text.shaping import Shaping
from runtime.ingest.times.time_texts import TimeTexts

_Made = TypeVar("_Made", bound=Assembler)


def new_assembler(
    make: type[_Made],
    settings: Settings,
    name: str,
    after: int | None = None,
    is_empty: bool = False,
    stored_wide: Callable[[str], bool] = lambda name: False,
) -> _Made:
    """The assembler of the source called ``name``, before anything is read.

    ``after``: only later rows are wanted (see ``TimeReader``). ``is_empty``: the stream has no point yet, so the type
    of its keys is open. ``stored_wide``: whether stored points of a column have integers beyond 2^53.
    """
    schema = settings.known
    declared = Declared(
        settings.key,
        settings.missing_key,
        None if schema is None or is_empty else schema.key_type,
        {} if schema is None else schema.columns,
        {} if schema is None else schema.wide,
        stored_wide,
        _shaping(settings, name),
    )
    reading = settings.reading
    if settings.table.get(settings.time) is Type.TIME:
        reading = replace(reading, time_format=())
    made = make(declared, TimeReader(settings.time, settings.unit, name, after, reading), name)
    for column, type_ in settings.types().items():
        made.columns.settle(column, type_)
        made.columns.fixed.add(column)
    made.time.may_be_error = not settings.again
    made.rejects.as_json, made.rejects.types = settings.as_records, dict(settings.table)
    return made


def _shaping(settings: Settings, name: str) -> Shaping:
    r = settings.reading
    text = None if r.key_value is None else key_value(r.key_value, name)
    marks = None if r.decimal is None and r.thousands is None else Marks(r.decimal, r.thousands)
    iso = {name for name, type_ in settings.table.items() if type_ is Type.TIME}
    of = (settings.key_of, settings.time_of, text, settings.types(), r.null, TimeTexts.of(r), settings.unit, r.rename)
    return Shaping(*of, marks, iso)
