"""Records inside of JSON documents: ``records``; what is broken, and where."""

from __future__ import annotations

import gzip
import io
import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runtime
from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.records import json_documents
from runtime.ingest.records.json_documents import JsonDocuments
from runtime.ingest.records.record_cells import RecordCells
from runtime.ingest.records.record_paths import RecordArrays
from runtime.ingest.text.column_names import Names
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.records.pieces import in_any_pieces, in_pieces, is_text, plain
from tests.runtime.ingest.test_properties import exactly, new_lake

US = T * 1000


def taken(text: str | bytes, **options: Any) -> tuple[list[dict[str, Any]], list[tuple[int, int, str, str]]]:
    """The rows, and line, byte, reason and text of the rejects."""
    with new_lake() as lake:
        report = lake.text(text, format="json", **options)
        return lake.rows(), [(r.line, r.byte, r.reason, r.text) for r in report.sources[0].examples]


def test_what_stands_beside_the_array_is_kept() -> None:
    text = json.dumps(
        {
            "version": 2,
            "k": "beside",
            "data": {
                "place": {"id": 7, "x": None},
                "items": [{"k": "a", "t": T, "version": 3}, {"t": T}],
                "all": [1, 2],
            },
            "after": "z",
        }
    )
    rows, rejects = in_any_pieces(lambda: taken(text, records="data.items"))
    common = {"data.place.id": 7, "data.all": "[1,2]", "after": "z", "t": US}
    assert rows == [{"k": "a", "version": 3, **common}, {"k": "beside", "version": 2, **common}]
    assert rejects == []


@pytest.mark.parametrize("between", ["", "\n", " \n\n", "\x1e"])
def test_several_documents(between: str) -> None:
    text = between.join(json.dumps({"g": n, "e": [{"k": f"{n}{m}", "t": T} for m in range(n)]}) for n in range(4))
    rows, rejects = in_any_pieces(lambda: taken(text, records="e"))
    assert [(r["k"], r["g"]) for r in rows] == [(f"{n}{m}", n) for n in range(4) for m in range(n)]
    assert rejects == []


def test_an_array_on_the_way_stands_for_its_elements() -> None:
    text = '[{"a":[{"n":1,"e":[{"k":"x","t":1}]},{"n":2,"e":[{"k":"y","t":1}]},{"n":3}]},{"a":null}]'
    rows, rejects = in_any_pieces(lambda: taken(text, records="a.e"))
    assert rows == [{"k": "x", "t": 1000, "a.n": 1}, {"k": "y", "t": 1000, "a.n": 2}]
    assert rejects == [(1, 67, "JSON: there is no a.e; a has n", '{"n":3}')]


def test_each_value_of_an_object(lake: Lake) -> None:
    """Objects and elements of arrays are records; the name is beside them, unless they have a field called so."""
    text = '{"v":2,"of":{"a":{"k":"x","t":1},"b":[{"k":"y","t":1},{"k":"z","t":1}],"c":7,"d":null,'
    text += '"e":{"k":"u","t":1,"of.key":"own"}}}'
    rows, rejects = in_any_pieces(lambda: taken(text, records="of.*"))
    assert rows == [
        {"k": "u", "t": 1000, "v": 2, "of.key": "own"},
        *({"k": k, "t": 1000, "v": 2, "of.key": key} for k, key in (("x", "a"), ("y", "b"), ("z", "b"))),
    ]
    assert rejects == [(1, text.index("7,"), "JSON: not an object", "7")]


def test_what_is_below_each_value_of_an_object() -> None:
    text = '{"a":{"n":1,"e":[{"k":"x","t":1}]},"b":{"n":2},"*":{"e":[]}}'
    rows, rejects = in_any_pieces(lambda: taken(text.replace('"*"', '"d"'), records="*.e"))
    assert rows == [{"k": "x", "t": 1000, "key": "a", "*.n": 1}]
    assert [(reason, text) for _, _, reason, text in rejects] == [("JSON: there is no *.e; * has n", '{"n":2}')]
    assert taken(text, records="*.e") == ([], [])  # an object that has such a name


