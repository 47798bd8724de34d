"""``--type``: every value is read as the declared type where that is exact, and else is in the twin of its own type."""

from __future__ import annotations

import csv
import io
import math
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import SchemaConflict
from tests.runtime.ingest.columns.drawn_sources import BEYOND, FRACTIONS, INTEGERS
from tests.runtime.ingest.columns.plain_columns import EXACT, MISSING, cell, csv_cell, number, parsed
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake
from tests.runtime.ingest.test_taken_rows import cut_into

TIMES = {
    "2024-01-01T00:00:00Z": 1_704_067_200_000_000,
    "2024-01-01": 1_704_067_200_000_000,
    "1969-12-31": -86_400_000_000,
}
TEXTS = [
    "x",
    "7",
    "+7",
    "007",
    " -7.50 ",
    "1e3",
    ".5",
    "9007199254740993",
    "9223372036854775808",
    "true",
    "YES",
    "off",
    "0",
]
TEXTS += ["NA", "unknown", "1e400", "1e999999999", "1e99999999999999999999", "12345.67000000000000000000000000000001"]
TEXTS += ["0.10", "12.345", "92233720368547758.07", "92233720368547758.08", *TIMES, "9" * 5000]
NUMBERS = [n for n in INTEGERS + FRACTIONS + BEYOND if n not in ("-0", "1e-400")]
NUMBERS += ["12345678901234567.89", "0.07", "1.005", "12345.67000", "1.2e1", "1e999999999", "1700000000000"]
TYPES = ["int64", "float64", "string", "bool", "time", "json", "decimal(0)", "decimal(2)", "decimal(9)"]
WORDS = {
    **dict.fromkeys(["true", "t", "yes", "y", "on", "1"], True),
    **dict.fromkeys(["false", "f", "no", "n", "off", "0"], False),
}

json_values = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from([f'"{t}"' for t in TEXTS]),
    st.sampled_from(["true", "false", "NaN", "[1.50]"]),
)
csv_values = st.sampled_from([*NUMBERS, *(t for t in TEXTS if t == t.strip()), "True"])  # blanks may go with a dialect


def plain_number(text: str) -> tuple[str, Any] | None:
    """A number as people write it, also with a plus, zeros in front, or nothing on one side of the point."""
    text = text.strip()
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    if text.lstrip("+-").isdigit():
        return number(str(int(text))) if len(text) < 4000 else ("digits", text)
    real = float(text)
    return None if math.isinf(real) else ("float64", real)


def units(text: str, places: int) -> int | None:
    """How many times its smallest unit a decimal is, if that is exact and fits."""
    try:
        exact = Decimal(text.strip())
    except ArithmeticError:
        return None
    if not exact.is_finite() or exact.adjusted() > 30 or len(text) > 1000:
        return None
    ratio, scale = exact.as_integer_ratio(), 10**places
    whole, rest = divmod(ratio[0] * scale, ratio[1])
    return whole if not rest and -(2**63) <= whole < 2**63 else None


def placed(kind: str, value: Any, text: str, type_: str) -> tuple[str, Any]:
    """Where a value goes ("" for the column itself, the suffix of its twin, or "missing"), and what is there."""
    if kind == "nan":
        return "missing", None
    if type_ in ("string", "json"):
        return "", text
    if type_ == "bool" and kind in ("string", "int64") and text.strip().lower() in WORDS:
        return "", WORDS[text.strip().lower()]
    if type_ == "time" and kind == "string" and text in TIMES:
        return "", TIMES[text]
    if type_ == "time" and kind == "int64" and 0 <= value < 9_214_646_400_000:
        return "", value * 1000
    if type_.startswith("decimal") and kind in ("int64", "float64", "digits", "string"):
        places = int(type_[8])
        if (whole := units(text, places)) is not None:
            return "", Decimal(whole).scaleb(-places)
    if type_ in ("int64", "float64") and kind == "string" and (found := plain_number(text)) and found[0] != "digits":
        kind, value = found
    if kind == "string" and text.lower() in MISSING:
        return "missing", None
    if type_ == "float64" and kind == "int64" and abs(value) <= EXACT:
        return "", float(value)
    kind = "string" if kind == "digits" else kind
    return "" if kind == type_ else kind, text if kind in ("string", "json") else value


