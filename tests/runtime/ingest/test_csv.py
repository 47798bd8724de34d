"""CSV: quoting, types from the sample, twins, and rows that do not fit."""

from __future__ import annotations

import pytest

from operators.types import Type
from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake, T

HEAD = "k,t,x\n"


def test_quotes_line_ends_and_bom(lake: Lake) -> None:
    text = f'\ufeffk,t,"a ""b"""\r\n"x,y",{T},"say ""hi""\r\nthere"\r\n\r\nz,{T},plain "quote" inside\r\n"",{T},\r\n'
    report = lake.text(text, missing_key="?")
    assert lake.rows() == [
        {"k": "?", "t": T * 1000},
        {"k": "x,y", "t": T * 1000, 'a "b"': 'say "hi"\r\nthere'},
        {"k": "z", "t": T * 1000, 'a "b"': 'plain "quote" inside'},
    ]
    assert report.rejected == 0


@pytest.mark.parametrize(
    ("cells", "type_", "values"),
    [
        (["1", "-2", ""], Type.INT, [1, -2, None]),
        (["9223372036854775807", "-9223372036854775808"], Type.INT, [2**63 - 1, -(2**63)]),
        (["1", "4.25", "1e3"], Type.FLOAT, [1.0, 4.25, 1000.0]),
        (["0.1234567890123456789", "-0.0"], Type.FLOAT, [0.1234567890123456789, -0.0]),
        (["true", "False", "TRUE"], Type.BOOL, [True, False, True]),
        (["007", "1"], Type.STRING, ["007", "1"]),
        (["+1", "1"], Type.STRING, ["+1", "1"]),
        (["x", "true", "1.50", "y", " z"], Type.STRING, ["x", "true", "1.50", "y", " z"]),
        (["x", "NA", "nan", "9" * 30, "1e999", "y", "z"], Type.STRING, ["x", "NA", "nan", "9" * 30, "1e999", "y", "z"]),
        (["true", "1", "x", "y", ""], Type.STRING, ["true", "1", "x", "y", None]),
        (["nan", "1.5", "-Inf", "unAVAILable", "n/A", "?", "-"], Type.FLOAT, [None, 1.5, *[None] * 5]),
        (["tRUE", "-"], Type.STRING, ["tRUE", "-"]),
        (["2021-01-01", ""], Type.STRING, ["2021-01-01", None]),
    ],
)
def test_types_come_from_the_sample(lake: Lake, cells: list[str], type_: Type, values: list[object]) -> None:
    lake.text(HEAD + "".join(f"a,{T + i},{cell}\n" for i, cell in enumerate(cells)))
    assert lake.columns() == {"x": type_}
    assert [r.get("x") for r in lake.rows()] == values


@pytest.mark.parametrize(
    ("cells", "types", "values"),
    [
        (["1", "007"], {"": Type.INT, "string": Type.STRING}, [(1, None), (None, "007")]),
        (["1", "+1"], {"": Type.INT, "string": Type.STRING}, [(1, None), (None, "+1")]),
        (["1", "true"], {"": Type.INT, "bool": Type.BOOL}, [(1, None), (None, True)]),
        (["TRUE", "1"], {"": Type.BOOL, "int64": Type.INT}, [(True, None), (None, 1)]),
        (["TRUE", "-1.5"], {"": Type.BOOL, "float64": Type.FLOAT}, [(True, None), (None, -1.5)]),
        (["1", "9" * 19], {"": Type.INT, "string": Type.STRING}, [(1, None), (None, "9" * 19)]),
        (["1.5", "1e999"], {"": Type.FLOAT, "string": Type.STRING}, [(1.5, None), (None, "1e999")]),
        (["1", "tRUE"], {"": Type.INT, "string": Type.STRING}, [(1, None), (None, "tRUE")]),
        (["1", '"say ""no"""'], {"": Type.INT, "string": Type.STRING}, [(1, None), (None, 'say "no"')]),
    ],
)
def test_a_value_of_another_type_is_in_the_twin(
    lake: Lake, cells: list[str], types: dict[str, Type], values: list[object]
) -> None:
    report = lake.text(HEAD + "".join(f"a,{T + i},{cell}\n" for i, cell in enumerate(cells)))
    (twin,) = [name for name in types if name]
    assert lake.columns() == {f"x#{name}" if name else "x": type_ for name, type_ in types.items()}
    assert [(r.get("x"), r.get(f"x#{twin}")) for r in lake.rows()] == values
    assert report.sources[0].columns["x"].twins == {twin: 1}


