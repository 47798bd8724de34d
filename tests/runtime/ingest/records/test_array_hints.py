"""Where the records are inside of a document, an error says by which option they are found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import IngestError
from runtime.ingest.records.array_hints import array_hints
from tests.runtime.ingest.lake import Lake, T

KEY_AND_TIME = [["k"], ["t"]]
ROW = {"k": "a", "t": T}
DOCUMENTS: dict[str, tuple[Any, list[str]]] = {
    "an array": ({"Records": [ROW, ROW]}, ["--records Records"]),
    "deeper": ({"data": {"a": [1], "stations": [ROW]}}, ["--records data.stations"]),
    "the key beside it": ({"k": "a", "e": [{"t": T}], "other": [{"x": 1}]}, ["--records e"]),
    "the key after it": ({"e": [{"t": T}], "k": "a"}, ["--records e"]),
    "an array in an array": ({"a": [{"b": [ROW]}]}, ["--records a.b"]),
    "documents in an array": ([{"b": [ROW]}], ["--records b"]),
    "two": ({"a": [ROW], "b": [ROW]}, ["--records a", "--records b"]),
    "nested names": ({"a": [{"k": {"x": 1}}]}, []),
    "an array per column": ({"k": "a", "hourly": {"t": [T], "x": [1.5]}}, ["--columnar hourly"]),
    "an array per column at the top": ({"k": ["a"], "t": [T]}, ["--columnar ."]),
    "arrays of values": ([["a", T]], ["--names A,B"]),
    "arrays of values deeper": ({"d": [["a", T]]}, ["--records d --names A,B"]),
    "nothing": ({"x": [{"y": 1}], "z": []}, []),
    "no object": (17, []),
}


@pytest.mark.parametrize("what", DOCUMENTS)
@pytest.mark.parametrize("indent", [None, 2])
def test_hints(what: str, indent: int | None) -> None:
    document, expected = DOCUMENTS[what]
    assert array_hints(json.dumps(document, indent=indent).encode(), KEY_AND_TIME) == expected


def test_hints_in_the_beginning_of_a_large_document() -> None:
    text = json.dumps({"k": "x", "data": {"other": [1, 2], "stations": [ROW] * 1000}}).encode()
    for end in range(len(text[: text.index(b"}") + 1]), 200):
        assert array_hints(text[:end], KEY_AND_TIME) == ["--records data.stations"]
    for end in range(60):
        array_hints(text[:end], KEY_AND_TIME)  # never fails


def test_hints_for_other_keys() -> None:
    text = json.dumps({"site": 1, "e": [{"a": 1, "b": 2, "t": T}]}).encode()
    for needed in ([["t"]], [["a"], ["t"]], [["x", "a"], ["t"]], [["a"], ["b"], ["t"]], [["site"], ["a"], ["t"]]):
        assert array_hints(text, needed) == ["--records e"], needed
    assert array_hints(text, [["a"], ["x"], ["t"]]) == []


@pytest.mark.parametrize("rejected", ["", "[1,2]\n", '{"x":1}\n'])
def test_the_error_names_the_option(lake: Lake, rejected: str) -> None:
    text = json.dumps({"Records": [ROW]}) + "\n" + rejected
    with pytest.raises(IngestError, match=r"no record of input 1 has 'k' and 't' .* try --records Records\. Nothing"):
        lake.text(text)


def test_no_hint_where_a_record_was_taken(lake: Lake) -> None:
    assert lake.text(f'{{"Records":[{json.dumps(ROW)}]}}\n{json.dumps(ROW)}\n').rejected == 1


def test_no_hint_where_another_thing_is_wrong(lake: Lake) -> None:
    with pytest.raises(IngestError, match="time: column t is before 1970"):
        lake.text('{"k":"a","t":-5,"x":[]}')
