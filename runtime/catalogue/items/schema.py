"""The schema of a stream, as declared and as learned from ingested points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from operators.types import Type, stored
from runtime.errors import FormatError, SchemaConflict

DUPLICATES = ("keep", "exact", "latest")


@dataclass(frozen=True)
class StreamSchema:
    """Key, time, columns and policies of a stream.

    ``key`` and ``time`` are the names of the key and event-time fields, ``key_type`` is STRING or INT; ``columns``
    are the value columns in the order of their first appearance, without key and time. ``duplicates`` is the
    policy for equal (key, time), ``id`` the column whose values count once per key and UTC day, ``missing_key``
    the key given to points without one. ``unit`` is the time unit of the last ingest, the next one's default.

    ``wide`` names int64 columns that hold an integer beyond 2^53 (True), which float64 cannot represent exactly, or for
    which this is unknown (False: older than this field). All others are within 2^53.

    ``composed`` says of which fields a ``key`` or ``time`` is made, as it was given (``site,device``). ``empty`` has
    columns in which no value was seen so far, and the type that a table declares for them (None: no type yet).

    ``unordered``: the number of point files whose commit order is unknown, since the catalogue was lost.
    """

    key: str
    key_type: Type
    time: str
    columns: Mapping[str, Type] = field(default_factory=dict)
    duplicates: str = "keep"
    id: str | None = None
    missing_key: str | None = None
    unit: str | None = None
    wide: Mapping[str, bool] = field(default_factory=dict)
    unordered: int = 0
    composed: Mapping[str, str] = field(default_factory=dict)
    empty: Mapping[str, Type | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.key_type not in (Type.STRING, Type.INT):
            raise SchemaConflict(f"the key {self.key!r} is of type {self.key_type}: a key is a string or an int64.")
        if self.duplicates not in DUPLICATES:
            raise SchemaConflict(
                f"duplicates policy {self.duplicates!r} is unknown: choose one of {', '.join(DUPLICATES)}."
            )
        if self.key == self.time:
            raise SchemaConflict(f"{self.key!r} is named both as the key and as the time: they are different fields.")
        for name in (self.key, self.time):
            if name in self.columns:
                raise SchemaConflict(
                    f"{name!r} is the key or the time of the stream, so it cannot be a value column too."
                )

    def merged_with(self, other: StreamSchema) -> StreamSchema:
        """This schema merged with that of a new input; ``SchemaConflict`` where they contradict each other.

        New columns are added after the old ones; int64 and float64 become float64; every other difference in type, key,
        time, duplicates policy or id column is a conflict; so is float64 for a column that holds integers beyond 2^53.
        Unit and missing key are the latest given.
        """
        for what, option, mine, theirs in (
            ("key", "--key", self.key, other.key),
            ("key type", "--key", self.key_type, other.key_type),
            ("time column", "--time", self.time, other.time),
            ("duplicates policy", "--duplicates", self.duplicates, other.duplicates),
            ("id column", "--id", self.id, other.id),
        ):
            if mine != theirs:
                raise SchemaConflict(
                    f"the stream's {what} is {_shown(mine)}, but this input gives {_shown(theirs)}: ingest it with the "
                    f"stream's own ({option}), or into another stream."
                )
        columns = dict(self.columns)
        for name, theirs in other.columns.items():
            columns[name] = widened(name, columns.get(name, theirs), theirs)
        wide = {name: True for schema in (self, other) for name, known in schema.wide.items() if known}
        for name in wide:
            if columns.get(name) is Type.FLOAT:
                raise SchemaConflict(
                    f"column {name!r} holds integers beyond 2^53, which float64 cannot hold exactly, and fractions "
                    "were ingested at the same time: ingest this input again; what does not fit then goes to a column "
                    "of its own."
                )
        empty = {**self.empty, **{n: t or self.empty.get(n) for n, t in other.empty.items()}}
        unsure = (name for schema in (self, other) for name in schema.wide if name not in wide)
        unknown = {name: False for name in unsure if columns.get(name) is Type.INT}
        merged = replace(
            self,
            columns=columns,
            missing_key=self.missing_key if other.missing_key is None else other.missing_key,
            unit=self.unit if other.unit is None else other.unit,
            wide=unknown | wide,
            unordered=max(self.unordered, other.unordered),
            composed={**self.composed, **other.composed},
            empty={name: type_ for name, type_ in empty.items() if name not in columns},
        )
        return self if merged == self and list(merged.columns) == list(self.columns) else merged

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        # Fields that were added later are left out where they say nothing: the form of such streams is as before.
        later: dict[str, Any] = {}
        if self.unordered:
            later["unordered"] = self.unordered
        if self.composed:
            later["composed"] = dict(self.composed)
        if self.empty:
            later["empty"] = {name: None if type_ is None else type_.value for name, type_ in self.empty.items()}
        return {
            "key": self.key,
            "key_type": self.key_type.value,
            "time": self.time,
            "columns": {name: type_.value for name, type_ in self.columns.items()},
            "duplicates": self.duplicates,
            "id": self.id,
            "missing_key": self.missing_key,
            "unit": self.unit,
            "wide": dict(self.wide),
            **later,
        }

    @classmethod
    def from_dict(cls, data: object) -> StreamSchema:
        """The schema of a JSON form; ``FormatError`` when it is not one."""
        if not isinstance(data, dict) or set(data) - _LATER != _FIELDS:
            raise FormatError(
                f"a stream schema needs exactly the fields {', '.join(sorted(_FIELDS))}; got {str(data)[:200]!r}."
            )
        columns = data["columns"]
        texts = [data["key"], data["time"], data["duplicates"], data["key_type"]]
        options = [data["id"], data["missing_key"], data["unit"]]
        wide, unordered = data.get("wide", {}), data.get("unordered", 0)
        composed, empty = data.get("composed", {}), data.get("empty", {})
        if (
            not isinstance(columns, dict)
            or not all(isinstance(text, str) for text in texts)
            or not all(text is None or isinstance(text, str) for text in options)
            or not isinstance(wide, dict)
            or type(unordered) is not int
            or not isinstance(composed, dict)
            or not isinstance(empty, dict)
            or not all(isinstance(text, str) for text in (*composed, *composed.values(), *empty))
            or not all(type_ is None or isinstance(type_, str) for type_ in empty.values())
            or not all(name in columns and isinstance(known, bool) for name, known in wide.items())
        ):
            raise FormatError(f"a stream schema has a field of the wrong type: {str(data)[:200]!r}.")
        try:
            key_type = stored(data["key_type"])
            types = {str(name): stored(type_) for name, type_ in columns.items()}
            if "wide" not in data:
                wide = dict.fromkeys((name for name, type_ in types.items() if type_ is Type.INT), False)
            nulls = {name: None if type_ is None else stored(type_) for name, type_ in empty.items()}
            declared = (data["key"], key_type, data["time"], types, data["duplicates"])
            return cls(*declared, data["id"], data["missing_key"], data["unit"], wide, unordered, composed, nulls)
        except (ValueError, SchemaConflict) as error:
            raise FormatError(f"a stream schema is inconsistent: {error}") from error


_LATER = {"wide", "unordered", "composed", "empty"}
_FIELDS = {"key", "key_type", "time", "columns", "duplicates", "id", "missing_key", "unit"}


def widened(name: str, old: Type, new: Type) -> Type:
    """The common type of both, for the column ``name``: the same, or float64 for int64 with float64."""
    if old is new:
        return old
    if {old, new} == {Type.INT, Type.FLOAT}:
        return Type.FLOAT
    raise SchemaConflict(
        f"column {name!r} is {old} in this stream, but this input has it as {new}: convert it, leave it out, "
        "rename it, or ingest into another stream."
    )


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(str(value))
