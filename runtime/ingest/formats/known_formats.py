"""What a source's content may be, and how it is found out: each format declares itself in a file of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.inputs.settings import Settings

_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16

AUTO = "auto"
"""The format that is found by looking inside."""


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
    """One format, under one or more names; ``title`` is what people call it.

    ``looks_like(head)``: whether content that begins so is of this format; asked in the order of ``rank``, of formats
    that are not text first. ``batches`` gives the accepted rows; the ``Assembler`` counts and records the others.
    """

    title: str
    names: tuple[str, ...]
    looks_like: Callable[[bytes], bool]
    batches: Callable[[Content, Settings, Assembler, str], Iterator[Batch]]
    is_text: bool = True
    rank: int = 0


_FORMATS: dict[str, SourceFormat] = {}


def register(format: SourceFormat) -> None:
    """Make the format known under its names."""
    _FORMATS.update(dict.fromkeys(format.names, format))


def names() -> tuple[str, ...]:
    """What a format may be called."""
    return (AUTO, *_FORMATS)


def check_format(name: str) -> None:
    """IngestError for a format that is not known."""
    if name not in names():
        raise IngestError(
            f"format {name!r} is unknown: {meant(name, names(), 'choose')} one of {', '.join(names())} (--format)."
        )


def batches_of(pieces: Iterator[bytes], settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """The accepted rows of a source's content; its format is the declared one or found by looking at its beginning."""
    check_format(settings.format)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    chosen = _FORMATS.get(settings.format) or _found(head, name)
    assembler.form = chosen.title
    yield from chosen.batches(Content(head, pieces), settings, assembler, name)


def _found(head: bytes, name: str) -> SourceFormat:
    listed = sorted(dict.fromkeys(_FORMATS.values()), key=lambda f: (f.is_text, f.rank))
    text = head.removeprefix(_BOM)
    for candidate in listed:
        if candidate.is_text and _is_binary(text):
            break
        if candidate.looks_like(text if candidate.is_text else head):
            return candidate
    *titles, last = sorted(f.title for f in listed)
    raise IngestError(
        f"{name} is not {', '.join(titles)} or {last} in UTF-8, as its first bytes show ({text[:16].hex(' ')}): "
        "convert it, or say its format (--format)."
    )


def _is_binary(head: bytes) -> bool:
    return b"\0" in head[:4096] or head[:2] in (b"\xff\xfe", b"\xfe\xff")
