"""JSON in every framing, and every error in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.text import rejects
from tests.runtime.ingest.lake import Lake, T

GOOD = f'{{"k":"a","t":{T},"x":1}}'
MORE = f'{{"k":"b","t":{T},"x":2}}'


def expect_good(lake: Lake, text: str | bytes, rejected: int = 0) -> Any:
    """GOOD and MORE are ingested; returns the rejects."""
    report = lake.text(text)
    assert lake.rows() == [{"k": "a", "t": T * 1000, "x": 1}, {"k": "b", "t": T * 1000, "x": 2}]
    assert report.rejected == rejected
    return report.sources[0].examples


@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD}\n{MORE}\n",
        f"{GOOD}\r\n{MORE}",
        f"{GOOD}{MORE}",
        f"  {GOOD}  {MORE} \n\n",
        f"[{GOOD},{MORE}]",
        f"[\n  {GOOD},\n  {MORE}\n]\n",
        f"[{GOOD}]\n[{MORE}]\n",
        f"{GOOD}\n[{MORE}]",
        f"\ufeff{GOOD}\n{MORE}\n",
        json.dumps([json.loads(GOOD), json.loads(MORE)], indent=2),
        "\n".join(json.dumps(json.loads(r), indent=4) for r in (GOOD, MORE)),
    ],
)
def test_framings(lake: Lake, text: str) -> None:
    expect_good(lake, text)


# What is wrong with the record in the middle, and the reason given for it.
BROKEN = {
    '{"k":"a","t":1,"x":' + '{"y":' * 40 + "1" + "}" * 41: "JSON: nested deeper than 32",
    '{"k":"a","t":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}": "JSON: nested deeper than 32",
    '{"k":null,"t":1,"x":1}': "key: column k is missing or null",
    '{"t":1,"x":1}': "key: column k is missing or null",
    '{"k":true,"t":1}': "key: column k is a bool",
    '{"k":1.5,"t":1}': "key: column k is a float64",
    '{"k":7,"t":1}': "key: column k is string, got int64; --type k=string reads both as text",
    '{"k":["a"],"t":"x"}': "time: column t: 'x' is not a time; say its form with --time-format",
    '{"k":"a","x":1}': "time: column t is missing or null",
    '{"k":"a","t":null}': "time: column t is missing or null",
    '{"k":"a","t":false}': "time: column t is a bool",
    '{"k":"a","t":-1}': "time: column t is before 1970",
    '{"k":"a","t":-1.5}': "time: column t is before 1970",
    '{"k":"a","t":9223372036854775807}': "time: column t is after 2261",
    '{"k":"a","t":99999999999999}': "time: column t is after 2261",
    '{"k":"a","t":99999999999999999999999}': "time: column t is after 2261",
    '{"k":"a","t":9.9e300}': "time: column t is after 2261",
    '{"k":"a","t":-9.9e300}': "time: column t is before 1970",
    '{"k":"a","t":-99999999999999999999999}': "time: column t is before 1970",
    '{"k":"a","t":9000000000000}': "time: column t is more than an hour in the future",
    '{"k":"a","t":1,"x":"\\q"}': "JSON: invalid \\escape",
    '{"k":"a","t":1,"x":01}': "JSON: expecting ',' delimiter",
    '{"k":"a","t":1,"x":+1}': "JSON: expecting value",
    '{"k":"a","t":1,"x":.5}': "JSON: expecting value",
    '{"k":"a","t":1,"x":tru}': "JSON: expecting value",
    '{"k":"a","t":1 "x":1}': "JSON: expecting ',' delimiter",
    '{"k":"a","t":1,}': "JSON:",
    '{"k":"a","t":1,"x":"' + "tab\there" + '"}': "JSON: invalid control character at",
    '{"k":"a","t":1': "JSON:",
    '{"k":"a","t"': "JSON: expecting ':' delimiter",
    "garbage": "not JSON",
    "}": "not JSON",
    "12": "JSON: not an object",
    '"text"': "JSON: not an object",
    "null": "JSON: not an object",
}


@pytest.mark.parametrize("bad", BROKEN, ids=lambda bad: bad[:40])
def test_a_bad_line_costs_that_line(lake: Lake, bad: str) -> None:
    (reject,) = expect_good(lake, f"{GOOD}\n{bad}\n{MORE}\n", rejected=1)
    assert reject.reason.startswith(BROKEN[bad])
    assert (reject.line, reject.byte) == (2, len(GOOD) + 1)
    assert reject.text == bad[:200]


TWICE = "a name occurs twice in one object"
HALF = "half of a surrogate pair"
LONG = "column name is empty or longer than 256 bytes"

# What is odd about the record in the middle, and where its values are: in columns; missing, by the column and the word;
# or left out, and why.
ODD: dict[str, tuple[dict[str, Any], dict[str, dict[str, int]], dict[str, int]]] = {
    '{"k":"a","t":1,"x":NaN}': ({}, {"x": {"NaN": 1}}, {}),
    '{"k":"a","t":1,"x":Infinity}': ({}, {"x": {"infinity": 1}}, {}),
    '{"k":"a","t":1,"x":-Infinity}': ({}, {"x": {"infinity": 1}}, {}),
    '{"k":"a","t":1,"x":1e999}': ({"x#string": "1e999"}, {}, {}),
    '{"k":"a","t":1,"x":-1e999,"y":2}': ({"x#string": "-1e999", "y": 2}, {}, {}),
    '{"k":"a","t":1,"x":1,"x":2}': ({}, {}, {TWICE: 1}),
    '{"k":"a","t":1,"x":1,"y":3,"x":1}': ({"y": 3}, {}, {TWICE: 1}),
    '{"k":"a","t":1,"x":{"y":1,"y":2}}': ({}, {}, {TWICE: 1}),
    '{"k":"a","t":1,"x":{"y":1,"y":2,"z":3}}': ({"x.z": 3}, {}, {TWICE: 1}),
    '{"k":"a","t":1,"\\u0078":1,"x":2}': ({}, {}, {TWICE: 1}),
    '{"k":"a","t":1,"x":' + "9" * 5000 + "}": ({"x#string": "9" * 5000}, {}, {}),
    '{"k":"a","t":1,"x":9223372036854775808}': ({"x#string": "9223372036854775808"}, {}, {}),
    '{"k":"a","t":1,"x":-9223372036854775809}': ({"x#string": "-9223372036854775809"}, {}, {}),
    '{"k":"a","t":1,"x":"\\ud800"}': ({}, {}, {HALF: 1}),
    '{"k":"a","t":1,"x":"\\udc00","y":"\\ud83d\\ude00"}': ({"y": "\U0001f600"}, {}, {HALF: 1}),
    '{"k":"a","t":1,"x":["\\ud800"]}': ({}, {}, {HALF: 1}),
    '{"k":"a","t":1,"x":[{"\\ud800":1}]}': ({}, {}, {HALF: 1}),
    '{"k":"a","t":1,"\\ud800":1}': ({}, {}, {"column name with control characters": 1}),
    '{"k":"a","t":1,"": 1}': ({}, {}, {"a field has no name": 1}),
    '{"k":"a","t":1,"": {"y":1}, "y":2}': ({"y": 2}, {}, {"a field has no name": 1}),
    '{"k":"a","t":1,"y":{"":1,"z":2}}': ({"y.z": 2}, {}, {"a field has no name": 1}),
    '{"k":"a","t":1,"' + "n" * 257 + '": 1}': ({}, {}, {LONG: 1}),
    '{"k":"a","t":1,"' + "n" * 200 + '":{"' + "m" * 56 + '":1,"q":2}}': ({"n" * 200 + ".q": 2}, {}, {LONG: 1}),
    '{"k":"a","t":1,"new\\nline": 1}': ({}, {}, {"column name with control characters": 1}),
    '{"k":"a","t":1,"p.q":1,"p":{"q":2}}': ({"p.q": 1, "p.q_2": 2}, {}, {}),
    '{"k":"a","t":1,"p":{"q":2},"p.q":1}': ({"p.q": 2, "p.q_2": 1}, {}, {}),
    '{"k":"a","t":1,"x":"text"}': ({"x#string": "text"}, {}, {}),
    '{"k":"a","t":1,"x":"1"}': ({"x#string": "1"}, {}, {}),
    '{"k":"a","t":1,"x":true}': ({"x#bool": True}, {}, {}),
    '{"k":"a","t":1,"x":[1, "b"]}': ({"x#json": '[1,"b"]'}, {}, {}),
    '{"k":"a","t":1,"x":""}': ({}, {"x": {"": 1}}, {}),
    '{"k":"a","t":1,"x":"uNKnown"}': ({}, {"x": {"unknown": 1}}, {}),
    '{"k":"a","t":1,"x":"n\\u002fa"}': ({}, {"x": {"N/A": 1}}, {}),
    '{"k":"a","t":1,"x":"-INF"}': ({}, {"x": {"infinity": 1}}, {}),
}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:40])
def test_an_odd_field_costs_at_most_itself(lake: Lake, odd: str) -> None:
    columns, nulls, left_out = ODD[odd]
    report = lake.text(f"{GOOD}\n{odd}\n{MORE}\n")
    assert (report.committed, report.rejected) == (3, 0)
    assert lake.rows() == [
        {"k": "a", "t": 1000, **columns},
        {"k": "a", "t": T * 1000, "x": 1},
        {"k": "b", "t": T * 1000, "x": 2},
    ]
    (source,) = report.sources
    assert {name: dict(column.nulls) for name, column in source.columns.items() if column.nulls} == nulls
    assert source.left_out == left_out
    assert source.columns["x"].twins == {n.partition("#")[2]: 1 for n in columns if "#" in n}


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80"])
def test_text_that_is_not_utf8(lake: Lake, bad: bytes) -> None:
    line = b'{"k":"a","t":1,"x":"' + bad + b'"}'
    (reject,) = expect_good(lake, f"{GOOD}\n".encode() + line + f"\n{MORE}".encode(), rejected=1)
    assert reject.reason == "JSON: not UTF-8"


def test_a_cut_off_tail_is_one_reject(lake: Lake) -> None:
    (reject,) = expect_good(lake, f'{GOOD}\n{MORE}\n{{"k":"c","t":', rejected=1)
    assert reject.reason == "JSON: cut off in the middle of a record"
    assert reject.line == 3


def test_a_line_with_garbage_is_one_reject(lake: Lake) -> None:
    (reject,) = expect_good(lake, f"{GOOD}{MORE}\n{GOOD}{MORE}}}}}{GOOD}{GOOD}", rejected=1)
    assert (reject.line, reject.byte) == (2, len(GOOD) + len(MORE) + 1)


def test_an_array_that_is_not_closed(lake: Lake) -> None:
    (reject,) = expect_good(lake, f"[{GOOD},\n{MORE}", rejected=1)
    assert reject.reason == "JSON: the array is not closed"


def test_a_line_that_opens_an_array_and_ends_is_one_reject(lake: Lake) -> None:
    (reject,) = expect_good(lake, f"{GOOD}\n{MORE}\n[{GOOD},{MORE}\n", rejected=1)
    assert (reject.line, reject.reason) == (3, "JSON: the array is not closed")


def test_values_in_an_array_that_are_no_records(lake: Lake) -> None:
    expect_good(lake, f'[{GOOD}, 1, "s", null, [1, {GOOD}], {MORE}]', rejected=4)


def test_a_broken_record_over_several_lines_is_one_reject(lake: Lake) -> None:
    bad = '{\n  "k": "a",\n  "y": {\n    "z": 1,,\n    "w": 2\n  }\n}'
    (reject,) = expect_good(lake, f"{GOOD}\n{bad}\n{MORE}\n", rejected=1)
    assert reject.line == 2


def test_a_record_that_is_not_closed_costs_that_line(lake: Lake) -> None:
    (reject,) = expect_good(lake, f'{GOOD}\n{{"k":"c","t":1,\n{MORE}\n', rejected=1)
    assert reject.line == 2


def test_columns_of_every_type(lake: Lake) -> None:
    values = {"b": True, "i": -(2**63), "j": 2**63 - 1, "f": 0.1, "s": 'é\n"\\ \U0001f600', "z": -0.0, "e": 1e-300}
    lake.records([{"k": "a", "t": T, **values}])
    assert lake.rows() == [{"k": "a", "t": T * 1000, **values}]
    assert str(lake.rows()[0]["z"]) == "-0.0"


def test_integers_stay_exact(lake: Lake) -> None:
    values = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 999_999_999_999_999_999, 10**18, 0]
    lake.records([{"k": "a", "t": T + i, "x": v} for i, v in enumerate(values)])
    assert [r["x"] for r in lake.rows()] == values


def test_nested_objects_and_arrays(lake: Lake) -> None:
    lake.text(
        f'{{"k":"a","t":{T},"m":{{"x":{{"y":1}},"z":null}},'
        '"l":[1, 2.50, {"q": "é"}, 123456789012345678901, 1e5],"e":{}}'
    )
    (row,) = lake.rows()
    assert row["m.x.y"] == 1
    assert row["l"] == '[1,2.50,{"q":"é"},123456789012345678901,1e5]'
    assert set(row) == {"k", "t", "m.x.y", "l"}


def test_nested_key_and_time(lake: Lake) -> None:
    lake.text(f'{{"meta":{{"k":"a"}},"data":{{"t":{T},"v":2}}}}', key="meta.k", time="data.t")
    assert lake.rows() == [{"k": "a", "t": T * 1000, "data.v": 2}]


def test_a_name_that_is_now_a_value_and_now_an_object(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "m": 1}, {"k": "b", "t": T, "m": {"n": 2}}, {"k": "c", "t": T, "m": 3}])
    assert [(r.get("m"), r.get("m.n")) for r in lake.rows()] == [(1, None), (None, 2), (3, None)]


def test_keys_of_both_types_are_text_where_that_is_declared(lake: Lake) -> None:
    keys = [7, "a", True, 1.50, 2**70, -3]
    lake.records([{"k": key, "t": T} for key in keys], type={"k": "string"})
    assert sorted(r["k"] for r in lake.rows()) == sorted(["7", "a", "true", "1.5", str(2**70), "-3"])
    lake.records([{"k": 7, "t": T + 1}], type={"k": "string"})
    assert [r["k"] for r in lake.rows() if r["k"] == "7"] == ["7", "7"]


def test_integer_keys(lake: Lake) -> None:
    report = lake.records([{"k": 5, "t": T}, {"k": -(2**63), "t": T}, {"k": "x", "t": T}, {"k": 5, "t": T + 1}])
    assert [r["k"] for r in lake.rows()] == [-(2**63), 5, 5]
    assert report.reasons == {"key: column k is int64, got string; --type k=string reads both as text": 1}
    schema = lake.catalogue.schema("s")
    assert schema is not None
    assert schema.key_type is Type.INT


def test_missing_keys_get_the_given_one(lake: Lake) -> None:
    records: list[dict[str, Any]] = [{"t": T}, {"k": None, "t": T}, {"k": "a", "t": T}]
    assert lake.records(records, missing_key="nobody").rejected == 0
    assert [r["k"] for r in lake.rows()] == ["a", "nobody", "nobody"]
    records = [{"k": 1, "t": T}, {"t": T}]
    lake.records(records, missing_key="-1", stream="i")
    assert [r["k"] for r in lake.rows("i")] == [-1, 1]
    with pytest.raises(IngestError, match="must be a whole number"):
        lake.records(records, missing_key="none", stream="j")


def test_all_null_columns_have_no_type_yet(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "x": None}])
    assert lake.columns() == {}
    lake.records([{"k": "a", "t": T + 1, "x": "late"}])
    assert lake.columns() == {"x": Type.STRING}


def test_integers_become_floats_when_a_fraction_comes(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "x": 1}, {"k": "a", "t": T + 1, "x": 1.5}])
    assert lake.columns() == {"x": Type.FLOAT}
    lake.records([{"k": "a", "t": T, "y": 1}], stream="later")
    lake.records([{"k": "a", "t": T + 1, "y": 1.5}], stream="later")
    assert lake.columns("later") == {"y": Type.FLOAT}
    report = lake.records([{"k": "a", "t": T + 2, "y": 2**53 + 1}, {"k": "b", "t": T, "y": 2**53}], stream="later")
    assert report.sources[0].columns["y"].twins == {"int64": 1}
    assert [(r.get("y"), r.get("y#int64")) for r in lake.rows("later")] == [
        (1, None), (1.5, None), (None, 2**53 + 1), (2.0**53, None),
    ]  # fmt: skip


def test_an_integer_column_with_exact_values_does_not_become_float(lake: Lake) -> None:
    report = lake.records([{"k": "a", "t": T, "x": 2**60}, {"k": "a", "t": T, "x": 1.5}, {"k": "a", "t": T, "x": 3}])
    assert report.sources[0].columns["x"].twins == {"float64": 1}
    assert [(r.get("x"), r.get("x#float64")) for r in lake.rows()] == [(2**60, None), (None, 1.5), (3, None)]
    assert lake.columns() == {"x": Type.INT, "x#float64": Type.FLOAT}


def test_new_columns_may_come_at_any_time(lake: Lake) -> None:
    records = [{"k": "a", "t": T + i, f"c{i % 300}": i} for i in range(3000)]
    lake.records(records)
    assert len(lake.columns()) == 300
    assert [r[f"c{i % 300}"] for i, r in enumerate(lake.rows())] == list(range(3000))


def test_too_many_columns(lake: Lake) -> None:
    records = [{"k": "a", "t": T + i} | {f"c{n}": i for n in range(10 * i, 10 * i + 10)} for i in range(1200)]
    report = lake.records([*records, {"k": "b", "t": T, "c5": "text", "c6": 7}])
    assert (report.committed, report.rejected) == (1201, 0)
    assert list(lake.columns()) == [f"c{n}" for n in range(10_000)]
    assert report.sources[0].left_out == {"more than 10,000 columns": 2000 + 1}
    found = lake.rows()
    assert [len(row) for row in found] == [12] * 1000 + [2] * 200 + [3]
    assert found[-1] == {"k": "b", "t": T * 1000, "c6": 7}


def test_records_larger_than_a_chunk(lake: Lake) -> None:
    big = "x" * (6 << 20)
    lake.records([{"k": "a", "t": T, "s": big}, {"k": "b", "t": T, "s": "small"}])
    assert [len(r["s"]) for r in lake.rows()] == [len(big), 5]


def test_a_record_beyond_the_limit_is_one_reject(lake: Lake) -> None:
    big = "x" * (40 << 20)
    (reject,) = expect_good(lake, f'{GOOD}\n{{"k":"a","t":1,"s":"{big}"}}\n{MORE}\n', rejected=1)
    assert reject.reason == "JSON: record longer than 16 MB"


def test_every_record_rejected_is_an_error(lake: Lake) -> None:
    with pytest.raises(IngestError, match=r"nothing could be read from .*all 2 records.*line 1, byte 0: not JSON"):
        lake.text("rubbish\nmore\n", format="json")
    assert lake.catalogue.streams() == []


@pytest.mark.parametrize("text", ["", "\n", " \r\n \n", "[]"])
def test_an_empty_input_is_a_source_without_rows(lake: Lake, text: str) -> None:
    assert lake.text(text).rows_read == 0
    assert lake.text(text).sources[0].status == "already ingested"


def test_rejects_are_written_to_the_store(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"line": 2, "byte": len(GOOD) + 1, "reason": "not JSON", "text": "bad line"}
    monkeypatch.setattr(rejects, "KEPT_BYTES", 10_000 * len(json.dumps(listed, separators=(",", ":"))))
    report = lake.text(GOOD + "\n" + "bad line\n" * 10_500)
    (source,) = report.sources
    assert source.reasons == {"not JSON": 10_500}
    assert source.rejects_path is not None
    lines = [json.loads(line) for line in (lake.folder / source.rejects_path).read_text().splitlines()]
    assert lines[0] == listed
    *listed_ones, rest = lines
    assert [line["line"] for line in listed_ones] == list(range(2, len(lines) + 1))
    # Longer numbers of lines and bytes leave room for a few less.
    assert 9_000 < len(listed_ones) < 10_000
    assert rest == {"not_listed": 10_500 - len(listed_ones), "reasons": {"not JSON": 10_500}}
    assert "10,500 x not JSON (first at line 2" in str(report)


def test_binary_rubbish_is_an_error(lake: Lake) -> None:
    with pytest.raises(IngestError, match="is not Arrow IPC, CSV, JSON or Parquet"):
        lake.text(b"\x7fELF\x00\x00\x01\x02" * 100)
    with pytest.raises(IngestError, match=r"is not Arrow IPC, CSV, JSON or Parquet .*--encoding utf-16-le"):
        lake.text(GOOD.encode("utf-16-le"))
