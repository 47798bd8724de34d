"""The report of an ingest, source by source."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from operators.errors import Portable
from operators.nearest import listed
from runtime.errors import IngestError
from runtime.progress import count_of

_REASONS = 10
"""Reasons that a report spells out."""

_NUMBER = re.compile(r"\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*")
_COLUMNS = 30
"""Columns whose types a report spells out."""

_NOTES = 20
"""Notes on columns that a report spells out."""

_SHOWN = 5
"""Names of sources that a message lists."""


class Reason(str):
    """A reason that shows a value; ``counted`` is the same without it, under which rejects are counted."""

    counted: str

    def __new__(cls, shown: str, counted: str = "") -> Reason:
        """The reason as it is shown, and as it is counted."""
        made = super().__new__(cls, shown)
        made.counted = counted or shown
        return made


def counted(reason: str) -> str:
    """The reason under which a reject is counted."""
    return reason.counted if isinstance(reason, Reason) else reason


class Reject(NamedTuple):
    """One rejected record: its line (from 1) and byte offset in the decompressed source, the reason, and its text (in a
    report, its first characters)."""

    line: int
    byte: int
    reason: str
    text: str


class Example(NamedTuple):
    """A value as text, and its line (of a table: its row) in the source, from 1."""

    text: str
    line: int


@dataclass(frozen=True)
class ColumnReport:
    """One column of a source: its type, how many ``values`` it got from it, and its values that are elsewhere.

    ``twins`` counts values by the type of the twin that has them (``temp#string``), ``examples`` has the first of each
    and its line; ``nulls`` counts words that were taken as missing, NaN and infinities. Of a text column of CSV
    ``numbers`` values look like numbers, and ``text`` is the first that does not.
    """

    type: str
    values: int = 0
    twins: Mapping[str, int] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Example] = field(default_factory=dict)
    numbers: int = 0
    text: Example | None = None

    def notes(self, name: str) -> Iterator[str]:
        """What is beside it, a sentence each."""
        for type_, count in sorted(self.twins.items()):
            first = self.examples[type_]
            hint = ""
            if type_ == "string" and self.type != "string":
                hint = f"; {_text_hint(name, self.type, first.text)}"
            yield (
                f"{name} is {self.type}: {count_of(count, _CALLED.get(type_, type_))} in {name}#{type_} "
                f"(the first, {first.text!r}, in line {first.line:,}{hint})"
            )
        if self.text is not None and self.numbers * _FEW >= self.values:
            yield (
                f"{name} is text because of {count_of(self.values - self.numbers, 'value')} (the first, "
                f"{self.text.text!r}, in line {self.text.line:,}) beside {count_of(self.numbers, 'number')}: "
                f"--type {name}=float64 reads numbers, --null {self.text.text!r}: missing"
            )

    def missing(self, name: str) -> Iterator[str]:
        """What was taken as missing, in a sentence."""
        if self.nulls:
            yield f"{name}: taken as missing: " + ", ".join(
                f"{n:,} x {word or 'an empty text'}" for word, n in sorted(self.nulls.items())
            )


_FEW = 4
"""A text column is noted if at least one in so many of its values looks like a number."""


def zone_notes(zone: str | None, without_zone: int, twice: int) -> Iterator[str]:
    """What a person should know of times without an offset, of which the clock of ``zone`` showed some ``twice``."""
    if without_zone:
        yield f"{count_of(without_zone, 'time')} without an offset: taken as {zone or 'UTC'} (--time-zone)"
    if twice:
        yield f"{count_of(twice, 'time')} that the clock of {zone} showed twice: the earlier was taken"


def _text_hint(name: str, type_: str, text: str) -> str:
    """What to do about a text in a column that is none."""
    if type_ not in ("int64", "float64") or not _NUMBER.fullmatch(text):
        return f"--null {text!r}: missing"
    if _CODE.fullmatch(text):
        return f"--type {name}=string keeps such codes, --type {name}={type_} reads them as numbers"
    return f"--type {name}={type_} would read it"


_CODE = re.compile(r"0[0-9]+")

_CALLED = {"string": "text", "int64": "integer", "float64": "fraction", "bool": "boolean", "json": "JSON value"}


@dataclass(frozen=True)
class SourceReport:
    """The outcome of one source.

    ``status`` is "ingested", "already ingested" or "failed" (``error`` says why). ``rows_read`` is the sum of
    ``committed``, ``rejected`` and ``dropped`` (duplicates dropped or merged within a written file). ``bytes_in`` are
    those of the source as received, ``bytes_out`` those of its point files. ``waiting`` rows are more than an hour
    ahead of this machine's clock, the first at ``waiting_from`` (microseconds UTC): ingest the source again when the
    clock has reached that time, or was corrected, to commit exactly these. ``resumed``: this run did so. ``columns``
    are those with values, by name; ``left_out`` counts values that no column took, by reason.
    ``without_zone`` event times had no offset, and were taken as those of ``zone`` (None: UTC); ``twice`` of them were
    shown twice by the clock there, and the earlier was taken. Of a source that was ingested before: the options of
    then, if they were others (``options_before``), and how many records were rejected (``rejected_before``). ``notes``
    are sentences on how the source was read, ``times`` the first and last event time of its points. ``replaced`` are
    the names of the sources that it took back in its commit, with ``replaced_rows`` (None: it was not to replace any).
    """

    name: str
    status: str
    rows_read: int = 0
    committed: int = 0
    rejected: int = 0
    dropped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Reject, ...] = ()
    rejects_path: str | None = None
    files: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    error: str | None = None
    waiting: int = 0
    waiting_from: int | None = None
    resumed: bool = False
    columns: Mapping[str, ColumnReport] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    zone: str | None = None
    without_zone: int = 0
    twice: int = 0
    options_before: Mapping[str, Any] | None = None
    rejected_before: int = 0
    notes: tuple[str, ...] = ()
    times: tuple[int, int] | None = None
    replaced: tuple[str, ...] | None = None
    replaced_rows: int = 0
    position: Mapping[str, Any] | None = None
    """Where the feed goes on whose part the source is."""

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name}: {self.status}: {self.error}"
        if self.status != "ingested":
            stays = "; nothing was taken back" if self.replaced is not None else ""
            return f"{self.name}: {self.status}{stays}{self._other_options()}{self._wait()}"
        text = f"{self.name}: {count_of(self.committed, 'row')} in {count_of(self.files, 'file')}"
        if self.resumed:
            text += " (rows that were ahead of the clock when it was first ingested)"
        text += self._in_place()
        if self.dropped:
            text += f", {count_of(self.dropped, 'duplicate')} dropped"
        if self.rejected:
            text += f", {self.rejected:,} rejected"
        text += f" ({self.seconds:.1f} s)"
        ordered = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        for reason, count in ordered[:_REASONS]:
            first = next((e for e in self.examples if counted(e.reason) == reason), None)
            where = f" (first at line {first.line}, byte {first.byte})" if first else ""
            text += f"\n  {count:,} x {first.reason if first else reason}{where}"
        if rest := sum(count for _, count in ordered[_REASONS:]):
            text += f"\n  {rest:,} for {count_of(len(ordered) - _REASONS, 'other reason')}"
        if self.rejects_path:
            text += f"\n  rejected records: {self.rejects_path}"
        notes = [*self.notes, *(note for name, column in self.columns.items() for note in column.notes(name))]
        notes += zone_notes(self.zone, self.without_zone, self.twice)
        notes += [f"{count_of(count, 'value')} left out: {reason}" for reason, count in sorted(self.left_out.items())]
        notes += [note for name, column in self.columns.items() for note in column.missing(name)]
        for note in notes[:_NOTES]:
            text += f"\n  {note}"
        if len(notes) > _NOTES:
            text += f"\n  and {len(notes) - _NOTES:,} more such notes (Python: report.sources[...].columns)"
        return text + self._wait()

    def _in_place(self) -> str:
        """What it replaced."""
        if self.replaced is None or self.resumed:
            return ""
        if not self.replaced:
            return ", in the place of none: no source of this name was in the stream"
        shown = listed(dict.fromkeys(self.replaced), _SHOWN)
        were = "was" if self.replaced_rows == 1 else "were"
        return f", in the place of {count_of(self.replaced_rows, 'row')} of {shown}, which {were} taken back"

    def _other_options(self) -> str:
        """Advice on a source that was read with other options."""
        if self.options_before is None:
            return ""
        given = ", ".join(f"{name}={value}" for name, value in self.options_before.items()) or "none"
        text = f", with other options (then: {given}): its rows stay as they are"
        if self.rejected_before:
            records = count_of(self.rejected_before, "rejected record")
            text += f"; --retry-rejects reads its {records} with those of now"
        return f"{text}; --replace reads it anew, in the place of its rows"

    def _wait(self) -> str:
        """Advice on rows that are ahead of the clock."""
        if not self.waiting or self.waiting_from is None:
            return ""
        return (
            f"\n  {count_of(self.waiting, 'row')} from {utc(self.waiting_from)} on, ahead of this machine's clock "
            f"({utc(clock.time_ns() // 1000)}): if the clock is behind, correct it; then ingest this source again, "
            "which takes only these rows"
        )


@dataclass(frozen=True)
class IngestReport:
    """The outcomes of all sources of an ingest, and their totals; ``upkeep`` is what was done for the store then."""

    stream: str
    sources: tuple[SourceReport, ...]
    upkeep: str = ""

    @property
    def rows_read(self) -> int:
        """Records found in the sources that were ingested now."""
        return sum(s.rows_read for s in self.sources)

    @property
    def committed(self) -> int:
        """Rows that are now in the stream."""
        return sum(s.committed for s in self.sources)

    @property
    def rejected(self) -> int:
        """Records that were set aside, each with its reason."""
        return sum(s.rejected for s in self.sources)

    @property
    def waiting(self) -> int:
        """Rows ahead of this machine's clock, which a later ingest of their sources can commit."""
        return sum(s.waiting for s in self.sources)

    @property
    def dropped(self) -> int:
        """Duplicates dropped or merged within the written files."""
        return sum(s.dropped for s in self.sources)

    @property
    def files(self) -> int:
        """Point files written."""
        return sum(s.files for s in self.sources)

    @property
    def bytes_in(self) -> int:
        """Bytes of the sources that were ingested now, as given."""
        return sum(s.bytes_in for s in self.sources)

    @property
    def bytes_out(self) -> int:
        """Bytes of the point files written."""
        return sum(s.bytes_out for s in self.sources)

    @property
    def seconds(self) -> float:
        """Time taken."""
        return sum(s.seconds for s in self.sources)

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected records by reason."""
        out: dict[str, int] = {}
        for source in self.sources:
            for reason, count in source.reasons.items():
                out[reason] = out.get(reason, 0) + count
        return out

    def to_dict(self) -> dict[str, Any]:
        """The totals and the sources, for JSON."""
        totals = (
            "rows_read",
            "committed",
            "rejected",
            "waiting",
            "dropped",
            "files",
            "bytes_in",
            "bytes_out",
            "seconds",
        )
        out: dict[str, Any] = {"stream": self.stream, **{name: getattr(self, name) for name in totals}}
        out["reasons"] = self.reasons
        out["upkeep"] = self.upkeep
        out["sources"] = [asdict(source) for source in self.sources]
        for source, said in zip(self.sources, out["sources"], strict=True):
            said["examples"] = [example._asdict() for example in source.examples]
            for name, column in source.columns.items():
                shown = said["columns"][name]
                shown["examples"] = {type_: example._asdict() for type_, example in column.examples.items()}
                shown["text"] = None if column.text is None else column.text._asdict()
        return out

    def __str__(self) -> str:
        lines = [str(source) for source in self.sources]
        done = sum(s.status == "ingested" for s in self.sources)
        if types := self._types():
            lines.append(types)
        if len(self.sources) != 1 and done:
            lines.append(
                f"{self.stream}: {count_of(self.committed, 'row')} of {count_of(done, 'source')} in "
                f"{count_of(self.files, 'file')}, {self.rejected:,} rejected, "
                f"{self.dropped:,} dropped ({self.seconds:.1f} s)"
            )
        if self.upkeep:
            lines.append(self.upkeep)
        return "\n".join(lines)

    def _types(self) -> str:
        """The columns and their types in a line."""
        types = {name: column.type for source in self.sources for name, column in source.columns.items()}
        shown = [f"{name} {type_}" for name, type_ in types.items()]
        rest = f" and {len(shown) - _COLUMNS:,} more" if len(shown) > _COLUMNS else ""
        return f"columns: {', '.join(shown[:_COLUMNS])}{rest}" if shown else ""


class SourcesFailed(IngestError):
    """Some of several sources could not be ingested; the others are committed. ``report`` lists both."""

    def __init__(self, message: str, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report


class Interrupted(Portable, KeyboardInterrupt):
    """An interrupted ingest: ``report`` lists what was done; no source is half done."""

    def __init__(self, report: IngestReport, left: Sequence[str]) -> None:
        done = [s for s in report.sources if s.error is None]
        failed = len(report.sources) - len(done)
        of = f" of {len(report.sources) + len(left):,}" if left else ""
        text = f"interrupted; {count_of(len(done), 'source')}{of} {'is' if len(done) == 1 else 'are'} ingested"
        if failed:
            text += f", {failed:,} failed"
        if left:
            shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN:,} more" if len(left) > _SHOWN else "")
            text += f"; not ingested: {shown}. Nothing is half done: run the same command again to ingest the rest"
        super().__init__(text)
        self.report = report
        self.left = tuple(left)


def utc(micros: int) -> str:
    """A time as text, to the second; in microseconds if it is beyond the calendar."""
    try:
        return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).strftime("%Y-%m-%d %H:%M:%SZ")
    except OverflowError:
        return f"{micros} µs"


def utc_text(micros: int) -> str:
    """A time as exact ISO-8601 text; in microseconds if it is beyond the calendar."""
    try:
        return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat() + "Z"
    except OverflowError:
        return str(micros)
