"""Results: how they print, and that conversions are exact and typed."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import DataflowError
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.display.export import safe_text
from runtime.display.plot import Plot
from runtime.display.text_tables import cell_width, format_column, human_duration, iso
from runtime.result.result import PartialResult, Result

DAY = 86_400_000_000
MARCH = 1_709_251_200_000_000


class Proof:
    def to_dict(self) -> dict[str, object]:
        return {"snapshot": 3}


def column(type_: Type, *values: object) -> Column:
    valid = np.array([v is not None for v in values], np.bool_)
    words = None
    data: list[object] = [0 if v is None else v for v in values]
    if type_ is Type.STRING:
        distinct = sorted({str(v) for v in values if v is not None})
        words = Dictionary.of(["unused", *distinct])
        data = [0 if v is None else 1 + distinct.index(str(v)) for v in values]
    return Column(type_, np.array(data, type_.dtype), None if valid.all() else valid, words)


@pytest.fixture
def result() -> Result:
    return Result(
        {
            "firmware": column(Type.STRING, None, "1.2.0", "2.0.0"),
            "day": column(Type.TIME, MARCH, None, MARCH + DAY),
            "uptime": column(Type.FLOAT, None, 0.993121, 0.5),
            "known": column(Type.DURATION, 3 * DAY + 15_129_000_000, None, 1_500_000),
            "devices": column(Type.INT, 2**53 + 1, 2**53, None),
            "fine": column(Type.BOOL, True, False, None),
        },
        Proof(),
    )


def test_rows(result: Result) -> None:
    assert len(result) == 3
    assert next(iter(result)) == (None, MARCH, None, 3 * DAY + 15_129_000_000, 2**53 + 1, True)
    assert result["firmware"] == [None, "1.2.0", "2.0.0"]
    assert result.types["known"] is Type.DURATION
    with pytest.raises(DataflowError, match="no column 'nix'"):
        result["nix"]


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Result({"a": column(Type.INT, 1), "b": column(Type.INT, 1, 2)}, Proof())


def test_to_dict_is_what_json_prints(result: Result) -> None:
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert found == {
        "columns": ["firmware", "day", "uptime", "known", "devices", "fine"],
        "types": {
            "firmware": "string",
            "day": "time",
            "uptime": "float64",
            "known": "duration",
            "devices": "int64",
            "fine": "bool",
        },
        "rows": [
            [None, "2024-03-01T00:00:00.000000Z", None, 3 * DAY + 15_129_000_000, "9007199254740993", True],
            ["1.2.0", None, 0.993121, None, 2**53, False],
            ["2.0.0", "2024-03-02T00:00:00.000000Z", 0.5, 1_500_000, None, None],
        ],
        "proof": {"snapshot": 3},
    }


def test_floats_without_a_json_form() -> None:
    odd = Result({"x": column(Type.FLOAT, float("nan"), float("inf"), float("-inf"))}, Proof())
    assert odd.to_dict()["rows"] == [["NaN"], ["Infinity"], ["-Infinity"]]


def test_terminal_table(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert repr(result).splitlines() == [
        " firmware   day            uptime             known            devices   fine",
        " ────────   ──────────   ────────   ───────────────   ────────────────   ─────",
        " —          2024-03-01          —   3d 04:12:09.000   9007199254740993   true",
        " 1.2.0      —            0.993121                 —   9007199254740992   false",
        " 2.0.0      2024-03-02   0.500000      00:00:01.500                  —   —",
        " 3 rows",
    ]


def test_what_is_not_shown_is_said(result: Result) -> None:
    text = result.to_text(width=30, max_rows=2)
    assert all(cell_width(line) <= 30 for line in text.splitlines())
    assert " ".join(text.split()).endswith(
        "3 rows, 1 of them not shown; 4 columns not shown: uptime, known, devices, fine"
    )
    long = Result({"n": Column(Type.INT, np.arange(100))}, Proof())
    assert repr(long).splitlines()[-1] == " 100 rows, 60 of them not shown"
    assert len(long.to_text().splitlines()) == 103


def test_colour_changes_nothing_else(result: Result) -> None:
    colored = result.to_text(color=True)
    assert "\x1b[1m" in colored
    assert [line.rstrip() for line in re.sub(r"\x1b\[\d*m", "", colored).splitlines()] == result.to_text().splitlines()


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = Result({"a\x1b[2J": column(Type.STRING, "x\ny\x1b]0;title\x07", "日本")}, Proof()).to_text()
    assert "\x1b" not in text
    assert r"x\ny\x1b]0;title\x07" in text
    assert len(text.splitlines()) == 5


def test_wide_characters_line_up() -> None:
    lines = (
        Result({"a": column(Type.STRING, "日本", "abcdef"), "n": column(Type.INT, 1, 2)}, Proof()).to_text().split("\n")
    )
    assert cell_width(lines[2]) == cell_width(lines[3])


def test_no_rows_and_no_columns() -> None:
    assert Result({"a": column(Type.INT)}, Proof()).to_text().endswith("0 rows")
    assert repr(Result({}, Proof())) == " 0 rows"
    assert Result({}, Proof()).to_dict()["rows"] == []


@pytest.mark.parametrize(
    ("us", "digits", "text"),
    [
        (0, 0, "00:00:00"),
        (-DAY - 1, 6, "-1d 00:00:00.000001"),
        (999, 3, "00:00:00.000"),
        (2**63 - 1, 0, "106751991d 04:00:54"),
    ],
)
def test_durations(us: int, digits: int, text: str) -> None:
    assert human_duration(us, digits) == text


def test_times() -> None:
    assert iso(MARCH + 1) == "2024-03-01T00:00:00.000001Z"
    assert iso(-62_135_596_800_000_000) == "0001-01-01T00:00:00.000000Z"
    assert iso(2**63 - 1).startswith("294247-01-10T04:00:54.775807")
    assert format_column(column(Type.TIME, MARCH + 1000, MARCH)) == [
        "2024-03-01T00:00:00.001Z",
        "2024-03-01T00:00:00.000Z",
    ]


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ((1.0, 2.0), ["1.0", "2.0"]),
        ((21.5, 3.25), ["21.50", "3.25"]),
        ((1 / 3, 1e-9), ["0.333333", "1e-09"]),
        ((1234567.891, 0.5), ["1234567.89", "0.50"]),
        ((1234567.891, 0.0712, 1.92e-6), ["1234567.89", "0.0712", "1.92e-06"]),
        ((1e300, float("nan"), float("-inf")), ["1e+300", "nan", "-inf"]),
        ((0.0,), ["0.0"]),
    ],
)
def test_floats(values: tuple[float, ...], cells: list[str]) -> None:
    assert format_column(column(Type.FLOAT, *values)) == cells


@given(st.floats(-1e300, 1e300))
def test_a_shown_float_is_near_the_float(value: float) -> None:
    (cell,) = format_column(column(Type.FLOAT, value))
    assert float(cell) == pytest.approx(value, rel=0.01)


def test_notebook_table_is_escaped() -> None:
    page = Result({"<b>": column(Type.STRING, "<script>", "a&b")}, Proof())._repr_html_()
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert "a&amp;b" in page
    ElementTree.fromstring(f"<div>{page}</div>")


def test_csv(result: Result, tmp_path: Path) -> None:
    expected = (
        "firmware,day,uptime,known,devices,fine\n"
        ",2024-03-01T00:00:00.000000Z,,274329000000,9007199254740993,true\n"
        "1.2.0,,0.993121,,9007199254740992,false\n"
        "2.0.0,2024-03-02T00:00:00.000000Z,0.5,1500000,,\n"
    )
    assert result.to_csv() == expected
    assert result.to_csv(tmp_path / "x.csv") is None
    assert (tmp_path / "x.csv").read_text() == expected
    with pytest.raises(DataflowError, match="cannot write"):
        result.to_csv(tmp_path / "no" / "x.csv")


def test_csv_runs_no_formula_and_keeps_empty_apart_from_null() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'say "hi"', "a,b", "", None, "line\nend", "plain"]
    csv = Result({"=t": column(Type.STRING, *texts), "n": column(Type.INT, *[-1] * 12)}, Proof()).to_csv()
    assert csv is not None
    assert csv.startswith("'=t,n\n'=1+1,-1\n'+1,-1\n'-1,-1\n'@x,-1\n")
    assert '"say ""hi""",-1\n"a,b",-1\n"",-1\n,-1\n"line\nend",-1\nplain,-1\n' in csv


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))))
def test_csv_reads_back(texts: list[str | None]) -> None:
    import csv as reader

    written = Result({"t": column(Type.STRING, *texts), "n": column(Type.INT, *[7] * len(texts))}, Proof()).to_csv()
    assert written is not None
    rows = list(reader.reader(io.StringIO(written, newline=""), strict=True))
    assert [r[0] for r in rows[1:]] == ["" if t is None else safe_text(t) for t in texts]


