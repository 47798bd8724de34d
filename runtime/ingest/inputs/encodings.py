"""Text in any encoding, as UTF-8: by its byte-order mark, or as declared; decoded piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from encodings.aliases import aliases
from itertools import chain

from operators.nearest import meant
from runtime.errors import IngestError

_MARKS = (
    (codecs.BOM_UTF8, None),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte-order marks and what they say; that of UTF-32 begins like that of UTF-16. None is UTF-8."""

_COMMON = ("utf-8", "utf-16", "latin-1", "windows-1252", "iso-8859-15", "cp437", "mac-roman", "shift_jis", "gb18030")
_NO_FILES = ("unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined")
"""Codecs that Python counts as encodings of text, but no file has."""

_ERRORS = "antfold.undecodable"
_SURROGATE = "\udcff"
UNDECODABLE = _SURROGATE.encode("utf-8", "surrogatepass")
"""The bytes that stand for those that are not in the encoding."""

_PIECE = 1 << 20


def _undecodable(error: UnicodeError) -> tuple[str, int]:
    """A lone surrogate, which cannot be in text: its record is rejected as one that is not text."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _SURROGATE, error.end


codecs.register_error(_ERRORS, _undecodable)


def check_encoding(name: str) -> None:
    """IngestError if Python has no text encoding of this name."""
    try:
        with suppress(UnicodeError):
            b"a".decode(name)  # of no bytes at all, any name is taken
        if codecs.lookup(name).name in _NO_FILES:
            raise LookupError(name)
    except (LookupError, ValueError):
        known = {alias.replace("_", "-") for pair in aliases.items() for alias in pair} | set(_COMMON)
        then = f"give one of Python's text encodings, for example {', '.join(_COMMON)} (--encoding)"
        raise IngestError(f"the encoding {name!r:.60} is unknown: {meant(name, sorted(known), then)}.") from None


def marked(head: bytes) -> str | None:
    """The encoding that a byte-order mark at the beginning says, if it is not UTF-8."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def is_marked(head: bytes) -> bool:
    """Whether the data begins with a byte-order mark."""
    return any(head.startswith(mark) for mark, _ in _MARKS)


def as_utf8(head: bytes, pieces: Iterator[bytes], encoding: str | None, name: str) -> Iterator[bytes]:
    """The text that begins with ``head`` as UTF-8; as it is, if it is that already.

    A byte-order mark is right whatever is declared. Bytes that are not in the encoding become bytes that are not UTF-8,
    so that their record is rejected and nothing is replaced.
    """
    if is_marked(head):
        encoding = marked(head)
    if encoding is None or is_utf8(encoding):
        return chain([head], pieces)
    whole = codecs.lookup(encoding).name
    if whole in ("utf-16", "utf-32") and head:
        raise IngestError(
            f"{name} does not begin with a byte-order mark, so {whole} may be one of two: say --encoding {whole}-le or "
            f"{whole}-be."
        )
    return _decoded(chain([head], pieces), encoding, name)


def is_utf8(encoding: str) -> bool:
    """Whether this is a name of UTF-8."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _decoded(pieces: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_ERRORS)
    first, done = True, 0
    for data, final in chain(((piece, False) for piece in pieces), [(b"", True)]):
        for at in range(0, max(len(data), 1), _PIECE):
            part = data[at : at + _PIECE]
            try:
                text = decoder.decode(part, final)
            except UnicodeError as error:
                raise IngestError(f"{name} is not {encoding} (--encoding) near byte {done:,}: {error}.") from error
            done += len(part)
            if first and text:
                first = False
                text = text.removeprefix("\ufeff")
            if text:
                yield text.encode("utf-8", "surrogatepass")


def likely(head: bytes) -> str | None:
    """An encoding to try for text that is not UTF-8; None if it looks like UTF-8, or like no text."""
    even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
    if even or odd:
        if len(head) >= 4 and max(even, odd) * 4 >= min(len(head), 4096) and not min(even, odd):
            return "utf-16-le" if odd else "utf-16-be"
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        # Windows has letters and quotes where Latin-1 has control characters that no text contains.
        return "windows-1252" if any(0x80 <= byte < 0xA0 for byte in head) else "latin-1"
    return None
