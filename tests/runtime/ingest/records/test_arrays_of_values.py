"""Documents of arrays: ``names`` for records that are arrays, ``columnar`` for one array per column."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.records.pieces import in_any_pieces
from tests.runtime.ingest.records.test_documents import taken

# ---- arrays of arrays


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('[["a",1,true],["b",2,null]]', {}),
        ('["a",1,true]\n["b",2,null]', {}),
        ('["a",1,true]["b",2,null]', {}),
        ('{"rows":[["a",1,true],["b",2,null]]}', {"records": "rows"}),
        ('{"columns":["k","t","v"],"rows":[["a",1,true],["b",2,null]]}', {"records": "rows", "names": None}),
        ('[{"k":"a","t":1,"v":true},["b",2,null]]', {}),
    ],
)
def test_names_for_arrays(text: str, options: dict[str, Any]) -> None:
    rows, rejects = in_any_pieces(lambda: taken(text, **{"names": "k,t,v", **options}))
    assert rows == [{"k": "a", "t": 1000, "v": True}, {"k": "b", "t": 2000}]
    assert rejects == []


def test_an_array_of_another_length_is_rejected() -> None:
    rows, rejects = in_any_pieces(lambda: taken('[["a",1],\n["b",2,3],\n{"k":"c"},\n4]', names="k,t"))
    assert [r["k"] for r in rows] == ["a"]
    assert [r[:3] for r in rejects] == [
        (2, 10, "JSON: 3 values for the 2 names of the columns (--names)"),
        (3, 21, "time: column t is missing or null"),
        (4, 32, "JSON: 1 values for the 2 names of the columns (--names)"),
    ]


def test_scalars_with_one_name(lake: Lake) -> None:
    lake.text('{"k":"a","times":[1,2]}', records="times", names="t")
    assert lake.rows() == [{"k": "a", "t": 1000}, {"k": "a", "t": 2000}]


# ---- columnar


def test_columnar() -> None:
    text = '{"k":"a","u":{"t":"ms"},"d":{"t":[1,2],"x":{"y":[1.5,null]},"n":3,"z":["p",[1]]}}'
    rows, rejects = in_any_pieces(lambda: taken(text, columnar="d"))
    assert rows == [
        {"k": "a", "t": 1000, "x.y": 1.5, "d.n": 3, "z": "p", "u.t": "ms"},
        {"k": "a", "t": 2000, "d.n": 3, "z": "[1]", "u.t": "ms"},
    ]
    assert rejects == []


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('{"k":["a","b"],"t":[1,2],"n":7}', {"columnar": "."}),
        ('{"k":["a"],"t":[1],"n":7}{"k":["b"],"t":[2],"n":7}', {"columnar": "."}),
        ('{"n":7,"f":[{"d":[["a"],[1]]},{"d":[["b"],[2]]}]}', {"columnar": "f.d", "names": "k,t"}),
        (
            '{"n":7,"f":[{"d":[["a"],[1]],"columns":["k","t"]},{"d":[["b"],[2]],"columns":["k","t"]}]}',
            {"columnar": "f.d"},
        ),
    ],
)
def test_columnar_shapes(text: str, options: dict[str, Any]) -> None:
    rows, rejects = in_any_pieces(lambda: taken(text, **options))
    assert rows == [{"k": "a", "t": 1000, "n": 7}, {"k": "b", "t": 2000, "n": 7}]
    assert rejects == []


def test_a_record_of_columns_is_rejected_at_its_time() -> None:
    rows, rejects = in_any_pieces(lambda: taken('{"k":["a",null,"c"],\n"t":[1,2,\n3],"x":[1,2,tru]}', columnar="."))
    assert [r["k"] for r in rows] == ["a"]
    assert sorted(rejects) == [(2, 28, "key: column k is missing or null", "2"), (3, 31, "JSON: expecting value", "3")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"d":{"k":["a"],"t":[1,2]}}', "the arrays in d are not of one length: k has 1, t has 2"),
        ('{"d":{"k":"a"}}', "there is no array in d"),
        ('{"d":5}', "d is neither an object nor an array of arrays"),
        ('{"d":[["a"],[1]]}', r"d has 2 columns, and no names \(--names\)"),
        ('{"d":[{"k":["a"]}]}', r"d has 1 columns, and no names"),
        ('{"e":{}}', "there is no d; the document has e"),
    ],
)
def test_columns_that_do_not_fit_are_an_error(lake: Lake, text: str, reason: str) -> None:
    with pytest.raises(IngestError, match=reason):
        lake.text(text, columnar="d")


def test_many_rows_in_columns(lake: Lake) -> None:
    n = 5000
    lake.text(json.dumps({"k": ["a"] * n, "t": list(range(T, T + n)), "x": list(range(n))}), columnar=".")
    assert [r["x"] for r in lake.rows()] == list(range(n))
