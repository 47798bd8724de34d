"""Ingest round trip in every framing; no bytes crash ingest."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import IngestError
from tests.runtime.ingest.columns.plain_columns import MISSING
from tests.runtime.ingest.lake import Lake, T

DAY_MS = 86_400_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = {
    "b": st.booleans(),
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True),
    "s": texts,
    "déjà vu": texts,
}
records = st.lists(
    st.fixed_dictionaries(
        {"k": texts, "t": st.integers(T - 3 * DAY_MS, T)}, optional={n: st.none() | v for n, v in values.items()}
    ),
    min_size=1,
    max_size=30,
)


@contextmanager
def new_lake() -> Iterator[Lake]:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        try:
            yield lake
        finally:
            lake.catalogue.close()


def ndjson(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(r) for r in rows)


FRAMINGS = {
    "ndjson": ndjson,
    "crlf": lambda rows: "\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\r\n",
    "array": json.dumps,
    "pretty array": lambda rows: json.dumps(rows, indent=1),
    "concatenated": lambda rows: "".join(json.dumps(r, separators=(",", ":")) for r in rows),
    "pretty": lambda rows: "\n".join(json.dumps(r, indent=2, ensure_ascii=False) for r in rows),
    "gzip": lambda rows: gzip.compress(ndjson(rows).encode()),
    "zstd": lambda rows: zstandard.compress(ndjson(rows).encode()),
}


def expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A column in which every text may stand for a missing value has no values yet."""
    reported = {
        n for r in rows for n, v in r.items() if v is not None and not (type(v) is str and v.lower() in MISSING)
    }
    kept = [{n: v for n, v in r.items() if v is not None and n in reported} for r in rows]
    kept = [k | {"k": r["k"], "t": r["t"] * 1000} for k, r in zip(kept, rows, strict=True)]
    return sorted(kept, key=lambda r: (r["k"], r["t"]))


def exactly(rows: list[dict[str, Any]]) -> list[Any]:
    """With types and signs of zero, which == passes over."""
    return [sorted((n, repr(v)) for n, v in r.items()) for r in rows]


@given(records, st.sampled_from(sorted(FRAMINGS)), st.integers(1, 40))
def test_json_comes_back(rows: list[dict[str, Any]], framing: str, memory_rows: int) -> None:
    with new_lake() as lake:
        # An empty key is a missing one.
        report = lake.text(FRAMINGS[framing](rows), memory_rows=memory_rows, missing_key="none")
        assert report.rejected == 0
        assert exactly(lake.rows()) == exactly(expected([row | {"k": row["k"] or "none"} for row in rows]))


@given(records)
def test_csv_comes_back(rows: list[dict[str, Any]]) -> None:
    names = ["k", "t", *values]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = [row.get(n) for n in names]
        writer.writerow(["" if c is None else str(c).lower() if isinstance(c, bool) else c for c in cells])
    with new_lake() as lake:
        assert lake.text(out.getvalue(), missing_key="none", format="csv").rejected == 0
        found = lake.rows()
        types = lake.columns()
    shown: list[dict[str, Any]] = []
    for row in rows:
        kept = {n: v for n, v in row.items() if v not in (None, "") or isinstance(v, bool)}
        shown.append(kept | {"k": row["k"] or "none", "t": row["t"] * 1000})
    shown.sort(key=lambda r: (r["k"], r["t"]))
    assert len(found) == len(shown)
    for name in ("i", "f", "b"):
        assert [r.get(name) for r in found] == [r.get(name) for r in shown]
    for name in ("s", "déjà vu"):  # texts that all look like numbers are numbers
        if types.get(name) == "string":
            assert [r.get(name) for r in found] == [r.get(name) for r in shown]


tokens = st.sampled_from(
    [
        *('{"k":"a","t":1}', '{"k":"a","t":1,"x":', '"x":1', '{"k":', '"t":5', "{", "}", "[", "]", ",", ":", '"', "\\"),
        *(
            "\n",
            "\r\n",
            " ",
            "null",
            "true",
            "1",
            "-",
            "1.5e3",
            "NaN",
            "\ufeff",
            "é",
            "\x00",
            "\ud800",
            "k,t\n",
            "a,1\n",
            ";",
        ),
    ]
)
rubbish = (
    st.binary(max_size=200)
    | st.lists(tokens, max_size=40).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
    | st.lists(tokens, max_size=40).map(lambda parts: b'{"k":"a","t":1}\n' + "".join(parts).encode("utf-8", "replace"))
)


