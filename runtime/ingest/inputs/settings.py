"""Settings of an ingest: the requested ones, reconciled with the stream's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from operators.nearest import meant
from operators.types import Type
from runtime.catalogue import StreamSchema, Waiting
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest.columns.assemble import whole_key
from runtime.ingest.inputs.composed import Composed, check_key_value
from runtime.ingest.inputs.presets import AUTO, preset_of
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.json_strict import name_fault
from runtime.ingest.text.rejects import KnownRows
from runtime.ingest.times.time_numbers import UNITS
from runtime.ingest.times.time_texts import TimeTexts

DUPLICATES = ("keep", "exact", "latest")
NOWHERE = ("\0key", "\0time")
"""Names that no field has: key and time of a source of which neither is asked."""


@dataclass(frozen=True)
class Settings:
    """The declarations of one ingest; ``known`` is the stream's schema before it (None: a new stream). ``key_of`` and
    ``time_of``: the fields of which the key and the time are made, if it is not one."""

    key: str
    time: str
    unit: str | None
    format: str
    duplicates: str
    id: str | None
    missing_key: str | None
    known: StreamSchema | None
    reading: Reading = field(default_factory=Reading)
    key_of: Composed | None = None
    time_of: Composed | None = None
    any_fields: bool = False
    """A source needs no field of any name: it is only looked at, or becomes a reference table."""
    again: bool = False
    """The records were rejected before: what is still wrong with some is no error of all."""
    rows: KnownRows | None = None
    is_utf8: bool = False
    """The text is UTF-8 by now, whatever the encoding of its source is."""

    as_records: bool = False
    """The records were taken out of their source already: they are JSON, and their fields have the names of columns."""
    table: Mapping[str, Type] = field(default_factory=dict)
    """Types of columns that the source had from which the records are; times are ISO-8601."""

    met: set[str] = field(default_factory=set, compare=False)
    """What of the options that name fields was there (``Names.met``)."""

    @property
    def encoding(self) -> str | None:
        """The encoding of the text, if one is declared."""
        return None if self.is_utf8 else self.reading.encoding

    may_guess: bool = False
    """A source is only looked at: where its header is may be guessed."""

    @classmethod
    def of(
        cls,
        known: StreamSchema | None,
        stream: str,
        *,
        key: str | None = None,
        time: str | None = None,
        unit: str | None,
        format: str,
        duplicates: str | None,
        id: str | None,
        missing_key: str | None,
        preset: str | None = None,
        **reading: Any,
    ) -> Settings:
        """The requested settings, with the stream's as defaults; ``SchemaConflict`` where they differ.

        ``reading`` are the options of ``Reading``. What is neither given nor the stream's is the preset's or, without
        one, that of the format.
        """
        chosen = preset_of(preset, format)
        read = chosen.reading_under(Reading.of(reading), key is not None)
        _one_of("unit", "--unit", unit, (None, *UNITS))
        _one_of("duplicates", "--duplicates", duplicates, (None, *DUPLICATES))
        if known is not None:
            key = known.composed.get("key", known.key) if key is None else key
            time = known.composed.get("time", known.time) if time is None else time
            unit = known.unit if unit is None else unit
        key, time = chosen.key if key is None else key, chosen.time if time is None else time
        unit = chosen.unit if unit is None else unit
        if read.key_value is not None:
            check_key_value(read.key_value)
            key = key or "key"
        key_of = None if key is None or read.key_value is not None else Composed.of(key, "--key")
        time_of = None if time is None else Composed.of(time, "--time")
        key = key if key_of is None else key_of.name("/")
        time = time if time_of is None else time_of.name(" ")
        if key is None or time is None:
            lacks = [what for what, name in (("key", key), ("time", time)) if name is None]
            options = ", ".join(f"--{what}" for what in lacks)
            raise IngestError(
                f"the stream {stream} is new: say which {'columns are' if len(lacks) > 1 else 'column is'} its "
                f"{' and its '.join(lacks)} ({options})."
            )
        for what, name in (("key", key), ("time", time), ("id", id)):
            fault = None if name is None else name_fault(name) if isinstance(name, str) else "not a string"
            if fault:
                raise IngestError(f"the {what} column {name!r:.80} cannot be a column: {fault}.")
        parts = [] if read.key_value is not None else [("--key", n) for n in (key_of.fields if key_of else (key,))]
        parts += [("--time", n) for n in (time_of.fields if time_of else (time,))]
        for option, name in parts:
            if name in read.rename and name not in read.rename.values():
                raise IngestError(f"{option}: {name!r} is renamed: say its new name, {read.rename[name]!r}.")
        if key == time or id in (key, time):
            raise IngestError(f"key ({key!r}), time ({time!r}) and id ({id!r}) must be different columns.")
        if missing_key is not None and (not isinstance(missing_key, str) or not missing_key):
            raise IngestError("the missing key must be a text that is not empty (of an integer key: its digits).")
        if known is not None:
            for what, option, mine, given in (
                ("key column", "--key", known.key, key),
                ("time column", "--time", known.time, time),
                ("duplicates policy", "--duplicates", known.duplicates, duplicates or known.duplicates),
                ("id column", "--id", known.id, known.id if id is None else id),
            ):
                if mine != given:
                    raise SchemaConflict(
                        f"stream {stream!r} has the {what} {mine!r}, not {given!r}: give the stream's own ({option}), "
                        "or ingest into another stream."
                    )
            duplicates, id = known.duplicates, known.id
            missing_key = known.missing_key if missing_key is None else missing_key
            if missing_key is not None and known.key_type is Type.INT:
                whole_key(missing_key, key)
            for name, given in read.type.items():
                stored, declared = known.columns.get(name), Type.STRING if given == "json" else Type(given)
                if stored not in (None, declared):
                    raise SchemaConflict(
                        f"stream {stream!r} has the column {name!r} as {stored}, not {declared} (--type): leave the "
                        "option out, or ingest into another stream."
                    )
        TimeTexts.of(read)  # a format or zone that cannot be used is an error before anything is read
        format = chosen.format if format == AUTO else format
        found = (key, time, unit, format, duplicates or "keep", id, missing_key, known)
        return cls(*found, read, key_of, time_of)

    @classmethod
    def without_key(
        cls, *, unit: str | None = None, format: str = AUTO, preset: str | None = None, **reading: Any
    ) -> Settings:
        """The settings for a source of which neither key nor time is asked."""
        chosen = preset_of(preset, format)
        read = chosen.reading_under(Reading.of(reading), key_given=True)
        _one_of("unit", "--unit", unit, (None, *UNITS))
        TimeTexts.of(read)
        format, unit = chosen.format if format == AUTO else format, chosen.unit if unit is None else unit
        return cls(*NOWHERE, unit, format, "keep", None, None, None, read, any_fields=True)

    def _holder(self, column: str) -> str:
        """The field of the source that becomes this column: itself, another that is renamed, or one with JSON text."""
        column = next((old for old, new in self.reading.rename.items() if new == column), column)
        return next((name for name in self.reading.json if column.startswith(f"{name}.")), column)

    def names(self) -> Names:
        """Which fields of a source are taken, and under which names."""
        r = self.reading
        if self.as_records:
            r = replace(r, rename={}, columns=(), drop=())
        json = {name for name, type_ in r.type.items() if type_ == "json"}
        whole = frozenset(json | {old for old, new in r.rename.items() if new in json})
        needed = {name for of in (self.key_of, self.time_of) if of is not None for name in of.fields} | {*r.json}
        return Names((self.key, self.time), frozenset(needed), r.rename, r.columns, r.drop, whole, self.met)

    def needed(self) -> list[tuple[str, tuple[str, ...]]]:
        """The fields that a source must have, by option: of each, one of these."""
        found: list[tuple[str, tuple[str, ...]]] = []
        if self.any_fields:
            return found
        given = self.reading.key_value is not None
        for option, name, of in (("--key", self.key, self.key_of), ("--time", self.time, self.time_of)):
            if of is None:
                found += [] if option == "--key" and given else [(option, (self._holder(name),))]
            else:
                names = tuple(map(self._holder, of.fields))
                found += [(option, names)] if of.first else [(option, (name,)) for name in names]
        return found

    def types(self) -> dict[str, Type]:
        """The declared types of columns, and those of the stream that text must be read as."""
        declared = {n: Type.STRING if t == "json" else Type(t) for n, t in self.reading.type.items()}
        known = {} if self.known is None else self.known.columns
        read_as = {n: t for n, t in known.items() if t is Type.TIME or t.places is not None}
        of_table = {n: t for n, t in self.table.items() if n not in (self.key, self.time)}
        # Counts of microseconds are durations only in a column of these.
        of_table = {n: t for n, t in of_table.items() if t is not Type.DURATION or known.get(n, t) is t}
        return {**of_table, **read_as, **declared}

    def schema(
        self,
        key_type: Type,
        columns: dict[str, Type],
        wide: Iterable[str] = (),
        empty: Mapping[str, Type | None] = MappingProxyType({}),
    ) -> StreamSchema:
        """The schema that an input with these columns commits; ``wide`` are those with integers beyond 2^53, ``empty``
        others without a value, with the types declared for them."""
        held = {name: True for name in wide if columns.get(name) is Type.INT}
        return StreamSchema(
            self.key, key_type, self.time, columns, self.duplicates, self.id, self.missing_key, self.unit, held,
            composed={n: of.text for n, of in (("key", self.key_of), ("time", self.time_of)) if of is not None},
            empty=dict(empty),
        )  # fmt: skip

    def unmet(self, columns: Collection[str]) -> Iterator[str]:
        """What the options name that no record had; ``columns`` are those that came of the records."""
        r = self.reading
        named = {"rename": r.rename, "columns": r.columns, "drop": r.drop}
        missing = [(option, name) for option, names in named.items() for name in names if name not in self.met]
        missing += [("type", name) for name in r.type if name not in columns]
        for option, name in missing:
            hint = meant(name, columns).strip()
            yield f"--{option} names {name!r}, which no record has" + (f"; {hint}" if hint else "")

    def options(self) -> dict[str, Any]:
        """How a source is read, for its entry in the catalogue: what differs from the defaults."""
        given = {"unit": self.unit, "format": self.format, "missing_key": self.missing_key}
        plain = {name: value for name, value in given.items() if value not in (None, "auto")}
        return {**plain, **self.reading.to_dict()}

    def as_before(self, waiting: Waiting) -> Settings:
        """The settings with which the source was first read."""
        reading = Reading.of(waiting.reading)
        return replace(self, unit=waiting.unit, format=waiting.format, missing_key=waiting.missing_key, reading=reading)


def _one_of(what: str, option: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        names = ", ".join(str(a) for a in allowed if a is not None)
        choose = meant(value, (a for a in allowed if a is not None), "choose")
        raise IngestError(f"{what} {value!r} is unknown: {choose} one of {names} ({option}).")