def test_pandas(result: Result) -> None:
    frame = result.to_pandas()
    assert {n: str(t) for n, t in frame.dtypes.items()} == {
        "firmware": "category",
        "day": "datetime64[us, UTC]",
        "uptime": "float64",
        "known": "timedelta64[us]",
        "devices": "Int64",
        "fine": "boolean",
    }
    assert list(frame["firmware"].cat.categories) == ["1.2.0", "2.0.0"]
    assert frame.isna().to_numpy().tolist() == [[v is None for v in row] for row in result]
    assert frame["devices"][0] == 2**53 + 1
    assert frame["known"].dt.total_seconds()[0] == 274_329.0
    assert frame["day"][2].isoformat() == "2024-03-02T00:00:00+00:00"


def test_polars(result: Result) -> None:
    import polars as pl

    frame = result.to_polars()
    assert frame.dtypes == [
        pl.Categorical,
        pl.Datetime("us", "UTC"),
        pl.Float64,
        pl.Duration("us"),
        pl.Int64,
        pl.Boolean,
    ]
    assert frame["firmware"].to_list() == [None, "1.2.0", "2.0.0"]
    assert frame["known"].cast(pl.Int64).to_list() == result["known"]
    assert frame["day"].cast(pl.Int64).to_list() == result["day"]
    assert frame["fine"].to_list() == [True, False, None]
    empty = Result({"s": column(Type.STRING), "n": column(Type.STRING)}, Proof()).to_polars()
    assert empty.height == 0
    assert Result({"s": column(Type.STRING, None)}, Proof()).to_polars()["s"].to_list() == [None]


