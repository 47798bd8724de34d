"""JSON as text in a column: read into columns of its own, for JSON, CSV and records of any form alike."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.records.pieces import in_pieces
from tests.runtime.ingest.test_properties import exactly, new_lake

US = T * 1000


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


FORMS = {
    "ndjson": (lambda rows: "".join(json.dumps(r) + "\n" for r in rows), {"format": "ndjson"}),
    "csv": (as_csv, {"format": "csv"}),
    "document": (lambda rows: json.dumps({"e": rows}), {"format": "json", "records": "e"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_the_text(lake: Lake, form: str) -> None:
    texts = {
        '{"x":1,"y":{"z":true},"l":[1, 2]}': {"m.x": 1, "m.y.z": True, "m.l": "[1,2]"},
        '{"x":2}': {"m.x": 2},
        ' {"s":"é\\n"} ': {"m.s": "é\n"},
        "{}": {},
        "[1, 2]": {"m": "[1, 2]"},
        "not JSON": {"m": "not JSON"},
        '{"x":3': {"m": '{"x":3'},
        '{"x":1} 2': {"m": '{"x":1} 2'},
        '{"":1,"x":1}': {"m": '{"":1,"x":1}'},
    }
    write, options = FORMS[form]
    lake.text(write([{"k": f"{n}", "t": T, "m": m} for n, m in enumerate(texts)]), json="m", **options)
    assert lake.rows() == [{"k": f"{n}", "t": US, **want} for n, want in enumerate(texts.values())]


@pytest.mark.parametrize("form", FORMS)
def test_key_and_time_in_the_text(lake: Lake, form: str) -> None:
    rows = [{"id": n, "m": json.dumps({"device": f"d{n}", "at": at, "v": n / 4})} for n, at in enumerate((T, T + 0.5))]
    write, options = FORMS[form]
    lake.text(write(rows), key="m.device", time="m.at", json="m", **options)
    assert lake.rows() == [
        {"k": "d0", "t": US, "id": 0, "m.v": 0.0},
        {"k": "d1", "t": US + 500, "id": 1, "m.v": 0.25},
    ]


def test_a_value_of_its_own(lake: Lake) -> None:
    """A number, boolean or text in the text is the column's value; null is none."""
    values = ["1.5", "2", "-0", "null"]
    lake.text("".join(json.dumps({"k": f"{n}", "t": T, "m": v}) + "\n" for n, v in enumerate(values)), json="m")
    assert [repr(r.get("m")) for r in lake.rows()] == ["1.5", "2.0", "-0.0", "None"]
    lake.records([{"k": "a", "t": T, "m": '"text"'}], stream="other", json="m")
    assert lake.rows("other") == [{"k": "a", "t": US, "m": "text"}]


def test_a_name_that_is_taken_keeps_the_text(lake: Lake) -> None:
    rows = [{"k": "a", "t": T, "m": '{"x":1}', "m.x": 5}, {"k": "b", "t": T, "m": '{"x":1}', "m.x": None}]
    lake.records(rows, json="m")
    assert lake.rows() == [{"k": "a", "t": US, "m": '{"x":1}', "m.x": 5}, {"k": "b", "t": US, "m.x": 1}]


def test_text_within_text(lake: Lake) -> None:
    inner = json.dumps({"y": 2})
    lake.records([{"k": "a", "t": T, "m": json.dumps({"x": inner}), "n": "{}"}], json="m,m.x,n,absent")
    assert lake.rows() == [{"k": "a", "t": US, "m.x.y": 2}]


def test_types_do_not_depend_on_batches(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of CSV that come from JSON have the type of the sample, in whatever batch they begin."""
    rows = [{"k": "a", "t": T + n, "m": json.dumps({"b" if n % 2 else "a": n / 2, "c": n})} for n in range(2000)]
    monkeypatch.setattr("runtime.ingest.text.csv_reader._CELLS", 300)
    lake.text(as_csv(rows), json="m", format="csv")
    assert lake.columns() == {"m.a": "float64", "m.b": "float64", "m.c": "int64"}
    assert [r["m.c"] for r in lake.rows()] == list(range(2000))
    assert [r["m.b"] for r in lake.rows() if "m.b" in r] == [n / 2 for n in range(1, 2000, 2)]


inner = st.fixed_dictionaries(
    {},
    optional={
        "i": st.integers(-(2**63), 2**63 - 1),
        "f": st.floats(allow_nan=False, allow_infinity=False),
        "s": st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        "o": st.fixed_dictionaries({}, optional={"b": st.booleans()}),
    },
)


@given(st.lists(inner, min_size=1, max_size=12), st.integers(1, 60))
def test_text_is_read_as_what_it_says(values: list[dict[str, Any]], size: int) -> None:
    """JSON text and the same as JSON give the same rows."""
    rows = [{"k": "a", "t": T + n, "m": v} for n, v in enumerate(values)]
    texts = [{**r, "m": json.dumps(r["m"])} for r in rows]
    with new_lake() as lake:
        lake.records(rows, stream="plain")
        with in_pieces(size):
            lake.records(texts, stream="text", json="m", format="ndjson")
        assert exactly(lake.rows("text")) == exactly(lake.rows("plain"))
        assert lake.columns("text") == lake.columns("plain")


def test_what_is_taken_of_the_text(lake: Lake) -> None:
    """Names, patterns and depth mean what is in the text, too."""
    text = json.dumps({"x": 1, "y": {"z": {"w": 2}}, "gone": 3})
    options: dict[str, Any] = {"json": "m", "drop": "m.g*", "rename": {"m.x": "x", "m": "message"}, "depth": 2}
    for form, (write, more) in FORMS.items():
        lake.text(write([{"k": "a", "t": T, "m": text, "n": form}]), stream=form, **options, **more)
        assert lake.rows(form) == [{"k": "a", "t": US, "x": 1, "m.y": '{"z":{"w":2}}', "n": form}]
    lake.records([{"k": "a", "t": T, "m": text, "n": 1}], stream="some", json="m", columns="m.x")
    assert lake.rows("some") == [{"k": "a", "t": US, "m.x": 1}]


def test_a_key_of_several_fields_in_the_text(lake: Lake) -> None:
    lake.text(
        as_csv([{"n": 1, "m": json.dumps({"site": "s", "device": "d", "at": T})}]),
        key="m.site,m.device", time="m.at", json="m", format="csv",
    )  # fmt: skip
    assert lake.rows() == [{"k": "s/d", "t": US, "n": 1, "m.site": "s", "m.device": "d"}]
