"""Tables in any dialect come back; Python's csv module agrees; pieces of any size give the same."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from runtime.errors import IngestError
from tests.runtime.ingest.text.scanned import Scanned, scanned

BREAKS = "\r\n"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=6)
latin = st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=6)
ENCODINGS = {
    "utf-8": None,
    "utf-8-sig": None,
    "utf-16": None,
    "utf-32": None,
    "latin-1": "latin-1",
    "cp1252": "windows-1252",
    "utf-16-be": "utf-16-be",
    "gb18030": "gb18030",
    "shift_jis": "shift_jis",
}
PREAMBLES = ["", "# made by a logger\n", "\n\n", "Report, of 2024\nfor: k and t;\n\n", '"unclosed\n', "sep={s}\n"]


@dataclass(frozen=True)
class Written:
    """A table and how it is written."""

    names: list[str]
    rows: list[list[str]]
    data: bytes
    options: dict[str, Any]


def cell(text: str, separator: str, quote: str, always: bool) -> str:
    special = {separator, quote, *BREAKS}
    if always or set(text) & special or text[:1] == " " or text[-1:] == " ":
        return quote + text.replace(quote, 2 * quote) + quote
    return text


@st.composite
def tables(draw: st.DrawFn) -> Written:
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    words = latin if encoding in ("latin-1", "cp1252") else texts
    if encoding in ("cp1252", "shift_jis"):
        words = words.map(lambda text: text.encode(encoding, "ignore").decode(encoding))
    separator = draw(st.sampled_from(",;\t|^"))
    quote = draw(st.sampled_from("\"'"))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    always, after = draw(st.booleans()), draw(st.sampled_from(["", " "]))
    names = draw(
        st.permutations(
            ["k", "t", *draw(st.lists(st.from_regex(r"[a-z]{3,5}", fullmatch=True), max_size=3, unique=True))]
        )
    )
    row = st.tuples(*(words for _ in names)).map(list)
    # A row of blanks only would be no row.
    rows = draw(st.lists(row.filter(lambda r: any(c.strip() for c in r)), max_size=8))
    preamble = draw(st.sampled_from(PREAMBLES)).replace("{s}", separator).replace("\n", end)
    if separator == "^" and "sep=" not in preamble:
        preamble = ""
    surplus = [draw(st.sampled_from(["", separator])) for _ in range(1 + len(rows))]

    def line(cells: list[str], surplus: str) -> str:
        written = [cell(text, separator, quote, always) for text in cells]
        return (
            (separator + after).join(written) + surplus + (draw(st.sampled_from(["", end])) if not always else "") + end
        )

    text = preamble + line(list(names), surplus[0])
    for r, s in zip(rows, surplus[1:], strict=True):
        text += line(r, s)
    if draw(st.booleans()):
        text = text.removesuffix(end)
    options: dict[str, Any] = {}
    if ENCODINGS[encoding]:
        options["encoding"] = ENCODINGS[encoding]
    if quote != '"':
        options["quote"] = quote
    if separator == "^" and not preamble:
        options["delimiter"] = "^"
    return Written(list(names), rows, text.encode(encoding), options)


@given(tables(), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_a_table_comes_back(table: Written, sizes: list[int]) -> None:
    found = scanned(table.data, sizes, **table.options)
    assert found.rejected == []
    assert list(found.names) == table.names
    assert [[c or "" for c in row] for row in found.rows] == table.rows


SOUP = st.lists(
    st.sampled_from([*'a1,"\r\n #', "\r\n", '""', ' "', '",', '"\n', "a,1,", "é", "\r", "k,t,v\n", ",,", "# ", ", "]),
    max_size=40,
).map("".join)
plain = st.text(st.sampled_from([*"ab1,\r\n .-", "é"]), max_size=40)


@given(plain)
@example("a,1,2\rb,3,4\n")
def test_pythons_csv_module_agrees(body: str) -> None:
    text = "k,t,v\n" + body
    found = scanned(text.encode())
    assume("blanks" not in str(found.notes))
    expected, wrong = [], 0
    for row in list(csv.reader(io.StringIO(text, newline="")))[1:]:
        if len(row) < 2 and not "".join(row).strip(" "):
            continue  # a blank line
        if len(row) < 3 or any(cell.strip(" ") for cell in row[3:]):
            wrong += 1
        else:
            expected.append([c or None for c in row[:3]])
    assert found.rows == expected
    assert len(found.rejected) == wrong


@given(SOUP, st.sampled_from(["", "#"]), st.lists(st.integers(1, 30), min_size=1, max_size=5))
@example('"x"\r\n', "", [1])
@example('"a"b,"x\nc\rd",2\na,1,2\n', "", [1])
@example('a,1, "x\ry"\n', "", [1, 2])
def test_pieces_of_any_size_give_the_same(body: str, comment: str, sizes: list[int]) -> None:
    """The dialect is found by the same first bytes; the rows after them come in any pieces."""
    begin = b"k,t,v\n" + b"a,1,2\n" * 4
    data = begin + body.encode()
    whole = scanned(data, window=len(begin), comment=comment)
    assert scanned(data, sizes, window=len(begin), comment=comment) == whole
    assert lines_of(whole) <= body.count("\n") + body.count("\r") + 6


def lines_of(found: Scanned) -> int:
    return max((line for line, _, _ in found.rejected), default=0)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "encoding": st.sampled_from(["latin-1", "utf-8", "utf-16-le", "shift_jis", "ascii", "utf-7", "cp1252", "hz"]),
        "delimiter": st.sampled_from([",", ";", " ", "a", "\0", "'", "-", "1"]),
        "quote": st.sampled_from(["", '"', "'", " ", "a", "^", "\\", "."]),
        "comment": st.sampled_from(["", "#", "a", "//", "é", "k"]),
        "skip_rows": st.integers(0, 3),
        "names": st.sampled_from(["", "k,t", "k,t,v", "t,k,", "k,t,v,v"]),
        "decimal": st.sampled_from([None, ",", ".", "a", " ", "1"]),
        "thousands": st.sampled_from([None, "'", " ", "-", "^"]),
    },
)


@given(SOUP | st.binary(max_size=40).map(lambda b: b.decode("latin-1")), st.booleans(), OPTIONS, st.integers(1, 20))
def test_nothing_brings_it_down(body: str, header: bool, options: dict[str, Any], size: int) -> None:
    data = ("k,t,v\n" if header else "").encode() + body.encode("latin-1", "replace")
    try:
        found = scanned(data, [size], **options)
    except IngestError:
        return
    assert found == scanned(data, **options)
