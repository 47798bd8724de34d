"""Numbers with decimal and thousands marks, currencies and brackets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.ingest.text.dialects.written_numbers import CURRENCIES, Marks, marks_of
from runtime.ingest.text.tokens import BIG, BOOL, FLOAT, INT, STRING
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.text.scanned import scanned


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "number"),
    [
        (",", ".", "1.234,56", 1234.56),
        (",", ".", "1.234", 1234),
        (",", ".", "1234,5", 1234.5),
        (",", ".", "12", 12),
        (",", ".", ",5", 0.5),
        (",", ".", "-1.234.567,8", -1234567.8),
        (",", ".", "(12,00)", -12.0),
        (",", ".", "(€ 1.000)", -1000),
        (",", ".", "€ 12,50", 12.5),
        (",", ".", "12,50 €", 12.5),
        (",", ".", "12,50\u00a0EUR", 12.5),
        (",", ".", "EUR12", 12),
        (",", ".", "-USD 12", -12),
        (",", ".", "$-3", -3),
        (",", ".", "−4", -4),
        (",", ".", "+7", 7),
        (",", ".", "+ € 7,50", 7.5),
        (",", ".", "- 7", -7),
        (",", ".", "7,50-", -7.5),
        (",", ".", "7,50- EUR", -7.5),
        (",", ".", "-7,50-", None),
        (",", ".", "(7,50-)", None),
        (",", ".", "1,5e3", 1500.0),
        (",", ".", "1.5", None),
        (",", ".", "1.23.456", None),
        (",", ".", "0.123", None),
        (",", ".", "1.234.5", None),
        (",", ".", "007", None),
        (",", ".", "12 %", None),
        (",", ".", "12%", None),
        (",", ".", "ABC 3", None),
        (",", ".", "€5€", None),
        (",", ".", "(5", None),
        (",", ".", "-(5)", None),
        (",", ".", "--5", None),
        (",", ".", "5,", None),
        (",", ".", "", None),
        (",", ".", "€", None),
        (",", ".", "1_000", None),
        (",", ".", "12.34.567", None),
        (",", None, "1.234", None),
        (",", None, "1,234", 1.234),
        (None, ",", "1,234", 1234),
        (None, ",", "1,234.5", 1234.5),
        (None, ",", "12,34,567.5", 1234567.5),
        (None, ".", "1.234,5", 1234.5),
        (".", "'", "1'234’567.5", None),
        (".", "'", "1’234’567.5", 1234567.5),
        (",", " ", "1 234 567,5", 1234567.5),
        (",", " ", "1\u202f234\u00a0567", None),
        (",", " ", "1\u202f234\u202f567", 1234567),
        (".", None, "9" * 30, None),
        (".", None, "9" * 30 + ".0", 1e30),
    ],
)
def test_numbers_as_people_write_them(decimal: Any, thousands: Any, text: str, number: int | float | None) -> None:
    found = Marks(decimal, thousands).number(text)
    assert (found, type(found)) == (number, type(number)) or (isinstance(found, int) and found == number)


WAYS = [(",", "."), (".", ","), (",", " "), (".", "'"), (",", "")]


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17, places=None),
    st.sampled_from(WAYS),
    st.sampled_from(["", "$", "€ ", "CHF "]),
    st.booleans(),
    st.booleans(),
)
def test_written_numbers_are_rounded_as_python_does(
    value: Decimal, marks: tuple[str, str], currency: str, after: bool, brackets: bool
) -> None:
    decimal, thousands = marks
    plain = f"{value:f}"
    digits = plain.lstrip("-")
    grouped = f"{Decimal(digits):,f}".replace(",", "_").replace(".", decimal).replace("_", thousands)
    body = f"{grouped} {currency.strip()}".strip() if after else currency + grouped
    text = f"({body})" if brackets and plain[0] == "-" else "-" * (plain[0] == "-") + body
    found = Marks(decimal, thousands or None).number(text)
    expected = float(plain) if "." in plain else int(plain)
    assert found == expected
    assert isinstance(found, float) == ("." in plain)


@pytest.mark.parametrize(
    ("texts", "marks"),
    [
        (["1,5", "2"], "--decimal ','"),
        (["1.234,56", "2"], "--decimal ',' --thousands '.'"),
        (["1,234"], "--decimal ',' or --thousands ','"),
        (["1,234.5"], "--thousands ','"),
        (["$12.00", "(3)"], "--decimal '.'"),
        (["1 234,5"], "--decimal ',' --thousands ' '"),
        (["1'234"], '--thousands "\'"'),
        (["1.5", "+2", "3e5"], None),
        (["1,5", "x"], None),
        (["31.12.2024"], None),
        (["10.0.0.1"], None),
        ([], None),
    ],
)
def test_hints(texts: list[str], marks: str | None) -> None:
    assert marks_of(texts) == marks


def test_columns_of_written_numbers(lake: Lake) -> None:
    """With the options; the key and the time stay, integers stay integers, and what is no number stays text."""
    rows = [
        f'1.234,{T},"1,5",1.000,"12,00 EUR",1.5,-0,5 %',
        f'1.235,{T},"1.234,56",(7),"$ 3",2.5,3,6 %',
        f'1.236,{T},1e3,,,1e400,"9.223.372.036.854.775.807",9.223.372.036.854.775.808',
    ]
    report = lake.text("k,t,a,b,c,d,e,f\n" + "\n".join(rows), decimal=",", thousands=".")
    assert report.rejected == 0
    assert [r["k"] for r in lake.rows()] == ["1.234", "1.235", "1.236"]
    assert lake.columns() == {
        **{"a": Type.FLOAT, "b": Type.INT, "c": Type.FLOAT},
        **{"d": Type.STRING, "e": Type.INT, "f": Type.STRING},
    }
    assert [tuple(r.get(n) for n in "abcdef") for r in lake.rows()] == [
        (1.5, 1000, 12.0, "1.5", 0, "5 %"),
        (1234.56, -7, 3.0, "2.5", 3, "6 %"),
        (1000.0, None, None, "1e400", 2**63 - 1, "9.223.372.036.854.775.808"),
    ]
    assert report.sources[0].notes == ("column c holds numbers without their $, EUR: they are of different currencies",)


def test_a_number_with_another_mark_is_none() -> None:
    found = scanned(b'k,t,v\na,1,1.5\na,1,"1,5"\na,1,2\na,1,-0\na,1,1e3\na,1,1.5e400\na,1,true\n', decimal=",")
    assert [kinds[2] for kinds in found.kinds] == [STRING, FLOAT, INT, INT, FLOAT, BIG, BOOL]
    assert [row[2] for row in found.rows] == ["1.5", "1,5", "2", "-0", "1e3", "1.5e400", "true"]


def test_minus_zero_has_its_sign_among_floats(lake: Lake) -> None:
    lake.text(f'k,t,v\na,{T},-0\nb,{T},"1,5"\nc,{T},"-0,0"\nd,{T},(0)\n', decimal=",")
    assert [repr(r["v"]) for r in lake.rows()] == ["-0.0", "1.5", "-0.0", "-0.0"]


def test_a_point_that_is_the_decimal_mark_stays(lake: Lake) -> None:
    lake.text(f'k,t,v,w\na,{T},1.5,"1,234"\nb,{T},"1,000.25",7\n', thousands=",")
    assert [(r["v"], r["w"]) for r in lake.rows()] == [(1.5, 1234), (1000.25, 7)]


def test_currencies_are_codes() -> None:
    assert {"USD", "EUR", "GBP", "JPY", "INR", "CHF"} < CURRENCIES
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize("type_", ["decimal(3)", "float64", "int64"])
def test_a_declared_type_reads_written_numbers(lake: Lake, type_: str) -> None:
    """Exactly, and with the declared marks only: 1.234 is 1234, also where decimals have three places."""
    texts = ["1.234", "12", "1.234,5", "-0,125", "€ 3,10", "7,5-", "0101", "1.5", "x"]
    lake.text("k,t,v\n" + "".join(f'a,{T},"{text}"\n' for text in texts), decimal=",", thousands=".", type={"v": type_})
    numbers = [1234, 12, Decimal("1234.5"), Decimal("-0.125"), Decimal("3.1"), Decimal("-7.5"), 101]
    found = lake.rows()
    if type_ == "int64":  # the fractions are beside
        assert [r.get("v", r.get("v#float64")) for r in found[:7]] == [float(n) for n in numbers]
    else:
        exact = numbers if type_ == "decimal(3)" else [float(n) for n in numbers]
        assert [r["v"] for r in found[:7]] == exact
    assert [r["v#string"] for r in found[7:]] == ["1.5", "x"]


def test_a_column_of_decimals_has_no_twin_of_fractions(lake: Lake) -> None:
    lake.text(f'k,t,v\na,{T},"1.653,75"\nb,{T},"-33,87"\n', decimal=",", thousands=".", type={"v": "decimal(2)"})
    assert lake.columns() == {"v": Type.DECIMAL_2}
