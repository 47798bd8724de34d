"""Zip archives: every file in one is a source of its own, with the SHA-256 of its own bytes as identity."""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import IO

from operators.files import reader
from operators.nearest import listed
from runtime.ingest.inputs.inputs import FileInput, Input, StreamInput
from runtime.ingest.inputs.packed.archive_members import LOCAL_HEADER, METHODS, MemberInput
from runtime.ingest.inputs.packed.packings import ARCHIVES
from runtime.ingest.inputs.packed.peeked import Peeked

_READ = 1 << 20
_MAGIC = 4
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
"""Flags: a password is needed, strong encryption, an encrypted directory."""

_JUNK = (".ds_store", "thumbs.db", "desktop.ini")
_SHOWN = 3
_OFFICE = {"[Content_Types].xml", "mimetype"}


def each_source(
    found: list[Input], is_known: Callable[[str], bool], finished: Callable[[StreamInput, int], None]
) -> Generator[Input, None, None]:
    """The inputs in order. An archive is replaced, in the list, by the files in it, once its turn comes.

    A stream whose own identity ``is_known`` is not read. ``finished`` is called with an archive that came as a stream
    with an identity, and its size in bytes, after the last of its files.
    """
    at = 0
    while at < len(found):
        found[at], file = _opened_archive(found[at], is_known)
        given = found[at]
        if file is None:
            yield given
            at += 1
            continue
        with file:
            assert isinstance(given, FileInput | StreamInput)
            sources = _members(file, given.name)
            found[at : at + 1] = sources
            for source in sources:
                yield source
                at += 1
            if isinstance(given, StreamInput) and given.identity is not None:
                finished(given, os.fstat(file.fileno()).st_size)


def _opened_archive(given: Input, is_known: Callable[[str], bool]) -> tuple[Input, IO[bytes] | None]:
    """The input, and the file of the archive that it is; a stream is looked at, and an archive in it is spooled."""
    if isinstance(given, FileInput):
        try:
            file = reader(given.path)
        except OSError:
            return given, None  # it fails when it is read, like any other
        if file.peek(_MAGIC)[:_MAGIC] in ARCHIVES:
            return given, file
        file.close()
    elif isinstance(given, StreamInput) and not (given.identity is not None and is_known(given.identity)):
        begun = Peeked(given.file, _MAGIC)
        given = replace(given, file=begun)
        if begun.head in ARCHIVES:
            return _spooled(given, begun)
    return given, None


def _spooled(given: StreamInput, begun: Peeked) -> tuple[Input, IO[bytes] | None]:
    """The archive in a temporary file; a stream that breaks off fails when it is read."""
    try:
        with tempfile.TemporaryFile() as file:
            while piece := begun.read(_READ):
                file.write(piece)
            file.flush()
            archive = os.fdopen(os.dup(file.fileno()), "rb")
    except Exception as error:
        begun.failed = error
        return given, None
    if given.owned:
        begun.close()
    return given, archive


def _failing(name: str, fault: str) -> MemberInput:
    return MemberInput(Path(name), name, fault=fault)


def _members(file: IO[bytes], name: str) -> list[Input]:
    """The files in an archive, in its order; those that cannot be read are inputs with a fault."""
    try:
        infos = zipfile.ZipFile(file).infolist()
        _check_overlap(infos)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, struct.error, EOFError) as error:
        fault = f"is damaged or cut short: it is no whole zip archive ({error}). Fetch it again; nothing was ingested."
        return [_failing(name, fault)]
    if any(info.filename in _OFFICE for info in infos):
        return [_failing(name, "is an office document: save its sheets as CSV. Nothing of it was ingested.")]
    kept: list[zipfile.ZipInfo] = []
    left: list[zipfile.ZipInfo] = []
    for info in infos:
        (left if _is_junk(info) else kept).append(info)
    if not kept:
        return [_failing(name, "is a zip archive without files.")]
    found = [_member(file, name, info) for info in kept]
    if left:
        names = listed((info.filename for info in left), _SHOWN)
        found[0] = replace(found[0], notes=(f"left out of {name}, as no data: {names}",))
    return [*found]


def _member(file: IO[bytes], name: str, info: zipfile.ZipInfo) -> MemberInput:
    fault = None
    if info.flag_bits & _ENCRYPTED:
        fault = "is encrypted: unpack the archive with its password and ingest the files in it."
    elif info.compress_type not in METHODS:
        fault = f"is packed by method {info.compress_type}, which is not read here: unpack the archive first."
    return MemberInput(Path(name, info.filename), f"{name}/{info.filename}", (), file, info, fault)


def _is_junk(info: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS and Windows add."""
    *folders, last = info.filename.split("/")
    return not last or "__MACOSX" in folders or last.startswith("._") or last.lower() in _JUNK


def _check_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes are how a small archive unpacks to any size."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ValueError(f"{info.filename!r} overlaps another file at byte {info.header_offset:,}")
        end = info.header_offset + LOCAL_HEADER + info.compress_size