@pytest.mark.parametrize("name", ["a", "jobs"])
def test_the_option_for_values_of_an_object_is_named(lake: Lake, name: str) -> None:
    records = {str(n): {"k": f"d{n % 2}", "t": T + n} for n in range(6)}
    document, path = (records, "'*'") if name == "a" else ({"n": 6, name: records}, "'jobs.*'")
    with pytest.raises(IngestError, match=re.escape(f"--records {path}")):
        lake.records([document])
    assert f"--records {path}" in runtime.preview(io.BytesIO(json.dumps(document).encode())).inside
    report = lake.text(json.dumps(document), records=path.strip("'"))
    assert (report.committed, report.rejected) == (6, 0)


def test_a_name_with_a_dot_is_found() -> None:
    assert taken('{"a.b":{"c":[{"k":"x","t":1}]}}', records="a.b.c")[0] == [{"k": "x", "t": 1000}]


def test_an_empty_or_missing_list_has_no_records() -> None:
    text = '{"e":[]}\n{"e":null}\n{"e":[{"k":"x","t":1}]}\n'
    assert in_any_pieces(lambda: taken(text, records="e")) == ([{"k": "x", "t": 1000}], [])


# What is wrong inside of a document, and its reject: line, byte, reason and text.
BROKEN = {
    '{"e":[\n{"k":"a","t":1},\n{"k":"b","t":1,"x":tru},\n{"k":"c","t":1}\n]}': (
        3,
        24,
        "JSON: expecting value",
        '{"k":"b","t":1,"x":tru}',
    ),
    '{"e":[\n{"k":"a","t":1},\n17,\n{"k":"c","t":1}\n]}': (3, 24, "JSON: not an object", "17"),
    '{"e":[\n{"k":"a","t":1},\n{"t":1},\n{"k":"c","t":1}\n]}': (3, 24, "key: column k is missing or null", '{"t":1}'),
    '{"e":[\n{"k":"a","t":1},\n{"k":"c","t":1},\n]}': (3, 39, "JSON: expecting value", ",\n]"),
    '{"e":[\n{"k":"a","t":1},\n{"k":"c","t":1}\n]}\n{"f":[]}': (
        5,
        43,
        "JSON: there is no e; the document has f",
        '{"f":[]}',
    ),
    '{"e":[\n{"k":"a","t":1},\n{"k":"c","t":1}\n]}\n{"e":{}}': (
        5,
        43,
        "JSON: e is an object, not an array of records",
        '{"e":{}}',
    ),
    '{"e":[\n{"k":"a","t":1},\n{"k":"c","t":1}\n]}\n{"e":[{"k":"b"': (
        5,
        43,
        "JSON: cut off in the middle of a document",
        '{"e":[{"k":"b"',
    ),
    '{"e":[{"k":"a","t":1}]}\n{"e":[{"k":"b" "t":1}]}\n{"e":[{"k":"c","t":1}]}': (
        2,
        24,
        "JSON: the document is malformed at its byte 15",
        '{"e":[{"k":"b" "t":1}]}',
    ),
    '{"e":[{"k":"a","t":1}]}\nrubbish\n{"e":[{"k":"c","t":1}]}': (2, 24, "not JSON", "rubbish"),
    '{"e":[{"k":"a","t":1}]}\n{"x":1,"x":2,"e":[{"k":"b","t":1}]}\n{"e":[{"k":"c","t":1}]}': (
        2,
        24,
        "JSON: a name occurs twice in one object",
        '{"x":1,"x":2,"e":[{"k":"b","t":1}]}',
    ),
    '{"e":[{"k":"a","t":1}]}\n{"x":+1,"e":[{"k":"b","t":1}]}\n{"e":[{"k":"c","t":1}]}': (
        2,
        24,
        "JSON: expecting value",
        '{"x":+1,"e":[{"k":"b","t":1}]}',
    ),
    '{\n "e":[{"k":"a","t":1}]\n}\n{\n "e":[{"k":"b""t":1}]\n}\n{\n "e":[{"k":"c","t":1}]\n}': (
        4,
        27,
        "JSON: the document is malformed at its byte 16",
        '{\n "e":[{"k":"b""t":1}]\n}',
    ),
}


