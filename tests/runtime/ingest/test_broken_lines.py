"""A line of JSON is well-formed or rejected as a whole; Python's json decides which."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest.text import json_lines, json_reader
from tests.runtime.ingest.columns.plain_columns import Plain, json_rows
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake
from tests.runtime.ingest.test_taken_rows import cut_into

GOOD = f'{{"k":"a","t":{T},"x":1}}'
MORE = f'{{"k":"b","t":{T},"x":2}}'


@pytest.mark.parametrize(
    "line",
    [
        f'{{"k":"m","t":{T}}}1200000.5 }}',
        f'{{"k":"m","t":{T}}}12',
        f'{{"k":"m","t":{T}}} "more"',
        f'{{"k":"m","t":{T}}}null',
        f"{MORE}{MORE}}}",
        f"{MORE},{MORE}",
        f"{MORE}]",
        f"[{MORE}{MORE}]",
        f"[{MORE},]",
        f"[,{MORE}]",
        f"[{MORE},,{MORE}]",
        f"[{MORE},1x]",
        f'{MORE}{{"k":"a","t":{T},"x":nan}}',
        f'{{"k":"a","t":{T},"x":[1,}}]}}{MORE}',
        f'{MORE}{{"k":"a","t":{T},"x":"\\q"}}',
        f'{MORE}{{"k":"a","t":{T},"x":01}}',
        f'{MORE}{{"k":"a","t":{T},"x":{"[" * 40}{"]" * 40}}}',
        f'{MORE} {{"k":"a","t":{T}',
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_one_reject(lake: Lake, line: str, size: int) -> None:
    with cut_into(size, 3):
        report = lake.text(f"{GOOD}\n{line}\n{MORE}\n")
    assert [r["k"] for r in lake.rows()] == ["a", "b"]
    (reject,) = report.sources[0].examples
    assert (reject.line, reject.byte, report.rejected) == (2, len(GOOD) + 1, 1)
    assert reject.text == line[:200]


@pytest.mark.parametrize(
    ("line", "rejected"),
    [
        (f"{GOOD}{MORE}", 0),
        (f"[{GOOD},{MORE}]", 0),
        (f'{GOOD}{{"k":null,"t":1}}{MORE}', 1),
        (f'[{GOOD},1,"two",[3],{MORE}]', 3),
    ],
)
def test_well_formed_values_are_rejected_one_by_one(lake: Lake, line: str, rejected: int) -> None:
    report = lake.text(line)
    assert [r["x"] for r in lake.rows()] == [1, 2]
    assert report.rejected == rejected


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ('"x":1,"x":2', {}),
        (f'"x":{"9" * 30}', {"x#string": "9" * 30}),
        ('"x":1e999', {"x#string": "1e999"}),
        ('"x":NaN', {}),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_an_odd_field_does_not_cost_its_line(lake: Lake, odd: str, kept: dict[str, Any], size: int) -> None:
    with cut_into(size, 3):
        report = lake.text(f'{GOOD}{{"k":"a","t":1,{odd}}}{MORE}')
    assert (report.committed, report.rejected) == (3, 0)
    assert lake.rows() == [
        {"k": "a", "t": 1000, **kept},
        {"k": "a", "t": T * 1000, "x": 1},
        {"k": "b", "t": T * 1000, "x": 2},
    ]


def test_records_over_several_lines(lake: Lake) -> None:
    pretty = json.dumps(json.loads(MORE), indent=1)
    report = lake.text(f"{GOOD}\n{pretty}{pretty} rubbish\n{pretty}\n")
    # The second touches the line with the rubbish; the line that it shares with the first is well-formed.
    assert [r["x"] for r in lake.rows()] == [1, 2, 2]
    (reject,) = report.sources[0].examples
    assert (reject.line, report.rejected) == (6, 1)


@pytest.mark.parametrize(("size", "rows"), [(100, 10), (100, 100), (7000, 10), (1 << 20, 1 << 15)])
def test_a_line_too_long_to_wait_for(lake: Lake, size: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "MAX_LINE", 1000)
    monkeypatch.setattr(json_lines, "MAX_LINE", 1000)
    line = GOOD * 200
    with cut_into(size, rows):
        assert lake.text(f"{line}\n{MORE}\n{MORE}}}\n").rejected == 1
        assert lake.text(f"[{','.join([GOOD] * 200)}]").rejected == 0
        for broken in (f"{line}rubbish\n", f"[{','.join([GOOD] * 200)}", f"[{','.join([GOOD] * 200)},"):
            with pytest.raises(IngestError, match="line that is too long to be rejected alone"):
                lake.text(MORE + "\n" + broken, stream="broken")
    assert lake.catalogue.streams() == ["s"]


def test_very_many_records_on_one_line(lake: Lake) -> None:
    rows = [{"k": "a", "t": T + i, "x": i} for i in range(120_000)]
    lake.text("[" + ",".join(json.dumps(r) for r in rows) + "]")
    assert [r["x"] for r in lake.rows()] == list(range(120_000))
    report = lake.text(GOOD + "\n" + "".join(json.dumps(r) for r in rows) + "}\n" + MORE, stream="broken")
    assert (report.committed, report.rejected) == (2, 1)


# ---- any lines


pieces = st.sampled_from(
    [
        *[GOOD, MORE] * 4,
        f'{{"k":"c","t":{T},"l":[1,{{"y":2}}]}}',
        f'{{"k":"c","t":{T},"y":"\\u00e9","z":{{"w":1.5e3}}}}',
        f'{{"k":null,"t":{T}}}',
        f'{{"k":"a","t":{T},"x":NaN}}',
        f'{{"k":"a","t":{T},"x":"\\q"}}',
        f'{{"k":"a","t":{T},"y":[1,2,]}}',
        f'{{"k":"a","t":{T},"y":5,"z":{{"w":true "x":3}}}}',
        *[",", "1", "]", "[", "}", "{", '"', " ", "x", "null", "\t"],
    ]
)
lines = st.lists(st.lists(pieces, max_size=5).map("".join), min_size=1, max_size=8)


def records(line: str) -> list[Any] | None:
    """The JSON values of a line, one after the other; None if it is not well-formed, or holds more than records."""
    decoder = json.JSONDecoder()
    out: list[Any] = []
    at = 0
    while at < len(line):
        if line[at] in " \t":
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(line, at)
        except ValueError:
            return None
        if not isinstance(value, dict | list):
            return None
        out += value if isinstance(value, list) else [value]
    return out


def opens(line: str) -> bool:
    """Whether a line may be one of several of an array or a record, which is well-formed only together with others."""
    bare = "".join(line.split('"')[::2])
    return bare.count("[") != bare.count("]") or bare.count("{") != bare.count("}")


def shown(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str(sorted(row.items())) for row in rows)


@given(lines, st.integers(1, 300), st.integers(1, 20))
@example([f"{GOOD}{MORE}}}", MORE], 1, 1)
@example([GOOD, f'{{"k":"c","t":{T},"y":5 "x":3}}', MORE], 1 << 20, 20)
def test_each_line_is_as_python_reads_it(text: list[str], size: int, rows: int) -> None:
    text = [line for line in text if not opens(line) or line.startswith('{"k"')]
    kept: list[Any] = []
    rejected = 0
    for line in text:
        found = records(line)
        good = [] if found is None else [v for v in found if isinstance(v, dict) and v.get("k") is not None]
        kept += good
        rejected += 1 if found is None else len(found) - len(good)
    if any("{" in line and records(line) is None and opens(line) for line in text):
        return  # a record may go on in the next line
    with new_lake() as lake, cut_into(size, rows):
        try:
            report = lake.text("\n".join(text), format="json")
        except IngestError:
            assert not kept
            assert rejected
            return
        assert (report.committed, report.rejected) == (len(kept), rejected)
        plain = Plain()
        plain.take(json_rows([json.dumps(v) for v in kept]))
        assert shown(lake.rows()) == shown(plain.rows)


@given(st.lists(pieces | st.just("\n"), max_size=25).map("".join), st.integers(1, 200), st.integers(1, 9))
@example("[\n", 1, 1)
@example(f"[\n\n{GOOD}\n\n\n", 1, 1)
def test_the_cut_does_not_matter(text: str, size: int, rows: int) -> None:
    def answer() -> Any:
        with new_lake() as lake:
            try:
                report = lake.text(text, format="json")
            except IngestError as error:
                return str(error).split(" (is this machine")[0]
            return lake.rows(), report.reasons, report.sources[0].examples

    whole = answer()
    with cut_into(size, rows):
        assert answer() == whole
