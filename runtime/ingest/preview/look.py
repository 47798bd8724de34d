"""`preview`: looks at the first records of a source and tries an ingest of them; nothing is stored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, tee
from typing import Any, BinaryIO

import numpy as np

from operators.files import reader
from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.formats import batches_of, check_format, perhaps
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.inputs.inputs import FileInput, Input, TableInput, opened, resolve
from runtime.ingest.inputs.packed.archives import each_source
from runtime.ingest.inputs.packed.packings import decompressed
from runtime.ingest.inputs.settings import NOWHERE, Settings
from runtime.ingest.new_assembler import new_assembler
from runtime.ingest.preview.candidates import (
    TimeCandidate,
    key_candidates,
    names_like_values,
    numbers_as_text,
    record_options,
    time_candidates,
    unit_of,
    written_form,
)
from runtime.ingest.preview.head_rows import Enough, SeenRows, Trial
from runtime.ingest.preview.previewed import FieldPreview, Preview
from runtime.ingest.preview.seen_fields import SeenField, fields_of_cells, fields_of_table
from runtime.ingest.report import zone_notes
from runtime.ingest.tabular.tables import TypedColumns, read_table
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import Rejects
from runtime.ingest.text.tokens import STRING
from runtime.ingest.times.likely_formats import likely_formats

ROWS = 1000
_SHOWN_NAMES = 3
_FROM_NAME = "{stem}"
_NO_TIME = "no field looks like a time: say which it is (--time; of several: --time date,clock)."


def preview(given: Any, rows: int = ROWS, **options: Any) -> Preview:
    """What ``Store.ingest`` would make of a file (path, ``-``, open file) or table, by its first ``rows`` records.

    ``options`` are those of ``Store.ingest``: ``key``, ``time``, ``unit``, ``format``, ``missing_key`` and those of
    ``Reading``. The likeliest key and time are tried where none is given. Nothing is stored. ``IngestError`` if the
    input cannot be opened or an option is wrong; what is wrong with the records is the preview's ``fault``.
    """
    found = list(previews(given, rows, **options))
    if len(found) != 1:
        raise IngestError(f"{given} stands for {len(found):,} inputs: preview one of them.")
    return found[0]


def previews(given: Any, rows: int = ROWS, **options: Any) -> Iterator[Preview]:
    """The preview of each input that a path, pattern, open file or table stands for."""
    if rows < 1:
        raise IngestError(f"rows must be a whole number above 0, not {rows}.")
    none = dict.fromkeys(("key", "time", "unit", "duplicates", "id", "missing_key"))
    wanted = {**none, "format": "auto", **options}
    check_format(wanted["format"])
    # Wrong options are an error before anything is read.
    looked = Settings.of(None, "STREAM", **{**wanted, "key": "any key", "time": "any time", "id": None})
    source = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    for found in each_source(resolve(given), lambda identity: False, lambda archive, size: None):
        with ExitStack() as stack:
            yield replace(_Look(found, rows, looked, wanted, stack).preview(), source=source)


@dataclass
class _Look:
    """One look at an input. ``looked`` are the settings with any key and time, ``wanted`` the options."""

    given: Input
    rows: int
    looked: Settings
    wanted: Mapping[str, Any]
    stack: ExitStack
    head: bytes = b""

    def preview(self) -> Preview:
        """Its preview, without a command."""
        first, again = tee(self._pieces())
        seen, fault, whole = self._seen(first)
        rows = seen.records
        if seen.chunk is not None:
            columns = TypedColumns(self.looked, seen, self.given.name)
            fields = list(fields_of_table(seen.chunk, columns.words))
            rows = max((len(column.values) for column in seen.chunk.values()), default=0)
            whole = rows < self.rows
        else:
            fields = list(fields_of_cells(seen.parts))
        found = Preview(self.given.name, seen.form or "a table" * isinstance(self.given, TableInput), rows, whole)
        found = replace(found, hints=tuple(self._hints(found.form, fields)))
        if fault is not None:
            return replace(found, fields=_shown(fields, None), fault=fault)
        return self._tried(found, fields, seen, again)

    # ---- reading

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self.given, TableInput):
            return iter(())
        file = self.stack.enter_context(opened(self.given))
        return decompressed(Hashed(file, self.given.name, ""), self.given.name)  # the digest is not needed

    def _seen(self, pieces: Iterator[bytes]) -> tuple[SeenRows, str | None, bool]:
        """The first records, why there are no more if something is wrong, and whether they are all."""
        reading = replace(self.looked.reading, key_value=None)
        if None in (self.wanted["key"], self.wanted["time"]):
            reading = replace(reading, columns=())  # candidates may be among the others
        settings = replace(
            self.looked, key=NOWHERE[0], time=NOWHERE[1], key_of=None, time_of=None, missing_key=None, reading=reading,
            any_fields=True, may_guess=True,
        )  # fmt: skip
        seen = new_assembler(SeenRows, settings, self.given.name)
        seen.most = self.rows
        try:
            if isinstance(self.given, TableInput):
                table = read_table(_head(self.given.table, self.rows), settings, seen, self.given.name)
                batches = table.batches()
            else:
                head = self.head = next(pieces, b"")
                seen.file = self._file(head)
                batches = batches_of(chain([head] if head else [], pieces), settings, seen, self.given.name)
            for _ in batches:
                pass
        except Enough:
            return seen, None, False
        except IngestError as error:
            return seen, str(error), False
        return seen, None, True

    def _file(self, head: bytes) -> BinaryIO | None:
        """The input as a file to be read from its end, if its content is what the file holds."""
        if type(self.given) is not FileInput:  # a file in an archive is none of its own
            return None
        file: Any = self.stack.enter_context(reader(self.given.path))
        return file if file.read(4) == head[:4] else None

    def _hints(self, form: str, fields: list[SeenField]) -> Iterator[str]:
        """What a text that is read as CSV may be instead, and texts that may be numbers."""
        if form != "CSV":
            texts = [name for name in numbers_as_text(fields) if name not in self.looked.reading.type]
            if texts:
                more = f" and {len(texts) - _SHOWN_NAMES:,} more" if len(texts) > _SHOWN_NAMES else ""
                yield (
                    f"all texts are numbers in {', '.join(texts[:_SHOWN_NAMES])}{more}: --type {texts[0]}=float64 "
                    "reads them as such"
                )
            return
        if self.wanted["format"] == "auto" and (formats := perhaps(self.head)):
            yield f"this may be {' or '.join(f'--format {name}' for name in formats)}"
        elif not self.looked.reading.names and (values := names_like_values(fields)):
            shown = ", ".join(map(repr, values[:_SHOWN_NAMES]))
            yield f"the first line is taken for the names of columns; if it is a row ({shown}), say --names A,B"

    # ---- the trial

    def _tried(self, found: Preview, fields: list[SeenField], seen: SeenRows, pieces: Iterator[bytes]) -> Preview:
        times = time_candidates(fields, found.rows, self._are_times)
        options = dict(self.wanted)
        given = self._as_given()
        time = given.time if given is not None else options["time"] or next((found.name for found in times), None)
        likely = [candidate.name for candidate in times if candidate.sure]
        keys = key_candidates(fields, found.rows, [*likely, *([] if time is None else [time])])
        r = self.looked.reading
        inside = tuple(record_options(fields, found.rows)) if r.records is None and r.columnar is None else ()
        found = replace(found, fields=_shown(fields, None), keys=tuple(keys), inside=inside)
        found = replace(found, times=tuple(likely or ([] if time is None else [time])))
        if given is None:
            options["time"] = time
            if options["key"] is None and self.looked.reading.key_value is None:
                options["key"], options["key_value"] = (keys[0], None) if keys else (None, _FROM_NAME)
        if (options["unit"] if given is None else given.unit) is None:
            options["unit"] = next((unit_of(f) for f in fields if f.name == time and f.type != "time"), None)
        if not self.looked.reading.time_format and (form := self._form(time, times, fields)) is not None:
            options["time_format"] = form
        if not found.rows:
            return replace(found, fault=_no_records(self.given.name, seen.rejects.head))
        if not fields and seen.rejects.count:
            return replace(found, rejected=seen.rejects.count, fault=_all_rejected(seen.rejects))
        if time is None:
            return replace(found, fault=_NO_TIME)
        is_format = self.wanted["format"] == "auto" and bool(perhaps(self.head))
        if self.wanted["time"] is None and found.form == "CSV" and not (r.names or is_format) and self._is_time(time):
            return replace(found, hints=(), fault=_no_header(seen.rejects.head, [field.name for field in fields], time))
        try:
            settings = Settings.of(None, "STREAM", **options)
            trial = new_assembler(Trial, settings, self.given.name)
            self._try(trial, settings, seen, pieces)
        except IngestError as error:
            return replace(found, fault=str(error))
        rejects = trial.rejects
        columns = trial.reports()
        found = replace(
            found,
            options={n: v for n, v in options.items() if v not in (None, "auto")} | settings.reading.to_dict(),
            fields=_shown(fields, columns),
            taken=trial.rows_read - rejects.count,
            rejected=rejects.count,
            reasons=dict(rejects.reasons),
            examples=rejects.examples,
            columns=columns,
            left_out=dict(trial.notes.left_out),
            remarks=(
                *trial.notes.sentences,
                *zone_notes(settings.reading.time_zone, trial.time.without_zone, trial.time.twice),
            ),
        )
        return found if found.taken else replace(found, fault=_all_rejected(rejects))

    def _form(self, time: str | None, times: Sequence[TimeCandidate], fields: Sequence[SeenField]) -> str | None:
        """The format of the time, if it needs one and has only one."""
        chosen = next((candidate for candidate in times if candidate.name == time), None)
        if chosen is not None and (chosen.sure or chosen.form is not None):
            return chosen.form
        field = next((f for f in fields if f.name == time and f.type in ("string", "int64")), None)
        if field is None or any(self._are_times(field.name, list(field.texts))):
            return None
        return written_form(field)

    def _as_given(self) -> Settings | None:
        """The settings by the options as they were given; None if these do not say key and time."""
        try:
            return Settings.of(None, "STREAM", **self.wanted)
        except IngestError:
            return None

    def _try(self, trial: Trial, settings: Settings, seen: SeenRows, pieces: Iterator[bytes]) -> None:
        name = self.given.name
        if seen.chunk is not None:
            trial.words = seen.words
            trial.count([TypedColumns(settings, trial, name).take(dict(seen.chunk), 0)])
            return
        trial.most = self.rows
        try:
            for _ in batches_of(pieces, settings, trial, name):
                pass
        except Enough:
            pass
        trial.finish()

    def _is_time(self, name: str) -> bool:
        """Whether the name of a field is a time itself."""
        epoch = unit_of(SeenField("", "string", 1, {name: 1})) is not None
        return epoch or bool(likely_formats(name)) or self._are_times("", [name])[0]

    def _are_times(self, name: str, texts: list[str]) -> list[bool]:
        """Which of the texts an ingest would take as times."""
        raw = [text.encode("utf-8", "replace") or b"-" for text in texts]
        ends = np.cumsum([len(r) for r in raw], dtype=np.int64)
        lengths = np.diff(ends, prepend=0)
        spans = (ends - lengths) << 32 | lengths
        kind, places = np.full((2, len(raw)), STRING, np.uint8), np.zeros(len(raw), np.int64)
        data = np.frombuffer(b"".join(raw), np.uint8).copy()
        reading = replace(self.looked.reading, key_value=None)
        settings = replace(self.looked, key=NOWHERE[0], time=name, unit="iso", time_of=None, reading=reading)
        cells = RawCells(data, 0, 1, [NOWHERE[0], name], kind, np.stack([spans, spans]), places, places)
        good: list[bool] = new_assembler(Assembler, settings, self.given.name).screen(cells).good.tolist()
        return good


def _no_records(name: str, header: str) -> str:
    if not header.strip():
        return f"{name} is empty."
    return (
        f"{name} has no records after its first line, which is taken for the names of columns ({header.strip()!r:.80}"
        "): see --names and --format."
    )


def _no_header(header: str, names: list[str], time: str) -> str:
    made = ["time" if name == time else f"v{at}" for at, name in enumerate(names, 1)]
    return (
        f"the first line is a record, and not the names of columns ({header.strip()!r:.80}): say these, for example "
        f"--names {','.join(made)}."
    )


def _all_rejected(rejects: Rejects) -> str:
    first = rejects.examples[0]
    names = " Records that are arrays need names (--names A,B)." if first.text[:1] == "[" else ""
    which = "the only record was" if rejects.count == 1 else f"all {rejects.count:,} records were"
    return f"{which} rejected, the first in line {first.line:,}: {first.reason}.{names}"


def _head(table: Any, rows: int) -> Any:
    """The first rows of a table in memory."""
    if isinstance(table, Mapping):
        return {name: values[:rows] for name, values in table.items()}
    if hasattr(table, "slice"):
        return table.slice(0, rows)
    return table.head(rows) if hasattr(table, "head") else table


def _shown(fields: list[SeenField], columns: Mapping[str, Any] | None) -> tuple[FieldPreview, ...]:
    """The fields, with the types of the columns that they become."""
    types = {} if columns is None else {name: column.type for name, column in columns.items()}
    return tuple(
        FieldPreview(f.name, types.get(f.name, f.type), f.values, len(f.texts), tuple(f.samples())) for f in fields
    )