def test_the_last_line_needs_no_end(lake: Lake) -> None:
    lake.text(f'{HEAD}a,{T},1\nb,{T},"2"')
    assert [r["x"] for r in lake.rows()] == [1, 2]
    lake.text(f"{HEAD}a,{T},1\nb,{T},", stream="other")
    assert [r.get("x") for r in lake.rows("other")] == [1, None]


def test_numbers_are_text_where_the_key_is_and_integers_where_the_stream_has_them(lake: Lake) -> None:
    lake.text(f"{HEAD}17850,{T},1\n007,{T},2\n")
    assert [r["k"] for r in lake.rows()] == ["007", "17850"]
    lake.records([{"k": 1, "t": T}], stream="i")
    report = lake.text(f"{HEAD}17850,{T},1\nabc,{T},2\n", stream="i")
    assert [r["k"] for r in lake.rows("i")] == [1, 17850]
    assert report.reasons == {"key: column k is int64, got string": 1}


def test_after_the_sample_text_in_a_number_column_is_in_its_twin_and_fractions_widen(lake: Lake) -> None:
    sample = "".join(f"a,{T},{i},1\n" for i in range(70_000))
    report = lake.text(f"k,t,x,y\n{sample}b,{T},abc,1\nc,{T},1,2.5\n")
    assert (report.committed, report.rejected) == (70_002, 0)
    assert lake.columns() == {"x": Type.INT, "x#string": Type.STRING, "y": Type.FLOAT}
    assert lake.rows()[-2:] == [
        {"k": "b", "t": T * 1000, "x#string": "abc", "y": 1.0},
        {"k": "c", "t": T * 1000, "x": 1, "y": 2.5},
    ]
    assert report.sources[0].columns["x"].examples == {"string": ("abc", 70_002)}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("a,1", "CSV: 2 values in a row of 3 columns"),
        ("a,1,2,3", "CSV: 4 values in a row of 3 columns"),
        ('"a"b,1,2', "CSV: text after a closing quote"),
        ('"a,1,2', "CSV: a quoted value is not closed"),
        (",1,2", "key: column k is empty"),
        ("a,,2", "time: column t is missing or null"),
        ("a,x,2", "time: column t is not a time; say its form with --time-format"),
    ],
)
def test_a_bad_row(lake: Lake, bad: str, reason: str) -> None:
    report = lake.text(f"{HEAD}a,{T},1\n{bad}\nb,{T},2\n")
    assert report.reasons == {reason: 1}
    (reject,) = report.sources[0].examples
    assert (reject.line, reject.byte) == (2 + 1, len(HEAD) + len(f"a,{T},1\n"))
    assert [r["x"] for r in lake.rows()] == [1, 2]


def test_rows_that_are_not_utf8(lake: Lake) -> None:
    report = lake.text(f"{HEAD}a,{T},1\n".encode() + f"b,{T},".encode() + b"\xff\n")
    assert report.reasons == {"CSV: not UTF-8 (if it is Latin-1: --encoding latin-1, or windows-1252)": 1}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(lake: Lake, separator: str) -> None:
    lake.text(f"{HEAD}a,{T},1\n".replace(",", separator))
    assert lake.rows() == [{"k": "a", "t": T * 1000, "x": 1}]


def test_headers_that_cannot_be_used(lake: Lake) -> None:
    with pytest.raises(IngestError, match="no column 'k' \\(--key\\) and 't' \\(--time\\)"):
        lake.text("a,b\n1,2\n")


def test_a_quoted_value_beyond_the_limit(lake: Lake) -> None:
    big = "x" * (20 << 20)
    report = lake.text(f'{HEAD}a,{T},"1"\nb,{T},"{big}"\nc,{T},2\n')
    assert report.reasons == {"CSV: row longer than 16 MB": 1}
    assert [r["x"] for r in lake.rows()] == [1, 2]


def test_a_header_alone_is_a_source_without_rows(lake: Lake) -> None:
    assert lake.text(HEAD).rows_read == 0


def test_control_characters_below_a_header_are_text(lake: Lake) -> None:
    """However many there are in a short file: the first line shows that it is no binary one."""
    rows = "".join(f"\0{chr(1 + n)},{T + n},\x1f\n" for n in range(3))
    report = lake.text(f"k,t,é\n{rows}")
    assert (report.committed, report.rejected) == (3, 0)
    assert [(row["k"], row["é"]) for row in lake.rows()] == [(f"\0{chr(1 + n)}", "\x1f") for n in range(3)]
    with pytest.raises(IngestError, match="as its first bytes show"):
        lake.text("\0\1\2,t,k\n1,2,3\n", stream="other")
