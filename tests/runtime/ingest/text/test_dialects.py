"""CSV as people write it, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from operators.types import Type
from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.text.scanned import scanned

ROWS = [["a", "1", "2"], ["b", "3", "x y"]]


@pytest.mark.parametrize(
    "text",
    [
        "k,t,v\na,1,2\nb,3,x y\n",
        "k;t;v;\na;1;2;\nb;3;x y\n",
        "k,t,v\na,1,2,\nb,3,x y,,,\n",
        "k\tt\tv\na\t1\t2\t\nb\t3\tx y",
        "k|t|v\n\n  \na|1|2\n\n\n   \nb|3|x y\n\n",
        "sep=;\nk;t;v\na;1;2\nb;3;x y\n",
        '"sep=|"\r\nk|t|v\r\na|1|2\r\nb|3|x y\r\n',
        "SEP=^\nk^t^v\na^1^2\nb^3^x y\n",
        "k, t, v\na, 1, 2\nb, 3, x y\n",
        " k ,t , v\na,  1 ,2\nb , 3, x y \n".replace(",", ", "),
        'k,t,v\na, "1",2\nb,3, "x y"\n',
        'k,t,v\na,"1" ,"2"\nb,3,"x y"  \n',
        "k t v\na 1 2\nb 3 'x y'\n",
        "  k   t v  \n a   1 2 \nb 3  'x y'  \n\n   \n",
        "k,t,v\ra,1,2\rb,3,x y\r",
        "k,t,v\r\na,1,2\rb,3,x y\n",
        "k,t,v\na,1,2\r\n\r\n\rb,3,x y",
        "# k and t\n# of two\nk,t,v\na,1,2\nb,3,x y\n",
        'Report "A";2024\r\n\r\n;;;\r\nk;t;v\r\na;1;2\r\nb;3;x y\r\n',
        "\ufeffk,t,v\na,1,2\nb,3,x y\n",
    ],
)
def test_written_in_other_ways(text: str) -> None:
    options = {"quote": "'"} if "'" in text else {}
    found = scanned(text.encode(), **options)
    assert (found.names, found.rows, found.rejected) == (("k", "t", "v"), ROWS, [])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,1,2\nb,3,x y\n", {"names": "k,t,v"}),
        ("a;1;2;\nb;3;x y;\n", {"names": ("k", "t", "v")}),
        ("# one\n\na,1,2\nb,3,x y\n", {"names": "k,t,v", "comment": "#"}),
        ("K,T,V\na,1,2\nb,3,x y\n", {"names": "k,t,v", "skip_rows": 1}),
        ("//x\nk:t:v\n//y\na:1:2\n//z:1:2\nb:3:x y\n//", {"delimiter": ":", "comment": "//"}),
        ("k,t,v\rmore\rk,t,v\ra,1,2\rb,3,x y", {"skip_rows": 2}),
        ("k\\tt\\tv\na\\t1\\t2\nb\\t3\\tx y\n".replace("\\t", "\t"), {"delimiter": "\\t"}),
        ("k t v\na 1 2\nb 3 x y\n".replace("x y", '"x y"'), {"delimiter": " "}),
    ],
)
def test_written_as_declared(text: str, options: dict[str, Any]) -> None:
    found = scanned(text.encode(), **options)
    assert (found.names, found.rows, found.rejected) == (("k", "t", "v"), ROWS, [])


def test_without_quotes() -> None:
    """An inch is no quote."""
    found = scanned(b'k,t,v\na,1,"\nb,3,6" x 4"\n', quote="")
    assert found.rows == [["a", "1", '"'], ["b", "3", '6" x 4"']]


@pytest.mark.parametrize(
    ("header", "names", "note"),
    [
        (",k,t,v", ("column_1", "k", "t", "v"), "column 1 is called column_1: it has no name"),
        ("column_1,k,,t,v", ("column_1", "k", "column_3", "t", "v"), "column 3 is called column_3"),
        ("column_2,,k,t", ("column_2", "column_2_2", "k", "t"), "column 2 is called column_2_2"),
        ("k,t,v,v,v", ("k", "t", "v", "v_2", "v_3"), "column 4 is called v_2: there are two called v"),
        ("k,t,v,v,v_2", ("k", "t", "v", "v_3", "v_2"), "column 4 is called v_3"),
        ("k,t,k,t", ("k", "t", "k_2", "t_2"), "column 3 is called k_2"),
        ('k,t,"a\nb"', ("k", "t", "a b"), "column 3 is called a b: line breaks in a name are blanks"),
        ('k,t,"a\r\nb\rc"', ("k", "t", "a b c"), "line breaks"),
        ("k,t," + "v" * 140_000, ("k", "t", "column_3"), "column 3 is called column_3: column name is empty or longer"),
        ("k,t,$seq", ("k", "t", "column_3"), "reserved"),
        ('k,t," v"', ("k", "t", " v"), ""),
    ],
)
def test_every_column_has_a_name_of_its_own(header: str, names: tuple[str, ...], note: str) -> None:
    row = ",".join(str(i) for i in range(len(names)))
    found = scanned(f"{header}\n{row}\n".encode())
    assert (found.names, found.rows) == (names, [row.split(",")])
    assert note in "".join(found.notes)
    assert bool(note) == bool(found.notes)


def test_a_column_without_name_at_the_end_is_one_if_it_has_values() -> None:
    found = scanned(b"k,t,v,,\na,1,2,,\nb,3,4,5,\n")
    assert (found.names, found.rejected) == (("k", "t", "v", "column_4"), [])
    assert found.rows == [["a", "1", "2", None], ["b", "3", "4", "5"]]


def test_key_and_time_may_be_columns_that_got_their_names() -> None:
    """The index of a data frame has no name, and names may be there twice."""
    for header, key, time in ((",t,v", "column_1", "t"), ("v,v,k", "v", "v_2"), ("k,,", "k", "column_3")):
        found = scanned(f"preamble\n{header}\na,1,2\n".encode(), key=key, time=time)
        assert (found.rows, found.rejected) == ([["a", "1", "2"]], [])
        assert {key, time} <= {*found.names}


def test_rows_with_numbers_that_the_header_does_not_name() -> None:
    """As R writes them."""
    found = scanned(b'"k","t","v"\n"1","a",1,2\n"2","b",3,4\n"17","c",5,6\n')
    assert (found.names, found.rejected) == (("column_1", "k", "t", "v"), [])
    assert found.rows[0] == ["1", "a", "1", "2"]
    assert "column 1 is called column_1: it has no name" in found.notes
    for rows in (
        b"1,a,1,2\n2,b,3,4\n",
        b'"1",a,1,2\n"1",b,3,4\n',
        b"1,a,1,2\n",
        b"1,a,1,2\n2,b,3\n",
        b"x,a,1,2\ny,b,3,4\n",
    ):
        assert scanned(b"k,t,v\n" + rows).names == ("k", "t", "v")


def test_logs_of_zeek() -> None:
    text = '#separator \\x09\n#fields\tt\tk\tv\n#types\ttime\taddr\tstring\n1\ta\t"x" y"\n#close\t2024\n'
    found = scanned(text.encode())
    assert (found.names, found.rows, found.rejected) == (("t", "k", "v"), [["1", "a", '"x" y"']], [])


def test_a_name_with_blanks_that_the_stream_has_stays(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, " v": 1}])
    lake.text(f"k,t, v, w\na,{T},2,3\n")
    assert lake.columns() == {" v": Type.INT, "w": Type.INT}


def test_rows_with_other_numbers_of_values() -> None:
    found = scanned(b"k,t,v\na,1\na,1,2,3\na,1,2,\na,1,2, ,\nb,1,2,,3\n,,\n")
    assert found.rows == [["a", "1", "2"], ["a", "1", "2"], [None, None, None]]
    assert [(line, reason) for line, _, reason in found.rejected] == [
        (2, "CSV: 2 values in a row of 3 columns"),
        (3, "CSV: 4 values in a row of 3 columns"),
        (6, "CSV: 5 values in a row of 3 columns"),
    ]


def test_blanks_that_are_not_after_every_separator_are_text_but_no_part_of_numbers(lake: Lake) -> None:
    lake.text(f"k,t,v,w,x\na, {T} , 1,true , y\nb,{T},2.5, false,z\n")
    assert lake.columns() == {"v": Type.FLOAT, "w": Type.BOOL, "x": Type.STRING}
    assert [(r["v"], r["w"], r["x"]) for r in lake.rows()] == [(1.0, True, " y"), (2.5, False, "z")]


@pytest.mark.parametrize("cell", [' "x', ' "x" y', ' "x" "y"', 'x "y"'])
def test_a_quote_that_encloses_nothing_is_text(cell: str) -> None:
    assert scanned(f"k,t,v\na,1,{cell}\nb,2,3\n".encode()).rows == [["a", "1", cell], ["b", "2", "3"]]


def test_quoted_text_of_several_lines_after_a_blank() -> None:
    """Where a blank follows every separator; elsewhere such a quote must be closed on its line."""
    found = scanned(b'k, t, v\na, 1, "x\ny, z"\nb, 2, 3\n')
    assert found.rows == [["a", "1", "x\ny, z"], ["b", "2", "3"]]


def test_lines_that_repeat_the_header_or_comment_are_rejected_and_settle_nothing(lake: Lake) -> None:
    rows = f"a,{T},1,2.5\n# restart\nk,t,v,w\n\nb,{T},2,3\nTotal,,3,x\n"
    report = lake.text(f"k,t,v,w\n{rows}")
    assert report.committed == 2
    assert report.reasons == {
        "CSV: 1 values in a row of 4 columns": 1,
        "time: column t is not a time; say its form with --time-format": 1,
        "time: column t is missing or null": 1,
    }
    assert lake.columns() == {"v": Type.INT, "w": Type.FLOAT}
    assert lake.text(f"k,t,v,w\n{rows}", comment="#", stream="c").rejected == 2


def test_what_is_left_out_is_in_the_report(lake: Lake) -> None:
    report = lake.text(f"# logger\n# v2\nk,t,,v\na,{T},1,'1,5'\n".replace("'", '"'))
    assert report.sources[0].notes == (
        "2 lines before the header left out: '# logger'",
        "column 3 is called column_3: it has no name",
        "column v holds text such as '1,5': if these are numbers, say --decimal ','",
    )
    assert "\n  column 3 is called column_3" in str(report)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,1,2\n",
            {},
            r"no column 'k' \(--key\) and 't' \(--time\); its first line has 'a', '1', '2' \(if it has no hea",
        ),
        ("x\n" * 60 + "k,t,v\n", {}, "first line has no columns 'k' and 't' .*--skip-rows"),
        ("k,t\n\n", {"skip_rows": 1}, "x has no line after the 1 of --skip-rows"),
        ("a\nk,t,v\n", {"delimiter": ";"}, "no columns 'k' and 't'"),
        ("a,1\n", {"names": "k,v"}, r"--names has no 't' \(--time\)"),
        ("k,t\n", {"delimiter": '"'}, "cannot be both --quote and --delimiter"),
        ("k, the words\nsay t and k\n", {}, "no column 't'"),
        ("k t v\na 1\na 2 3\n", {}, r"the line after its header \('k t v'\) has another number .*--delimiter ' '"),
        ("v" * (2 << 20), {}, "no header line of CSV within its first megabyte"),
        ("\n" * (2 << 20), {}, "no header line of CSV within its first megabyte"),
        ("k,t,gr\u00f6\u00dfe\n".encode("latin-1"), {}, "not UTF-8; say its encoding, for example --encoding latin-1"),
        ("k,t,\u201ev\u201c\n".encode("cp1252"), {}, "for example --encoding windows-1252"),
        (b"k,t,\x81\n", {"encoding": "cp1252"}, "is not cp1252, which --encoding declares"),
    ],
)
def test_texts_that_cannot_be_read(text: str | bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(IngestError, match=message):
        scanned(text if isinstance(text, bytes) else text.encode(), **options)


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff", "# only\n# comments"])
def test_a_text_without_any_line_is_a_source_without_rows(lake: Lake, text: str) -> None:
    assert lake.text(text, format="csv", comment="#").rows_read == 0


def test_a_quote_before_the_header_that_is_closed_far_away() -> None:
    text = '"Report\nk,t,v\n' + "a,1,2\n" * 200_000 + 'b,2,"x"\n'
    found = scanned(text.encode())
    assert (found.names, len(found.rows), found.rejected) == (("k", "t", "v"), 200_001, [])


def test_a_header_between_words_is_one_only_if_rows_are_like_it() -> None:
    assert scanned(b"the k and its t are below\nk t v\na 1 2\n").names == ("k", "t", "v")
    assert len(scanned(b"k t v\na 1\na 1 2\n", delimiter=" ").rows) == 1


def test_rejected_rows_have_their_line_whatever_ends_lines() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["# x", "k,t,v", "a,1,2", 'b,"2\n3",4', "c,5", "d,6,7", '"e"f,8', 'g,9,"', "h,1,2", ""])
        found = scanned(text.encode())
        assert [row[0] for row in found.rows] == ["a", "b", "d", "h"]
        assert [line for line, _, _ in found.rejected] == [6, 8, 9]
