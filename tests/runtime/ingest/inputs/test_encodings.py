"""Text in other encodings: as UTF-8 or not at all, whatever pieces it comes in."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from encodings.aliases import aliases
from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest import SourcesFailed
from runtime.ingest.inputs.encodings import as_utf8, check_encoding, is_utf8
from tests.runtime.ingest.lake import Lake, T

CODECS = sorted({name for name in aliases.values() if name not in ("mbcs", "oem")})


def is_text(name: str) -> bool:
    try:
        check_encoding(name)
    except IngestError:
        return False
    return True


TEXT = [name for name in CODECS if is_text(name)]
assert len(TEXT) > 80


def converted(data: bytes, encoding: str | None, sizes: list[int]) -> bytes:
    """As UTF-8, in pieces of these sizes; the first bytes are always there."""
    return b"".join(as_utf8(data[:4], pieces(data[4:], sizes), encoding, "x"))


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in cycle(sizes):
        if not data:
            return
        yield data[:size]
        data = data[size:]


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(st.sampled_from(TEXT), st.text(max_size=30), sizes)
def test_text_in_any_of_pythons_encodings_comes_back(encoding: str, text: str, sizes: list[int]) -> None:
    text = text.removeprefix("\ufeff")
    try:
        data = text.encode(encoding)
        if data.decode(encoding) != text:
            return  # not every codec is its own inverse
    except (UnicodeError, LookupError):
        return
    if any(data.startswith(mark) for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8)):
        return  # a mark is right whatever is declared: below
    assert converted(data, encoding, sizes) == text.encode()


@given(st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]), st.text(max_size=30), sizes)
def test_a_mark_says_the_encoding(encoding: str, text: str, sizes: list[int]) -> None:
    text = text.lstrip("\0\ufeff")  # a NUL after the mark of UTF-16 makes that of UTF-32
    data = text.encode(encoding)
    kept = codecs.BOM_UTF8 if encoding == "utf-8-sig" else b""  # it is no text, and left out where text is read
    for declared in (None, "latin-1", "utf-8", "utf-16"):
        assert converted(data, declared, sizes) == kept + text.encode()


@given(st.sampled_from(TEXT), st.binary(max_size=40), sizes)
@example("cp1252", b"a\x81b", [1])
@example("shift_jis", b"a\x82\nb", [1])
@example("utf_16_le", b"a\0b", [1])
def test_what_is_not_in_the_encoding_is_no_text(encoding: str, data: bytes, sizes: list[int]) -> None:
    """Strict decoding is the oracle: where it fails, the result is not UTF-8, and nothing is replaced."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or data[:3] == codecs.BOM_UTF8 or is_utf8(encoding):
        return
    try:
        found = converted(data, encoding, sizes)
    except IngestError:
        return
    try:
        expected = codecs.getincrementaldecoder(encoding)().decode(data, True).removeprefix("\ufeff")
        expected.encode()
    except UnicodeError:
        with pytest.raises(UnicodeDecodeError):
            found.decode()
        return
    assert found == expected.encode()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("latn-1", "did you mean 'latin-1'"),
        ("utf8x", "did you mean 'utf"),
        ("rot13", "unknown"),
        ("hex", "unknown"),
        ("unicode_escape", "unknown"),
        ("\0", ""),
    ],
)
def test_encodings_that_are_none(lake: Lake, name: str, hint: str) -> None:
    with pytest.raises(IngestError, match="is unknown") as raised:
        lake.text("k,t\n", encoding=name)
    assert hint in str(raised.value)
    assert "(--encoding)" in str(raised.value)


def test_names_of_encodings() -> None:
    for name in ("latin-1", "Windows-1252", "UTF-16", "iso8859_15", "cp437", "ascii", "utf-8-sig"):
        check_encoding(name)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_ingest_of_other_encodings(lake: Lake, encoding: str, form: str) -> None:
    rows = [("Zürich", 1), ("Køge", 2)]
    csv = "k,t,n\r\n" + "".join(f"{k},{T},{n}\r\n" for k, n in rows)
    lines = "".join(json.dumps({"k": k, "t": T, "n": n}, ensure_ascii=False) + "\n" for k, n in rows)
    given = encoding if encoding not in ("utf-16", "utf-32") else None
    lake.text((csv if form == "csv" else lines).encode(encoding), encoding=given)
    assert [(r["k"], r["n"]) for r in lake.rows()] == [("Køge", 2), ("Zürich", 1)]


def test_rows_that_are_not_in_the_encoding_are_rejected(lake: Lake) -> None:
    report = lake.text(
        f"k,t,v\na,{T},x\nb,{T},".encode() + b"\x81\n" + f"c,{T},\u20ac\n".encode("cp1252"), encoding="cp1252"
    )
    assert report.reasons == {"CSV: not cp1252, which --encoding declares": 1}
    assert [r["v"] for r in lake.rows()] == ["x", "€"]
    report = lake.text(f"k,t,v\na,{T},x\nb,{T},".encode() + b"\x81\n", encoding="utf-8", stream="u")
    assert report.reasons == {"CSV: not UTF-8, which --encoding declares": 1}


def test_utf16_without_a_mark_must_say_its_order(lake: Lake) -> None:
    data = f"k,t,v\na,{T},x\n".encode("utf-16-be")
    with pytest.raises(IngestError, match="say --encoding utf-16-le or utf-16-be"):
        lake.text(data, encoding="utf-16")
    with pytest.raises(IngestError, match="or its encoding \\(--encoding utf-16-be\\)"):
        lake.text(data)
    report = lake.text(codecs.BOM_UTF16_LE + f"k,t,v\na,{T},x\nb,{T},y".encode("utf-16-le")[:-1])
    assert report.reasons == {"CSV: not in the encoding that its byte-order mark says": 1}


def test_the_others_are_ingested_when_one_is_in_another_encoding(lake: Lake) -> None:
    good = [io.BytesIO(f"k,t,v\n{k},{T},x\n".encode()) for k in "ab"]
    bad = io.BytesIO("k,t,größe\n".encode("latin-1"))
    with pytest.raises(SourcesFailed, match="1 of 3 inputs") as failed:
        lake.ingest(good[0], bad, good[1])
    assert [s.status for s in failed.value.report.sources] == ["ingested", "failed", "ingested"]
    assert "--encoding latin-1" in str(failed.value.report.sources[1].error)