@given(rubbish, st.sampled_from(["auto", "json", "csv", "parquet"]))
@example(b'{"k":"a","t":1}' + b"[" * 5000, "json")
@example(b'k,t\n"', "csv")
@example(b"", "csv")
@example(b"\x1f\x8b", "auto")
@example(b"\x28\xb5\x2f\xfd", "auto")
def test_no_bytes_bring_it_down(data: bytes, format_: str) -> None:
    with new_lake() as lake:
        try:
            lake.text(data, format=format_)  # checks that in = committed + rejected + dropped
        except IngestError:
            assert lake.catalogue.streams() == []
        else:
            lake.rows()


@given(records, st.data())
def test_a_damaged_line_costs_only_itself(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    rows = [row | {"k": row["k"] or "none"} for row in rows]
    lines = [json.dumps(r) for r in rows]
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at].encode()
    cut = data.draw(st.integers(0, len(line) - 1))
    junk = data.draw(st.binary(max_size=5).filter(lambda b: b"\n" not in b))
    damaged = line[:cut] + junk
    text = b"\n".join([*(x.encode() for x in lines[:at]), damaged, *(x.encode() for x in lines[at + 1 :])])
    others = rows[:at] + rows[at + 1 :]
    with new_lake() as lake:
        try:
            report = lake.text(text, format="json")
        except IngestError:
            assert not others
            return
        found = exactly(lake.rows())
        if report.committed == len(others):  # else the damaged line is a record of its own
            assert found == exactly(expected(others))
        else:
            assert report.committed > len(others)


@pytest.mark.parametrize("size", range(1, 60))
def test_chunk_ends_fall_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tiny chunks, every byte of the text is once the last of a chunk."""
    monkeypatch.setattr("runtime.ingest.inputs.byte_stream._READ", size)
    more = "runtime.ingest.inputs.byte_stream.Text.more"
    from runtime.ingest.inputs.byte_stream import Text

    real = Text.more
    monkeypatch.setattr(more, lambda self, keep, size_=size: real(self, keep, size_))
    rows = [{"k": f"é{i}", "t": T + i, "x": {"y": [i, 'ü\\"'], "z": i / 7}, "b": None} for i in range(20)]
    with new_lake() as lake:
        assert lake.text("\r\n".join(json.dumps(r, ensure_ascii=i % 2 == 0) for i, r in enumerate(rows))).rejected == 0
        assert [r["x.z"] for r in sorted(lake.rows(), key=lambda r: r["t"])] == [i / 7 for i in range(20)]
        body = "".join(f'"k""{i}",{T + i},"é\n{i}"\r\n' for i in range(20))
        assert lake.text("k,t,s\n" + body, stream="c").rejected == 0
        assert [r["s"] for r in sorted(lake.rows("c"), key=lambda r: r["t"])] == [f"é\n{i}" for i in range(20)]


@given(
    st.lists(
        st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
        min_size=1,
        max_size=40,
    )
)
@example(
    [
        "9007199254740993e22",
        "9007199254740993.0",
        "123456789012345678e-5",
        "1e23",
        "8.5e-23",
        "4.35e17",
        "80406916478528393e-15",
    ]
)
def test_decimals_are_rounded_as_python_does(numbers: list[str]) -> None:
    numbers = [n if "." in n or "e" in n.lower() else n + ".0" for n in numbers]
    with new_lake() as lake:
        lake.text("".join(f'{{"k":"a","t":{T + i},"x":{n}}}' for i, n in enumerate(numbers)))
        assert [repr(r["x"]) for r in lake.rows()] == [repr(float(n)) for n in numbers]
        lake.text("k,t,x\n" + "".join(f"a,{T + i},{n}\n" for i, n in enumerate(numbers)), stream="c")
        assert [repr(r["x"]) for r in lake.rows("c")] == [repr(float(n)) for n in numbers]
