"""`Reading`: how a source's records are read; the options that console, Python and ``antfold.toml`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypedDict

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.inputs.encodings import check_encoding

MAX_DEPTH = 31
TYPES = ("int64", "float64", "string", "bool", "time", "json")
"""Types that ``type`` may declare, besides ``decimal(0)`` to ``decimal(9)``."""


class ReadingOptions(TypedDict, total=False):
    """The options by name, as Python callers give them; see ``Reading``."""

    key_value: str | None
    time_format: Any
    time_zone: str | None
    records: str | None
    columnar: str | None
    json: Any
    type: Mapping[str, str]
    columns: Any
    drop: Any
    rename: Mapping[str, str]
    depth: int | None
    null: Any
    decimal: str | None
    thousands: str | None
    encoding: str | None
    delimiter: str | None
    quote: str | None
    comment: str | None
    skip_rows: int
    names: Any


def _option(help: str, metavar: str, default: Any = None, **more: Any) -> Any:
    """A field with what the console says of it."""
    given: dict[str, Any] = {"default_factory": default} if isinstance(default, type) else {"default": default}
    return field(metadata={"help": help, "metavar": metavar, **more}, **given)


def _words(given: Any, name: str) -> tuple[str, ...]:
    words = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not all(isinstance(word, str) for word in words):
        raise IngestError(f"{name} must be texts, not {given!r:.60}.")
    return words


def _listed(given: Any, name: str) -> tuple[str, ...]:
    """Names, from a list or a text with commas."""
    if isinstance(given, str):
        given = given.split(",")
    return tuple(word.strip() for word in _words(given, name))


def _pairs(given: Any, name: str) -> Mapping[str, str]:
    """``a=b`` texts or a mapping, as a mapping."""
    if not isinstance(given, Mapping):
        pairs: dict[str, str] = {}
        for word in _words(given, name):
            for part in _split_pairs(word):
                left, is_there, right = part.rpartition("=")
                if not is_there or not left or not right:
                    raise IngestError(f"{name} {part!r}: write NAME=VALUE.")
                pairs[left.strip()] = right.strip()
        given = pairs
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in given.items()):
        raise IngestError(f"{name} must be texts by name, not {given!r:.60}.")
    return dict(given)


def _split_pairs(text: str) -> list[str]:
    """The pairs of ``a=b,c=d``."""
    out: list[str] = []
    for part in text.split(","):
        if "=" not in part and out:
            out[-1] += f",{part}"
        else:
            out.append(part)
    return out


@dataclass(frozen=True)
class Reading:
    """How records are read. Every field is an option of ``dataflow ingest`` (``--time-format`` for ``time_format``), an
    argument of ``Store.ingest`` and a setting of ``antfold.toml``; the defaults read what needs no option.

    Lists may be given as one text with commas; ``type`` and ``rename`` as a mapping or as ``name=value`` texts.
    """

    key_value: str | None = _option(
        "one key for all of a file: text with {name}, {stem} or {parent} of its path", "TEXT"
    )
    time_format: tuple[str, ...] = _option(
        "of times as text, as strptime writes it; repeat for several", "FORMAT", (), convert=_words
    )
    time_zone: str | None = _option("of times without an offset, for example Europe/Berlin (default: UTC)", "ZONE")
    records: str | None = _option(
        "where in a JSON document the array of records is, for example data.stations; * is each value of an object",
        "PATH",
    )
    columnar: str | None = _option("where in a JSON document there is one array per column; . is the document", "PATH")
    json: tuple[str, ...] = _option("a column that holds JSON as text", "COLUMN", (), convert=_listed)
    type: Mapping[str, str] = _option(
        "a column's type: int64, float64, string, bool, time, decimal(2) or json", "COLUMN=TYPE", dict, convert=_pairs
    )
    columns: tuple[str, ...] = _option(
        "take only these columns, or patterns such as 'payload.*'", "A,B", (), convert=_listed
    )
    drop: tuple[str, ...] = _option(
        "leave out these columns, or patterns such as 'payload.*'", "A,B", (), convert=_listed
    )
    rename: Mapping[str, str] = _option("another name for a column", "OLD=NEW", dict, convert=_pairs)
    depth: int | None = _option("objects nested deeper than this stay JSON text", "N")
    null: tuple[str, ...] = _option("more words for a missing value, in every column", "WORDS", (), convert=_listed)
    decimal: str | None = _option("the decimal mark of numbers as text, for example ,", "MARK")
    thousands: str | None = _option("the mark between thousands in numbers as text", "MARK")
    encoding: str | None = _option(
        "of text, for example latin-1 (default: UTF-8, or what a byte-order mark says)", "NAME"
    )
    delimiter: str | None = _option("between the values of a CSV row", "MARK")
    quote: str | None = _option('around CSV values that hold delimiters (default: ")', "MARK")
    comment: str | None = _option("lines that begin so are skipped", "MARK")
    skip_rows: int = _option("lines to skip before the header", "N", 0)
    names: tuple[str, ...] = _option("names of the columns, where the data has none", "A,B", (), convert=_listed)

    @classmethod
    def of(cls, given: Mapping[str, Any], format: str = "auto") -> Reading:
        """The options by name, checked; IngestError for one that is unknown or has no such value."""
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise IngestError(f"there is no option {name!r}: {meant(name, known, 'there')} are {', '.join(known)}.")
            if value is None or (value in ((), "") and name != "quote"):
                continue
            convert: Callable[[Any, str], Any] | None = known[name].metadata.get("convert")
            values[name] = convert(value, name) if convert else value
        if values.get("delimiter") == "\\t":  # as a console can write it
            values["delimiter"] = "\t"
        made = cls(**values)
        made._check()
        return made

    def _check(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            kind = int if f.name in ("depth", "skip_rows") else str
            if value is not None and "convert" not in f.metadata and (not isinstance(value, kind) or value is True):
                raise IngestError(
                    f"{f.name} must be {'a whole number' if kind is int else 'a text'}, not {value!r:.60}."
                )
        if self.depth is not None and not 1 <= self.depth <= MAX_DEPTH:
            raise IngestError(f"depth must be 1 to {MAX_DEPTH}, not {self.depth}.")
        if self.skip_rows < 0:
            raise IngestError(f"skip_rows must not be negative, but is {self.skip_rows}.")
        for name in ("decimal", "thousands", "delimiter", "quote"):
            mark = getattr(self, name)
            if mark == "" and name == "quote":
                continue  # none
            if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in "\r\n"):
                raise IngestError(f"{name} must be one ASCII character, not {mark!r:.40}.")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.decimal is not None and self.decimal == self.thousands:
            raise IngestError(f"decimal and thousands must be different marks, not both {self.decimal!r}.")
        for column, type_ in self.type.items():
            if type_ not in TYPES and type_ not in [f"decimal({n})" for n in range(10)]:
                raise IngestError(
                    f"type {column}={type_}: {meant(type_, TYPES, 'choose')} one of {', '.join(TYPES)} or decimal(0) "
                    "to decimal(9)."
                )
        if self.records is not None and self.columnar is not None:
            raise IngestError("records and columnar cannot be given together: a document has one or the other.")

    def or_of(self, preset: Reading) -> Reading:
        """These options, and those of a preset where none are given."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(preset, **{n: v for n, v in own.items() if v != getattr(_DEFAULT, n)})

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from the defaults, for JSON; ``of`` reads them."""
        found = asdict(self)
        return {n: list(v) if isinstance(v, tuple) else v for n, v in found.items() if v != getattr(_DEFAULT, n)}


_DEFAULT = Reading()
