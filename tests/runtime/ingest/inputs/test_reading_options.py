"""The options of reading, in JSON and CSV: words for missing, names, keys and times of several fields or of a file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake, T

Record = dict[str, Any]


def as_csv(records: list[Record]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(n for r in records for n in r)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


FORMS = {"json": lambda records: "".join(json.dumps(r) + "\n" for r in records), "csv": as_csv}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def values(lake: Lake, stream: str = "s") -> list[Record]:
    """The rows without key and time."""
    return [{n: v for n, v in row.items() if n not in ("k", "t")} for row in lake.rows(stream)]


# ---- words for missing values


def test_words_for_missing_values(lake: Lake, form: Any) -> None:
    cells = ["zz", -999, "-999", "ZZ", "z", 7, "zz ", "NA"]
    report = lake.text(
        form([{"k": "a", "t": T + i, "x": v, "y": v, "z": "text"} for i, v in enumerate(cells)]), null="zz,-999"
    )
    left = [(r.get("x"), r.get("x#int64")) for r in values(lake)]
    seven = ("7", None) if form is as_csv else (None, 7)
    assert left == [(None, None)] * 3 + [("ZZ", None), ("z", None), seven, ("zz ", None), ("NA", None)]
    columns = report.sources[0].columns
    assert {n: dict(columns[n].nulls) for n in "xyz"} == {"x": {"--null": 3}, "y": {"--null": 3}, "z": {}}


@pytest.mark.parametrize("number", ["9007199254740993", "1.5", "1e2", "-0.0"])
def test_numbers_for_missing_values(lake: Lake, number: str) -> None:
    same = {"1e2": ["100", "100.0", "1E2"], "-0.0": ["0", "-0", "0.0", "-0e5"]}.get(number, [number])
    others = ["9007199254740992", "9007199254740994", "1.25", "99", "1"]
    lake.text("".join(f'{{"k":"a","t":{T + i},"x":{raw}}}\n' for i, raw in enumerate([*same, *others])), null=number)
    found = values(lake)
    assert found[: len(same)] == [{}] * len(same)
    assert all(row for row in found[len(same) :])


def test_a_missing_key_time_or_part_of_a_key(lake: Lake, form: Any) -> None:
    rows = [{"k": "zz", "t": T, "p": "p"}, {"k": "a", "t": "zz", "p": "p"}, {"k": "a", "t": T, "p": "zz"}]
    report = lake.text(form([*rows, {"k": "a", "t": T, "p": "p"}]), null="zz")
    assert report.committed == 2
    assert sorted(report.reasons.values()) == [1, 1]
    report = lake.text(form([*rows, {"k": "a", "t": T, "p": "p"}]), null="zz", key="k,p", stream="parts")
    assert (report.committed, report.rejected) == (1, 3)


# ---- names


NESTED = {"x": 1, "o": {"p": 2, "q": {"r": 3, "s": [4]}}, "v": {"w": 5}}
FLAT = {"x": 1, "o.p": 2, "o.q.r": 3, "o.q.s": "[4]", "v.w": 5}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, FLAT),
        ({"drop": "o.*"}, {"x": 1, "v.w": 5}),
        ({"drop": "o"}, FLAT),
        ({"drop": "*"}, {}),
        ({"drop": "x,v.?"}, {"o.p": 2, "o.q.r": 3, "o.q.s": "[4]"}),
        ({"columns": ["x", "o.q.*"]}, {"x": 1, "o.q.r": 3, "o.q.s": "[4]"}),
        ({"columns": "x,o.*", "drop": "*.s"}, {"x": 1, "o.p": 2, "o.q.r": 3}),
        ({"columns": "nothing"}, {}),
        ({"rename": "o.p=x2,x=o"}, {"o": 1, "x2": 2, "o.q.r": 3, "o.q.s": "[4]", "v.w": 5}),
        ({"rename": {"x": "o.p", "o.p": "x"}}, {"o.p": 1, "x": 2, "o.q.r": 3, "o.q.s": "[4]", "v.w": 5}),
        ({"rename": "x=y", "columns": "x"}, {"y": 1}),
        ({"rename": "x=y", "columns": "y"}, {"y": 1}),
        ({"rename": "x=y", "drop": "y"}, {"y": 1} | {n: v for n, v in FLAT.items() if n != "x"}),
        ({"rename": "x=y", "drop": "x"}, {n: v for n, v in FLAT.items() if n != "x"}),
        ({"depth": 1}, {"x": 1, "o": '{"p":2,"q":{"r":3,"s":[4]}}', "v": '{"w":5}'}),
        ({"depth": 2}, {"x": 1, "o.p": 2, "o.q": '{"r":3,"s":[4]}', "v.w": 5}),
        ({"depth": 3}, FLAT),
        ({"depth": 2, "drop": "o.q"}, {"x": 1, "o.p": 2, "v.w": 5}),
        ({"depth": 1, "rename": "o=w"}, {"x": 1, "w": '{"p":2,"q":{"r":3,"s":[4]}}', "v": '{"w":5}'}),
        ({"type": "o.q=json"}, {"x": 1, "o.p": 2, "o.q": '{"r":3,"s":[4]}', "v.w": 5}),
        ({"type": "o=json"}, {"x": 1, "o": '{"p":2,"q":{"r":3,"s":[4]}}', "v.w": 5}),
        ({"type": "w=json", "rename": "o=w"}, {"x": 1, "w": '{"p":2,"q":{"r":3,"s":[4]}}', "v.w": 5}),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
def test_names(lake: Lake, options: Any, expected: Record, slow: bool) -> None:
    """As the fast reader and the strict one see them: names with escapes are for that one."""
    text = json.dumps({"k": "a", "t": T, **NESTED})
    if slow:
        text = text.replace('"x"', '"\\u0078"').replace('"o"', '"\\u006f"')
    report = lake.text(text, **options)
    assert values(lake) == [expected]
    assert report.sources[0].left_out == {}
    assert [*report.sources[0].columns] == list(lake.columns())


def test_names_of_csv(lake: Lake) -> None:
    text = f"k,t,x,o.p,y\na,{T},1,2,3\n"
    lake.text(text, rename="x=z", drop="o.*")
    assert values(lake) == [{"z": 1, "y": 3}]
    lake.text(text, columns="y", stream="other")
    assert values(lake, "other") == [{"y": 3}]


def test_two_fields_of_one_name(lake: Lake) -> None:
    """In JSON a record has either, as a rule; the header of CSV has both at once."""
    rows = [{"x": 1}, {"y": 2}, {"x": 3, "y": None}, {"x": None, "y": 4}, {"y": 5, "x": None}, {"x": 6, "y": 7}]
    report = lake.records([{"k": "a", "t": T + i, **row} for i, row in enumerate(rows)], rename="y=x")
    assert [row["x"] for row in values(lake)] == [1, 2, 3, 4, 5, 6]
    assert report.sources[0].left_out == {"a name occurs twice in one object": 1}
    with pytest.raises(IngestError, match=r"'x' and 'y' would both become 'x' \(--rename\)"):
        lake.text(f"k,t,x,y\na,{T},1,2\n", rename="y=x")
    with pytest.raises(IngestError, match=r"'x' and 'y' would both become 'x' \(--rename\)"):
        lake.ingest({"k": ["a"], "t": [T], "x": [1], "y": [2]}, rename="y=x")


def test_a_renamed_key(lake: Lake, form: Any) -> None:
    lake.text(form([{"device": "a", "at": T, "x": 1}]), rename="device=k,at=t")
    assert lake.rows() == [{"k": "a", "t": T * 1000, "x": 1}]
    for options in ({"key": "device"}, {"key": "device,x"}, {"time": "at,x"}):
        with pytest.raises(IngestError, match=r"is renamed: say its new name, '[kt]'"):
            lake.text(form([{"device": "a", "at": T, "x": 1}]), rename="device=k,at=t", stream="new", **options)


# ---- keys and times of several fields


def test_a_key_of_two_fields(lake: Lake, form: Any) -> None:
    """Any two different keys stay different, and the stream knows how they are made."""
    parts = [("a", "b"), ("a/b", "c"), ("a", "b/c"), ("a\\", "b"), ("a", "\\/b"), ("é", "7")]
    records = [{"site": s, "unit": u, "t": T + i, "x": i} for i, (s, u) in enumerate(parts)]
    bad = [{"site": s, "unit": u, "t": T, "x": 0} for s, u in (("", "b"), ("a", ""), (None, "b"))]
    report = lake.text(form([*records, *bad]), key="site,unit")
    assert (report.committed, report.rejected) == (6, 3)
    found = {(r["site"], r["unit"]): r["k"] for r in lake.rows()}
    assert found == {
        ("a", "b"): "a/b", ("a/b", "c"): "a\\/b/c", ("a", "b/c"): "a/b\\/c", ("a\\", "b"): "a\\\\/b",
        ("a", "\\/b"): "a/\\\\\\/b", ("é", "7"): "é/7",
    }  # fmt: skip
    assert len(set(found.values())) == len(parts)
    schema = lake.catalogue.schema("s")
    assert schema is not None
    assert (schema.key, schema.composed) == ("site/unit", {"key": "site,unit"})
    for again in (FORMS["json"], FORMS["csv"]):
        given = again([{"site": "new", "unit": 5, "t": T, "x": len(lake.rows())}])
        assert lake.text(given, key=None, time=None, unit=None).committed == 1
    assert [r["k"] for r in lake.rows()].count("new/5") == 2


def test_the_first_field_that_is_there(lake: Lake, form: Any) -> None:
    records: list[Record] = [
        {"user": "u", "anonymous": "x"}, {"user": None, "anonymous": "y"}, {"user": "", "anonymous": "z"},
        {"user": "", "anonymous": ""},
    ]  # fmt: skip
    records = [{**r, "t": T + i} for i, r in enumerate(records)]
    report = lake.text(form(records), key="user|anonymous")
    assert (report.committed, report.rejected) == (3, 1)
    assert [r["k"] for r in lake.rows()] == ["u", "y", "z"]
    assert lake.text(form([{"user": "", "anonymous": "w", "t": T}]), key=None, time=None, unit=None).committed == 1
    assert lake.text(json.dumps({"anonymous": "v", "t": T}), key=None, time=None, unit=None).committed == 1
    assert lake.text(f"user,t\nt,{T}\n", key=None, time=None, unit=None).committed == 1
    assert [r["k"] for r in lake.rows()] == ["t", "u", "v", "w", "y", "z"]


@pytest.mark.parametrize("missing_key", ["nobody", None])
def test_a_composed_key_that_is_missing(lake: Lake, form: Any, missing_key: str | None) -> None:
    report = lake.text(
        form([{"a": "", "b": "x", "t": T}, {"a": "y", "b": "x", "t": T}]), key="a,b", missing_key=missing_key
    )
    assert [r["k"] for r in lake.rows()] == (["nobody", "y/x"] if missing_key else ["y/x"])
    assert report.rejected == (missing_key is None)


def test_numbers_and_booleans_in_a_key(lake: Lake) -> None:
    values = [1, -7, 2**70, 1.5, True, "text", [1, 2]]
    lake.records([{"a": v, "b": "x", "t": T + i} for i, v in enumerate(values)], key="a,b")
    assert [r["k"] for r in sorted(lake.rows(), key=lambda r: r["t"])] == [
        "1/x", "-7/x", f"{2**70}/x", "1.5/x", "true/x", "text/x", "[1,2]/x",
    ]  # fmt: skip


def test_a_time_of_two_fields(lake: Lake, form: Any) -> None:
    records = [
        {"k": "a", "date": "2024-03-01", "at": "10:30", "x": 1},
        {"k": "a", "date": "2024-03-02", "at": "x", "x": 2},
    ]
    report = lake.text(form([*records, {"k": "a", "date": "2024-03-03", "at": "", "x": 3}]), time="date,at", unit=None)
    assert (report.committed, report.rejected) == (1, 2)
    assert lake.rows() == [{"k": "a", "t": 1_709_289_000_000_000, "date": "2024-03-01", "at": "10:30", "x": 1}]
    records = [{"k": "b", "date": "2024-03-01", "at": "10:31", "x": 1}]
    assert lake.text(form(records), key=None, time=None, unit=None).committed == 1
    assert lake.rows()[1]["t"] == 1_709_289_060_000_000


def test_a_key_of_a_file(lake: Lake, tmp_path: Path, form: Any) -> None:
    folder = tmp_path / "hall 7"
    folder.mkdir()
    name = "pump-1.data"
    (folder / name).write_text(form([{"t": T, "x": 1}]))
    (folder / f"{name}.gz").write_bytes(gzip.compress(form([{"t": T, "x": 2}]).encode()))
    for at, (text, keys) in enumerate(
        {
            "fixed": ["fixed", "fixed"],
            "{name}": [name, f"{name}.gz"],
            "{stem}": ["pump-1", "pump-1"],
            "{parent}/{stem}": ["hall 7/pump-1"] * 2,
            "{{x}}": ["{x}", "{x}"],
        }.items()
    ):
        lake.ingest(str(folder / name), str(folder / f"{name}.gz"), key=None, key_value=text, stream=f"s{at}")
        assert [r["k"] for r in sorted(lake.rows(f"s{at}"), key=lambda r: r["x"])] == keys
        schema = lake.catalogue.schema(f"s{at}")
        assert schema is not None
        assert schema.key == "key"
    for bad in ("{other}", "{", "{name"):
        with pytest.raises(IngestError, match="key_value"):
            lake.ingest(str(folder / name), key=None, key_value=bad, stream="bad")


def test_a_field_that_a_given_key_hides_is_said(lake: Lake, form: Any) -> None:
    report = lake.text(form([{"key": "x", "t": T, "v": 1}, {"key": None, "t": T, "v": 1}]), key=None, key_value="given")
    assert [r["k"] for r in lake.rows()] == ["given", "given"]
    assert report.sources[0].left_out == {"the key or time that is made of others has its name": 1}


@pytest.mark.parametrize(
    "source",
    [
        "k,t,v,w\na,2024-01-01T00:00:00Z,1,x\n",
        '{"k":"a","t":"2024-01-01T00:00:00Z","v":1,"w":"x"}\n',
        {"k": ["a"], "t": ["2024-01-01T00:00:00Z"], "v": [1], "w": ["x"]},
    ],
)
def test_names_that_no_record_has_are_noted(lake: Lake, source: Any) -> None:
    def notes(**options: Any) -> list[str]:
        given = io.BytesIO(source.encode()) if isinstance(source, str) else source
        report = lake.ingest(given, stream=f"s{len(lake.catalogue.streams())}", unit=None, **options)
        return [note for note in report.sources[0].notes if "which no record has" in note]

    assert notes(columns=["v", "w*"], rename={"v": "y"}, type={"y": "float64"}) == []
    assert notes(drop=["v", "z*"]) == ["--drop names 'z*', which no record has"]
    assert notes(columns=["vv"]) == ["--columns names 'vv', which no record has"]
    assert notes(type={"vv": "int64"}) == ["--type names 'vv', which no record has; did you mean 'v'?"]
    assert notes(type={"v": "int64"}, rename={"v": "y", "x": "z"}) == [
        "--rename names 'x', which no record has", "--type names 'v', which no record has",
    ]  # fmt: skip