def of_json(raw: str) -> tuple[str, Any, str]:
    found = cell(parsed(raw))
    assert not isinstance(found, str)
    return found[0], found[1], raw if found[0] in ("int64", "float64", "bool") else str(found[1])


@given(st.data(), st.sampled_from(TYPES), st.sampled_from(["json", "csv"]), st.integers(1, 300))
@example(None, "decimal(2)", "json", 300)
@example(None, "int64", "csv", 300)
def test_every_value_is_read_as_declared_or_is_in_a_twin(
    data: st.DataObject | None, type_: str, form: str, size: int
) -> None:
    values = json_values if form == "json" else csv_values
    everything = (
        [*NUMBERS, *(f'"{t}"' for t in TEXTS)] if form == "json" else [*NUMBERS, *(t for t in TEXTS if t == t.strip())]
    )
    drawn = everything if data is None else data.draw(st.lists(values, min_size=1, max_size=8))
    if form == "json":
        text = "".join(f'{{"k":"a","t":{T + i},"x":{raw}}}\n' for i, raw in enumerate(drawn))
        cells = [of_json(raw) for raw in drawn]
    else:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(
            [["k", "t", "x"], *(["a", T + i, v] for i, v in enumerate(drawn))]
        )
        text, cells = out.getvalue(), [(*csv_cell(v), v) for v in drawn]
    wanted = [placed(*found, type_) for found in cells]
    with new_lake() as lake, cut_into(size, 3):
        report = lake.text(text, type={"x": type_}, format=form).sources[0]
        rows = lake.rows()
    assert report.columns["x"].type == ("string" if type_ == "json" else type_)
    assert report.committed == len(drawn)
    for row, (where, value) in zip(rows, wanted, strict=True):
        found = {n.partition("#")[2]: v for n, v in row.items() if n[0] == "x"}
        assert [repr(v) for v in found.values()] == ([] if where == "missing" else [repr(value)]), row
        assert [*found] == ([] if where == "missing" else [where])
    assert sum(report.columns["x"].nulls.values()) == sum(where == "missing" for where, _ in wanted)


@pytest.mark.parametrize("type_", TYPES)
def test_a_declared_type_is_that_of_the_stream(lake: Lake, type_: str) -> None:
    lake.text(f'{{"k":"a","t":{T},"x":"2024-01-01"}}\n{{"k":"a","t":{T},"x":"1"}}', type={"x": type_})
    kept = "string" if type_ == "json" else type_
    assert str(lake.columns().get("x", kept)) == kept
    if "x" in lake.columns():
        for other in TYPES:
            text = f'{{"k":"a","t":{T},"x":"{other}"}}'
            if other == kept or (kept == "string" and other == "json"):
                lake.text(text, type={"x": other})
                continue
            with pytest.raises(SchemaConflict, match=r"has the column 'x' as .*, not .* \(--type\)"):
                lake.text(text, type={"x": other})
    # Without the option, times and decimals are read as such, and nothing else is.
    lake.text(f"k,t,x\nb,{T},2024-01-01\nb,{T},1\n")
    found = [{n: v for n, v in row.items() if n[0] == "x"} for row in lake.rows() if row["k"] == "b"]
    one: dict[str, Any] = {"int64": 1, "float64": 1.0, "string": "1"}
    if type_.startswith("decimal"):
        assert found == [{"x#string": "2024-01-01"}, {"x": Decimal(1)}]
    elif type_ == "time":
        assert found == [{"x": TIMES["2024-01-01"]}, {"x": 1000}]
    elif kept == "string":
        assert found == [{"x": "2024-01-01"}, {"x": "1"}]
    else:
        assert found[0] == {"x#string": "2024-01-01"}
        assert found[1] == ({"x": one[type_]} if type_ in one else {"x#int64": 1})