@pytest.mark.parametrize(("text", "reject"), BROKEN.items())
def test_what_is_broken_is_rejected_alone(text: str, reject: tuple[int, int, str, str]) -> None:
    rows, rejects = in_any_pieces(lambda: taken(text, records="e"))
    assert [r["k"] for r in rows] == ["a", "c"]
    assert rejects == [reject]


def test_not_utf8() -> None:
    text = b'{"e":[{"k":"a","t":1},{"k":"\xff","t":1},{"k":"\xc3\xa9","t":1}]}'
    rows, rejects = in_any_pieces(lambda: taken(text, records="e"))
    assert [r["k"] for r in rows] == ["a", "é"]
    assert [r[:3] for r in rejects] == [(1, 22, "JSON: not UTF-8")]


def test_a_large_value_beside_the_records_is_not_repeated(lake: Lake) -> None:
    text = json.dumps({"other": list(range(30_000)), "e": [{"k": "a", "t": T}]})
    with pytest.raises(IngestError, match=r"other stands beside e, and its 198,890 bytes .*\(--drop other\)"):
        lake.text(text, records="e")
    lake.text(text, records="e", drop="oth*")
    assert [r["k"] for r in lake.rows()] == ["a"]


def test_a_document_over_the_limit(monkeypatch: pytest.MonkeyPatch, lake: Lake) -> None:
    monkeypatch.setattr(json_documents, "MAX_DOCUMENT", 1000)
    small = json.dumps({"e": [{"k": "a", "t": T}]})
    large = json.dumps({"e": [{"k": "a", "t": T, "x": "x" * 2000}]})
    with in_pieces(100), pytest.raises(IngestError, match="the JSON document at byte 40 is larger than 0 MB"):
        lake.text(f"{small}\n{large}", records="e", format="json")
    assert lake.text(gzip.compress(f"{small}\n".encode() * 1000), records="e").rejected == 0


def test_a_large_document_costs_little_more_than_its_text() -> None:
    """Its records are read one by one: as Python objects they would be some twenty times as large as their text."""
    record = json.dumps({"k": "a", "t": T, "x": {"y": [{}] * 50}}, separators=(",", ":"))

    def read(records: int) -> int:
        text = ('{"e":[' + ",".join([record] * records) + "]}").encode()
        source = Text(iter([text[at : at + 100_000] for at in range(0, len(text), 100_000)]))
        source.more(0)
        cells = RecordCells(Names(("k", "t")))
        windows = JsonDocuments(source, RecordArrays("e"), "here")
        assert records == sum(len(part) for window, items in windows for part in cells.batches(window, items))
        return len(text)

    read(10)
    tracemalloc.start()
    size = read(3000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * size


# ---- read back

names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="."), min_size=1, max_size=4)
TYPES = {
    "s": st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(is_text),
    "n": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "b": st.booleans(),
    "o": st.fixed_dictionaries({}, optional={"p": st.integers(0, 9), "q": st.lists(st.integers(0, 9), max_size=2)}),
}
record = st.fixed_dictionaries(
    {"k": st.text("ab", min_size=1), "t": st.integers(0, T)}, optional={n: st.none() | v for n, v in TYPES.items()}
)
FRAMES = {
    "one line": lambda d: json.dumps(d),
    "pretty": lambda d: json.dumps(d, indent=2, ensure_ascii=False),
    "compact": lambda d: json.dumps(d, separators=(",", ":")),
}


