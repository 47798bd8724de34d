"""logfmt: what is written comes back; what does not fit is rejected with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.ingest.formats.test_web_logs import taken
from tests.runtime.ingest.lake import T
from tests.runtime.ingest.records.pieces import in_any_pieces, in_pieces, is_text
from tests.runtime.ingest.test_properties import exactly

US = T * 1000
OPTIONS: dict[str, Any] = {"key": "k", "unit": "ms"}
HEAD = f"k=a time={T}"

LINES: dict[str, dict[str, Any]] = {
    f"{HEAD} level=info msg=\"all 'good'\" n=200 f=1.5 b=true c=false": {
        "level": "info",
        "msg": "all 'good'",
        "n": 200,
        "f": 1.5,
        "b": True,
        "c": False,
    },
    f'{HEAD} q="a \\"b\\" \\\\ \\n \\u00e9"': {"q": 'a "b" \\ \n é'},
    f'  {HEAD}\tempty= quoted="" flag last': {"flag": True, "last": True},
    f"{HEAD} url=/a?b=c&d=e x.y=1": {"url": "/a?b=c&d=e", "x.y": 1},
    f"{HEAD} v=1 v=2 v=3": {"v": 1, "v_2": 2, "v_3": 3},
    f"{HEAD} v=007 w=+1 x=0x10 y=-0.5e3": {"v": "007", "w": "+1", "x": "0x10", "y": -500.0},
}


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str) -> None:
    assert in_any_pieces(lambda: taken(f"{line}\r\n\n", "logfmt", **OPTIONS)) == (
        [{"k": "a", "t": US, **LINES[line]}],
        [],
    )


BROKEN = {
    "nothing here": "logfmt: no key=value in the line",
    f'{HEAD} msg="open': "logfmt: no key=value at character 23",
    f'{HEAD} msg="a"b': "logfmt: no key=value at character 23",
    f'{HEAD} a"b=1': "logfmt: no key=value at character 23",
    f"{HEAD} =1": "logfmt: no key=value at character 23",
    f'{HEAD} x="\\q"': "logfmt: an escape in a quoted value that is none of JSON's",
    f"time={T}": "key: column k is missing or null",
}


@pytest.mark.parametrize("line", BROKEN)
def test_what_does_not_fit_is_rejected(line: str) -> None:
    rows, rejects = in_any_pieces(lambda: taken(f"{HEAD} n=1\n{line}\n{HEAD} n=2\n", "logfmt", **OPTIONS))
    assert [r["n"] for r in rows] == [1, 2]
    assert rejects == [(2, 27, BROKEN[line], line)]


keys = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters='"='), min_size=1, max_size=4)
VALUES = {
    "n": (st.integers(-(2**63), 2**63 - 1), str),
    "f": (st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: f != int(f)), repr),
    "b": (st.booleans(), lambda v: str(v).lower()),
    "s": (st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(is_text), json.dumps),
    "u": (
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(is_text),
        lambda v: json.dumps(v, ensure_ascii=False),
    ),
    "w": (st.text("abc%/?", min_size=1).filter(is_text), str),
}


@given(
    st.lists(st.fixed_dictionaries({}, optional={n: v for n, (v, _) in VALUES.items()}), min_size=1, max_size=8),
    st.dictionaries(st.sampled_from(sorted(VALUES)), keys.filter(lambda k: k not in ("k", "t", "time"))),
    st.integers(1, 100),
)
def test_logfmt_comes_back(rows: list[dict[str, Any]], called: dict[str, str], size: int) -> None:
    called = {n: called.get(n, n) for n in VALUES}
    if len(set(called.values())) < len(called):
        called = {n: n for n in VALUES}
    lines = [
        " ".join([f"k=a time={T + at}", *(f"{called[n]}={VALUES[n][1](v)}" for n, v in row.items())])
        for at, row in enumerate(rows)
    ]
    with in_pieces(size):
        found, rejects = taken("\n".join(lines), "logfmt", **OPTIONS)
    assert rejects == []
    assert exactly(found) == exactly(
        [{"k": "a", "t": (T + at) * 1000, **{called[n]: v for n, v in row.items()}} for at, row in enumerate(rows)]
    )