def test_arrow(result: Result) -> None:
    import pyarrow as pa

    table = result.to_arrow()
    assert [str(f.type) for f in table.schema] == [
        "dictionary<values=string, indices=int32, ordered=0>",
        "timestamp[us, tz=UTC]",
        "double",
        "duration[us]",
        "int64",
        "bool",
    ]
    assert table["firmware"].to_pylist() == [None, "1.2.0", "2.0.0"]
    assert table["known"].cast(pa.int64()).to_pylist() == result["known"]
    assert table["day"].cast(pa.int64()).to_pylist() == result["day"]
    table.validate(full=True)


@pytest.mark.parametrize(
    ("library", "call"),
    [("pandas", "to_pandas"), ("polars", "to_polars"), ("pyarrow", "to_arrow"), ("matplotlib", "plot")],
)
def test_a_missing_library_names_its_extra(
    result: Result, monkeypatch: pytest.MonkeyPatch, library: str, call: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataflowError, match=rf"needs {library}.*pip install 'antfold\["):
        getattr(result, call)()


def test_partial_results_say_so(result: Result) -> None:
    partial = PartialResult(result.columns, result.proof, ("data/a.points",))
    assert repr(partial).endswith("PARTIAL: 1 not read: data/a.points")
    assert partial.to_dict()["missing"] == ["data/a.points"]
    assert "Partial" in partial._repr_html_()
    assert isinstance(partial, Result)


def by_day(groups: int, days: int = 5) -> Result:
    names = [f"v{i}" for i in range(groups)]
    return Result(
        {
            "firmware": column(Type.STRING, *(n for _ in range(days) for n in names)),
            "day": column(Type.TIME, *(MARCH + d * DAY for d in range(days) for _ in names)),
            "up": column(Type.DURATION, *(i * DAY for i in range(days * groups))),
            "share": column(Type.FLOAT, *(None if i == 1 else i / 100 for i in range(days * groups))),
        },
        Proof(),
    )


def test_bars_show_the_values(result: Result) -> None:
    shown = Result({n: result.columns[n] for n in ("firmware", "uptime", "known")}, Proof()).plot()
    assert isinstance(shown, Plot)
    share, known = shown.figure.axes
    assert [p.get_width() for p in share.patches] == [0.993121, 0.5]  # what is null has no bar
    assert [t.get_text() for t in share.get_yticklabels()] == ["not reported", "1.2.0", "2.0.0"]
    assert known.get_title(loc="left") == "known (days)"
    assert known.patches[0].get_width() == pytest.approx((3 * DAY + 15_129_000_000) / DAY)
    assert shown._repr_png_().startswith(b"\x89PNG")


def test_lines_over_time() -> None:
    figure = by_day(3).plot().figure
    assert [len(a.lines) for a in figure.axes] == [3, 3]
    assert figure.axes[0].get_title(loc="left") == "up (days)"
    assert figure.axes[0].lines[1].get_ydata().tolist() == [1, 4, 7, 10, 13]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["v0", "v1", "v2"]


def test_too_many_to_draw_is_said() -> None:
    assert by_day(12).plot().figure.legends[0].get_title().get_text() == "firmware\n(10 largest of 12,\nby up)"
    many = Result({"k": column(Type.STRING, *map(str, range(50))), "n": Column(Type.INT, np.arange(50))}, Proof())
    figure = many.plot().figure
    assert [p.get_width() for p in figure.axes[0].patches] == list(range(49, 29, -1))
    assert figure.get_supxlabel() == "the 20 largest of 50, by n"


def test_chart_files(tmp_path: Path) -> None:
    shown = by_day(2)
    for suffix in ("png", "svg", "html"):
        shown.plot(tmp_path / f"a.{suffix}")
        shown.plot(tmp_path / f"b.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    ElementTree.parse(tmp_path / "a.svg")
    page = (tmp_path / "a.html").read_text()
    assert page.count("<svg") == 1
    assert "<td" in page
    assert not re.search(r"(?:src|href)=\"https?:", page.replace("xlink:href", ""))
    with pytest.raises(DataflowError, match=r"\.png, \.svg or \.html"):
        shown.plot(tmp_path / "a.pdf")


def test_nothing_to_draw() -> None:
    with pytest.raises(DataflowError, match="no numeric column"):
        Result({"a": column(Type.STRING, "x")}, Proof()).plot()
    with pytest.raises(DataflowError, match="no rows"):
        Result({"a": column(Type.STRING), "n": column(Type.INT)}, Proof()).plot()


def test_one_number_can_be_drawn() -> None:
    assert len(Result({"n": column(Type.INT, 3)}, Proof()).plot().figure.axes[0].patches) == 1