def flat(prefix: str, value: dict[str, Any]) -> dict[str, Any]:
    """The expected columns of an object."""
    out: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            out |= flat(f"{prefix}{name}.", inner)
        else:
            out[f"{prefix}{name}"] = json.dumps(inner, separators=(",", ":")) if isinstance(inner, list) else inner
    return out


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("lmn"), st.integers(), max_size=2), st.lists(record, max_size=4)),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(sorted(FRAMES)),
    st.sampled_from(["", "\n", "  \r\n"]),
    st.integers(1, 50),
    st.data(),
)
def test_documents_come_back(
    documents: list[tuple[dict[str, int], list[dict[str, Any]]]],
    frame: str,
    between: str,
    size: int,
    data: st.DataObject,
) -> None:
    path = data.draw(st.lists(names, min_size=1, max_size=3))
    made, expected = [], []
    for beside, records in documents:
        beside = {f"{n}!": v % 2**63 for n, v in beside.items()}
        document: Any = records
        for name in reversed(path):
            document = {**beside, name: document}
        made.append(FRAMES[frame](document))
        kept = {f"{'.'.join([*path[:n], name])}": v for n in range(len(path)) for name, v in beside.items()}
        for r in records:
            whole = {n: v for n, v in {**kept, **flat("", r)}.items() if v is not None}
            expected.append({**whole, "t": r["t"] * 1000})
    with new_lake() as lake, in_pieces(size):
        report = lake.text(between.join(made), records=".".join(path), format="json")
        assert report.rejected == 0
        found = lake.rows()
    order = lambda r: sorted((n, repr(v)) for n, v in r.items())  # noqa: E731
    assert sorted(exactly(found)) == sorted(exactly(expected))
    assert len(found) == len(expected)
    assert sorted(map(order, found)) == sorted(map(order, expected))


def test_cells_are_the_same_however_batches_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches: rows, names that are forgotten, and texts keep their places."""
    rows = [{"k": f"k{n % 3}", "t": n, f"c{n % 40}": "x" * (n % 7), "d": n / 4} for n in range(500)]
    text = json.dumps({"e": rows}).encode()

    def read() -> list[dict[str, Any]]:
        source = Text(iter([text]))
        source.more(0)
        cells = RecordCells(Names(("k", "t")))
        reader = JsonDocuments(source, RecordArrays("e"), "here")
        parts = []
        for window, items in reader:
            for part in cells.batches(window, items):
                for start, end in zip(part.start.tolist(), part.end.tolist(), strict=True):
                    parts.append(json.loads(part.data[start:end].tobytes()))
                yield_rows.extend(plain([part]))
        return parts

    for most, nodes in ((1 << 14, 4096), (7, 4096), (64, 12), (1, 5)):
        monkeypatch.setattr("runtime.ingest.records.record_cells._ROWS", most)
        monkeypatch.setattr("runtime.ingest.records.record_cells.MAX_NODES", nodes)
        yield_rows: list[dict[str, Any]] = []
        assert read() == rows
        assert yield_rows == [{n: v for n, v in r.items() if v is not None} for r in rows]


def test_more_names_than_are_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ingest.records.record_cells.MAX_NODES", 6)
    text = '{"e":[{"k":"a","t":1,"a":1,"b":1},{"k":"b","t":1,"a":1,"b":2,"c":3,"d":4,"e":5},{"k":"c","t":1,"x":1}]}'
    rows, rejects = taken(text, records="e")
    assert rows == [
        {"k": "a", "t": 1000, "a": 1, "b": 1},
        {"k": "b", "t": 1000, "a": 1, "b": 2, "c": 3, "d": 4},
        {"k": "c", "t": 1000, "x": 1},
    ]
    assert rejects == []


def test_names_patterns_and_depth() -> None:
    text = '{"v":1,"w":2,"e":[{"k":"a","t":1,"x":{"y":{"z":5}},"gone":1,"n":7}]}'
    rows, rejects = taken(text, records="e", drop="g*,w", rename={"n": "m", "v": "version"}, depth=2)
    assert rows == [{"k": "a", "t": 1000, "x.y": '{"z":5}', "m": 7, "version": 1}]
    assert rejects == []


def test_a_name_that_no_column_can_have_costs_its_field() -> None:
    text = '{"":1,"p":{"":2},"e":[{"k":"a","t":1,"":3,"x":4},{"k":"b","t":1,"x":5}]}'
    with new_lake() as lake:
        report = lake.text(text, format="json", records="e")
        assert [(r["k"], r["x"]) for r in lake.rows()] == [("a", 4), ("b", 5)]
        assert report.sources[0].left_out == {"a field has no name": 5}
