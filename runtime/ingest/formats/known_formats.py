"""What a source's content may be, and how it is found out: each format declares itself in a file of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.inputs.encodings import as_utf8, likely
from runtime.ingest.inputs.presets import AUTO
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.json_columns import JsonColumns
from runtime.ingest.text.json_scanner import MAX_DEPTH

_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16
_CHECKED = 4096
_RARE = 64  # one control character in so many bytes is no text
_FEW = 8  # so many, if none is NUL, may be mistakes in a short text

_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\v\f\r\x1b")


@dataclass(frozen=True)
class Content:
    """The content of a source: its first bytes, which were looked at, and all of it."""

    head: bytes
    rest: Iterator[bytes]

    def bytes(self) -> Iterator[bytes]:
        """All of it, in pieces."""
        return chain([self.head], self.rest)

    def text(self) -> Text:
        """All of it as a text to be scanned, without the mark that says that it is UTF-8."""
        skipped = len(_BOM) if self.head.startswith(_BOM) else 0
        text = Text(chain([self.head[skipped:]], self.rest))
        text.base = skipped
        text.more(0)
        return text


@dataclass(frozen=True)
class SourceFormat:
    """One format, under one or more names; ``title`` is what people call it, ``about`` what it is, in a line.

    ``looks_like(head)``: whether content that begins so is of this format; asked in the order of ``rank``, of formats
    that are not text first. ``batches`` gives the accepted rows; the ``Assembler`` counts and records the others.
    ``named``: whether the error about content of no known format lists it. ``may_be(line)``: whether a text that begins
    with this line may be of this format, which is for a person to say.
    """

    title: str
    names: tuple[str, ...]
    looks_like: Callable[[bytes], bool]
    batches: Callable[[Content, Settings, Assembler, str], Iterator[Batch]]
    is_text: bool = True
    rank: int = 0
    about: str = ""
    named: bool = True
    may_be: Callable[[bytes], bool] = lambda line: False


_FORMATS: dict[str, SourceFormat] = {}


def register(format: SourceFormat) -> None:
    """Make the format known under its names."""
    _FORMATS.update(dict.fromkeys(format.names, format))


def names() -> tuple[str, ...]:
    """What a format may be called."""
    return (AUTO, *_FORMATS)


def formats() -> tuple[SourceFormat, ...]:
    """All formats."""
    return tuple(dict.fromkeys(_FORMATS.values()))


def perhaps(head: bytes) -> list[str]:
    """The formats that a text may be of which begins so, although it is not detected as such."""
    line = head.removeprefix(_BOM).partition(b"\n")[0].rstrip(b"\r")
    return [name for name, format in _FORMATS.items() if format.may_be(line)]


def check_format(name: str) -> None:
    """IngestError for a format that is not known."""
    if name not in names():
        raise IngestError(
            f"format {name!r} is unknown: {meant(name, names(), 'choose')} one of {', '.join(names())} (--format)."
        )


def batches_of(pieces: Iterator[bytes], settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """The accepted rows of a source's content; its format is the declared one or found by looking at its beginning."""
    check_format(settings.format)
    head = _head(pieces)
    chosen = _FORMATS.get(settings.format) or _found(head, is_text=False)
    if chosen is None or chosen.is_text:
        pieces = as_utf8(head, pieces, settings.encoding, name)
        head = _head(pieces)
        text = head.removeprefix(_BOM)
        chosen = chosen or (None if _is_binary(text[:_CHECKED]) else _found(text, is_text=True))
    if chosen is None:
        raise _unknown(head, name)
    if settings.reading.json:
        depth = settings.reading.depth or MAX_DEPTH
        names = replace(settings, as_records=False).names()
        assembler.prepare = JsonColumns(settings.reading.json, names, depth)
    assembler.form = chosen.title
    yield from chosen.batches(Content(head, pieces), settings, assembler, name)


def looks_like_text_of(head: bytes) -> str:
    """The name of the text format that content which begins so is taken for; empty if it is not text."""
    if _found(head, is_text=False) is not None:
        return ""
    text = head.removeprefix(_BOM)
    found = None if _is_binary(text[:_CHECKED]) else _found(text, is_text=True)
    return "" if found is None else found.names[0]


def _head(pieces: Iterator[bytes]) -> bytes:
    """The first bytes, by which the content is known."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    return head


def _is_binary(head: bytes) -> bool:
    controls = _controls(head)
    if controls <= (0 if b"\0" in head else _FEW) or controls * _RARE <= len(head):
        return False
    first = head.partition(b"\n")[0]
    try:
        first.decode()
    except UnicodeDecodeError:
        return True
    return bool(_controls(first))  # names of columns have none, whatever is in the rows


def _controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _found(head: bytes, is_text: bool) -> SourceFormat | None:
    listed = sorted(formats(), key=lambda f: f.rank)
    return next((f for f in listed if f.is_text == is_text and f.looks_like(head)), None)


def _unknown(head: bytes, name: str) -> IngestError:
    *titles, last = sorted(f.title for f in formats() if f.named)
    encoding = likely(head)
    return IngestError(
        f"{name} is not {', '.join(titles)} or {last} in UTF-8, as its first bytes show ({head[:16].hex(' ')}): "
        f"convert it, or say its format (--format){f' or its encoding (--encoding {encoding})' if encoding else ''}."
    )
