"""The dialect of a CSV text, found by its first lines: where the header is, what separates, what columns are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from operators.nearest import listed, meant
from runtime.errors import IngestError
from runtime.ingest.inputs.encodings import likely
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.dialects.csv_records import BLANKS, Cell, line_end, record_at
from runtime.ingest.text.dialects.header_names import has_row_numbers, raw_names, usable, without_trailing
from runtime.ingest.text.dialects.written_numbers import marks_of
from runtime.ingest.text.rejects import KnownRows

MAX_HEADER = 1 << 20
WINDOW = MAX_HEADER + (1 << 16)
"""Bytes by which the dialect is found: a header, and a sample of rows after it."""

_SAMPLE_BYTES = 1 << 16
_LINES = 50  # that may be before the header, those that begin with # aside; rows of the sample
_COMMENTS = 1000
_SEPARATORS = (",", ";", "\t", "|", BLANKS)
_SEP = re.compile(rb"\"?sep=([^\r\n\x80-\xff])\"?[ ]*(?:\r\n|\n|\r|\Z)", re.IGNORECASE)
_SHOWN = 80
_NUMBER = re.compile(rb"\s*[+-]?[0-9]+(\.[0-9]*)?\s*")
_GIVEN = re.compile(r".+_[0-9]+")  # such as column_1 and v_2

_ZEEK = "#fields"
"""How the line with the names begins in a log of Zeek; other lines that begin with # are no rows,
and quotes are text."""


@dataclass(frozen=True)
class Dialect:
    """How a text is to be read: ``names`` of the columns in their order; the rows begin at byte ``begin``.

    With ``trim``, blanks around values are no part of them. ``notes`` are sentences on what was found, ``made_up``
    those on names that are not as they were written.
    """

    separator: str
    quote: str
    comment: bytes
    names: tuple[str, ...]
    begin: int
    trim: bool = False
    notes: tuple[str, ...] = ()
    made_up: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> str:
        """A header line with which rows alone are read in the same way."""
        between = " " if self.separator == BLANKS else self.separator
        quote = self.quote
        odd = {between, quote, " ", "\n", "\r"} - {""}
        quoted = [quote + n.replace(quote, 2 * quote) + quote if quote and odd & {*n} else n for n in self.names]
        return between.join(quoted) + "\n"

    @property
    def rows(self) -> KnownRows:
        """What is known of the rows."""
        return KnownRows(self.names, self.separator, self.trim)


def find_dialect(data: bytes, whole: bool, settings: Settings, source: str) -> Dialect:
    """The dialect of the text that begins with ``data`` (``whole``: is it); IngestError without key or time."""
    if (known := settings.rows) is not None:
        r = settings.reading
        quote, comment = '"' if r.quote is None else r.quote, (r.comment or "").encode()
        return Dialect(r.delimiter or known.separator, quote, comment, known.names, 0, known.trim)
    return _Finder(data[:WINDOW], whole and len(data) <= WINDOW, settings, source).dialect()


class _Finder:
    def __init__(self, data: bytes, whole: bool, settings: Settings, source: str) -> None:
        self._data, self._whole, self._source = data, whole, source
        self._reading = reading = settings.reading
        self._wanted = settings.needed()
        self._may_guess = settings.may_guess
        self._first = (settings.key, settings.time)
        known = settings.known.columns if settings.known else ()
        self._exact = {*(name for _, names in self._wanted for name in names), *known}
        self._quote = '"' if reading.quote is None else reading.quote
        self._comment = (reading.comment or "").encode()
        self._begin = 0
        self._separators: Sequence[str] = _SEPARATORS
        if declared := _SEP.match(data):
            self._begin, self._separators = declared.end(), (declared[1].decode("latin-1"),)
        if reading.delimiter:
            self._separators = (reading.delimiter,)
        if self._quote in self._separators:
            raise IngestError(f"{source}: {self._quote!r} cannot be both --quote and --delimiter.")
        for _ in range(reading.skip_rows):
            self._begin = line_end(data, self._begin)

    def dialect(self) -> Dialect:
        lines = self._first_lines()
        if not lines:
            if not self._whole:
                raise self._too_long()
            if self._reading.skip_rows and self._data.strip():
                raise IngestError(f"{self._source} has no line after the {self._reading.skip_rows} of --skip-rows.")
            return Dialect(",", self._quote, self._comment, self._first, len(self._data))  # an empty file
        return self._without_header(lines[0]) if self._reading.names else self._with_header(lines)

    def _lines(self, start: int) -> Iterator[int]:
        """Where lines begin that are neither blank nor comments."""
        data = self._data
        while start < len(data):
            end = line_end(data, start)
            if data[start:end].strip(b" \r\n") and not (self._comment and data.startswith(self._comment, start)):
                yield start
            start = end

    def _first_lines(self) -> list[int]:
        """The lines among which the header is."""
        found: list[int] = []
        comments = 0
        for start in self._lines(self._begin):
            found.append(start)
            comments += self._data.startswith(b"#", start)
            if len(found) - comments == _LINES or comments == _COMMENTS:
                break
        return found

    def _record(self, start: int, separator: str) -> tuple[list[Cell], int]:
        return record_at(self._data, start, separator, self._quote)

    def _is_cut(self, end: int) -> bool:
        """Whether a record that ends here may go on, or is too long for a header."""
        return end >= min(len(self._data), MAX_HEADER) and not self._whole

    def _too_long(self) -> IngestError:
        return IngestError(f"{self._source} has no header line of CSV within its first megabyte, and it is not JSON.")

    # ---- the header

    def _with_header(self, lines: list[int]) -> Dialect:
        # Words of a sentence are between blanks, too: such a header comes last, and a row like it must follow.
        marks, blanks = ([s for s in self._separators if (s == BLANKS) is of] for of in (False, True))
        if self._reading.skip_rows:
            del lines[1:]
        if not self._wanted:
            likeliest = self._likeliest(lines)
            alone = self._may_guess and all(len(self._record(likeliest, s)[0]) == 1 for s in marks)
            aligned = blanks and alone and self._aligned(lines)
            lines, marks = ([aligned[0]], []) if aligned else ([likeliest], marks)
        for separators in (marks, blanks):
            for place, start in enumerate(lines):
                if (found := self._header(start, separators)) is not None:
                    return self._after(found, lines[:place])
        first_end = line_end(self._data, lines[0])
        if self._is_cut(first_end):
            raise self._too_long()
        if (encoding := likely(self._data)) is not None:
            raise self._not_utf8(encoding)
        line = self._data[lines[0] : first_end].decode(errors="replace").rstrip("\r\n")
        raise self._without_columns(lines[0], line)

    def _likeliest(self, lines: list[int]) -> int:
        """The line that is likely the header, whatever key and time are: the first, unless another has more names (by
        two, and none a number) and is followed by a record with as many values.
        """
        marks = [s for s in self._separators if s != BLANKS]
        if not marks:
            return lines[0]
        if "\t" in marks and (zeek := [s for s in lines if self._data.startswith(f"{_ZEEK}\t".encode(), s)]):
            return zeek[0]
        if not self._may_guess:
            return lines[0]
        begins_here = not self._data.startswith(b"#", lines[0])
        first = max(len(_filled(self._record(lines[0], s)[0])) for s in marks) if begins_here else 0
        best = max(lines, key=lambda start: max(self._width(start, s) for s in marks))
        width = max(self._width(best, s) for s in marks)
        return best if width > max(1, first + (first > 1)) else lines[0]

    def _aligned(self, lines: list[int]) -> list[int]:
        """The lines that have several values between blanks, and are followed by two records with as many, or one."""
        widths = [len(self._record(start, BLANKS)[0]) for start in lines]
        return [
            start
            for n, start in enumerate(lines)
            if widths[n] > 1 and len(widths) > n + 1 and {*widths[n + 1 : n + 3]} == {widths[n]}
        ]

    def _width(self, start: int, separator: str) -> int:
        """How many names this record has, if the next one has as many values; else 0."""
        cells, end = self._record(start, separator)
        names = _filled(cells)
        if any(_NUMBER.fullmatch(cell.text) for cell in names) or len(self._record(end, separator)[0]) != len(cells):
            return 0
        return len(names)

    def _header(self, start: int, separators: Sequence[str]) -> Dialect | None:
        """The dialect if this record is the header, under one of the separators; that with most names, if several."""
        found: list[tuple[Dialect, list[Cell]]] = []
        for separator in separators:
            cells, end = self._record(start, separator)
            try:
                names = raw_names(cells, self._exact)
            except UnicodeDecodeError:
                return None
            sure = separator != BLANKS or self._reading.delimiter is not None
            if not (sure or len(self._record(end, separator)[0]) == len(names)) or self._is_cut(end):
                continue
            read = Dialect(separator, self._quote, self._comment, tuple(names), end)
            if self._has_wanted(read, cells):
                found.append((read, cells))
        if not found:
            return None
        read, cells = max(found, key=lambda f: len(f[1]))
        if read.names[0] == _ZEEK and not self._comment:
            self._comment, self._quote = b"#", ""
            read, cells = replace(read, names=read.names[1:], comment=b"#", quote=""), cells[1:]
        return self._finished(read, cells)

    def _has_wanted(self, read: Dialect, cells: list[Cell]) -> bool:
        """Whether key and time are among the names, or the names that columns are given."""
        if self._hits(read.names) == len(self._wanted):
            return True
        given = all(_GIVEN.fullmatch(name) for _, name in self._missing(read.names))
        return given and self._hits(self._finished(read, cells).names) == len(self._wanted)

    def _after(self, found: Dialect, left_out: list[int]) -> Dialect:
        """With a word on the lines that are before the header."""
        if not left_out:
            return found
        first = self._data[left_out[0] : line_end(self._data, left_out[0])].decode(errors="replace").strip()
        count = f"{len(left_out)} line{'s' * (len(left_out) > 1)}"
        return replace(found, notes=(f"{count} before the header left out: {first[:_SHOWN]!r}", *found.notes))

    def _hits(self, names: Sequence[str]) -> int:
        return sum(any(name in names for name in of) for _, of in self._wanted)

    def _missing(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Options with the field that is missing for each."""
        return [(option, of[0]) for option, of in self._wanted if not any(name in names for name in of)]

    def _not_utf8(self, encoding: str) -> IngestError:
        declared = self._reading.encoding
        if declared is not None:
            return IngestError(f"{self._source} is not {declared}, which --encoding declares: its first lines are not.")
        return IngestError(
            f"{self._source} is neither JSON nor CSV in UTF-8: its first lines are not UTF-8; say its encoding, for "
            f"example --encoding {encoding}."
        )

    def _without_columns(self, start: int, line: str) -> IngestError:
        """The error for a text without a line that has key and time: by the reading of its first with most names."""
        readings = [(self._record(start, s)[0], s) for s in self._separators]
        named = [(raw_names(cells, (), "replace"), s, cells) for cells, s in readings]
        names, _, cells = max(named, key=lambda r: (self._hits(r[0]), r[1] != BLANKS, len(r[0])))
        missing = self._missing(names)
        hints = "if it has no header, say --names; if that comes later, --skip-rows"
        if len(names) < 2:
            wanted = " and ".join(repr(n) for _, n in missing)
            return IngestError(
                f"{self._source} is read as CSV, but its first line has no columns {wanted} (it begins "
                f"{line[:_SHOWN]!r}): check --key, --time and --format; {hints}."
            )
        if not missing:
            return IngestError(
                f"{self._source}: the line after its header ({line[:_SHOWN]!r}) has another number of values; if it is "
                "CSV that is separated by blanks, say --delimiter ' '."
            )
        lacks = " and ".join(f"{n!r} ({option})" for option, n in missing)
        its = meant(missing[0][1], names, "its")
        # As written and quoted, because without a header these are values, which logs redact.
        written = listed(repr(cell.text.decode(errors="replace")) for cell in cells)
        return IngestError(f"{self._source} has no column {lacks}; {its} first line has {written} ({hints}).")

    def _without_header(self, start: int) -> Dialect:
        """The dialect of a text whose columns are named by the option."""
        names = self._reading.names
        if missing := self._missing(names):
            lacks = " and ".join(f"{n!r} ({option})" for option, n in missing)
            raise IngestError(f"--names has no {lacks}: it names the columns {listed(map(repr, names))}.")
        counts = {s: len(self._record(start, s)[0]) for s in self._separators}
        separator = min(counts, key=lambda s: abs(counts[s] - len(names)))
        given = [Cell(name.encode(), quoted=True) for name in names]
        return self._finished(Dialect(separator, self._quote, self._comment, names, start), given)

    # ---- the rows

    def _finished(self, found: Dialect, cells: Sequence[Cell]) -> Dialect:
        """With what the first rows say: blanks, columns without name and values, how numbers are written."""
        sample = self._sample(found)
        if not self._reading.names and has_row_numbers(len(found.names), sample):
            found, cells = replace(found, names=("", *found.names)), [Cell(b""), *cells]
        names, made_up = usable(without_trailing(list(found.names), sample), cells)
        notes = [*made_up.values()]
        trim = found.separator == BLANKS
        if not trim and _is_indented(sample):
            trim = True
            notes.append("blanks around values are left out: they follow every separator")
        if self._reading.decimal is None and self._reading.thousands is None:
            notes += self._written_numbers(names, sample)
        return replace(found, names=tuple(names), trim=trim, notes=tuple(notes), made_up=made_up)

    def _sample(self, found: Dialect) -> list[list[Cell]]:
        rows: list[list[Cell]] = []
        data, at = self._data, found.begin
        end = min(len(data), at + _SAMPLE_BYTES)
        for start in self._lines(at):
            if start < at:
                continue  # within a row of several lines
            if start >= end or len(rows) == _LINES:
                break
            cells, at = record_at(data, start, found.separator, self._quote)
            if at >= len(data) and not self._whole:
                break
            rows.append(cells)
        return rows

    def _written_numbers(self, names: list[str], sample: list[list[Cell]]) -> Iterator[str]:
        """Hints on columns that hold numbers as people write them."""
        for place, name in enumerate(names):
            cells = [row[place].text.decode(errors="replace").strip() for row in sample if len(row) > place]
            texts = [text for text in cells if text]
            if name not in self._first and (marks := marks_of(texts)):
                yield f"column {name} holds text such as {texts[0][:_SHOWN]!r}: if these are numbers, say {marks}"


def _filled(cells: list[Cell]) -> list[Cell]:
    """The cells without empty ones at the end."""
    n = len(cells)
    while n and not cells[n - 1].text.strip():
        n -= 1
    return cells[:n]


def _is_indented(sample: list[list[Cell]]) -> bool:
    """Whether a blank follows every separator of the rows, or nothing does."""
    after = [cell for row in sample for cell in row[1:] if cell.text or cell.quoted]
    return bool(after) and all(cell.indented for cell in after)
