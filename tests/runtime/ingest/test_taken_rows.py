"""Only accepted rows decide types: a rejected row leaves no trace in the schema.

The reference implementation goes row by row, in plain Python; ingest judges batches, wherever the text is cut.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.types import Type
from runtime.catalogue import StreamSchema
from runtime.errors import IngestError
from runtime.ingest.columns import column_types, samples
from runtime.ingest.inputs import byte_stream
from runtime.ingest.text import json_reader
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake

EXACT = 2**53
FUTURE = 32_503_680_000_000  # the year 3000, in milliseconds


@contextmanager
def cut_into(size: int, rows: int, sample: int = 1 << 16) -> Iterator[None]:
    """Chunks of ``size`` bytes, batches of ``rows`` rows, samples of ``sample`` rows."""
    real = byte_stream.Text.more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_stream, "_READ", size)
        patch.setattr(byte_stream.Text, "more", lambda self, keep, size_=size: real(self, keep, size_))
        patch.setattr(json_reader, "_MAX_ROWS", rows)
        patch.setattr(json_reader, "_CELLS", 64 * rows)
        patch.setattr(samples, "SAMPLE_ROWS", sample)
        yield


cuts = st.tuples(st.integers(1, 400), st.integers(1, 40))


# ---- answers that are known


def test_a_row_that_is_rejected_does_not_settle_a_column(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "b": "text"}])
    rows: list[dict[str, Any]] = [{"k": "a", "t": T + 1, "a": "oops", "b": 5}]
    rows += [{"k": "a", "t": T + 2 + i, "a": i} for i in range(1000)]
    rows += [{"k": "a", "t": T + 5000, "n": 1}]
    report = lake.records(rows)
    assert report.reasons == {"type: column b is string, got int64": 1}
    assert lake.columns() == {"b": Type.STRING, "a": Type.INT, "n": Type.INT}


@pytest.mark.parametrize(
    "bad", ["dev,ts,v,w", "rows: 3,,,", ",1700000000000,text,more", "# the end", "total,7,x,y,z", "a,b"]
)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_line_that_is_no_row_does_not_settle_a_column(lake: Lake, bad: str, at: int) -> None:
    lines = [f"d,{T},1,1.5", f"d,{T + 1},2,2", f"d,{T + 2},-3,2.25"]
    lines.insert(at, bad)
    report = lake.text("dev,ts,v,w\n" + "\n".join(lines) + "\n", key="dev", time="ts")
    assert (report.committed, report.rejected) == (3, 1)
    assert lake.columns() == {"v": Type.INT, "w": Type.FLOAT}


def test_a_number_in_a_footer_of_iso_times_is_a_reject(lake: Lake) -> None:
    lines = ["k,t,v", "a,2024-01-01T00:00:00Z,1", "a,2024-01-02,2", "total,3,nothing"]
    report = lake.text("\n".join(lines), unit=None)
    assert report.rejected == 1
    assert lake.columns() == {"v": Type.INT}
    for text in ("k,t,v\ntotal,3,1\na,2024-01-01,1\n", "k,t\na,2024-01-01\nb,1\nb,2\n"):
        with pytest.raises(IngestError, match="whose unit must be declared"):
            lake.text(text, unit=None, stream="numbers")


@pytest.mark.parametrize("later", [["1.5"], ["1", "1.5"], ["1.5", "9007199254740993"]])
def test_a_fraction_does_not_make_stored_integers_inexact(lake: Lake, later: list[str]) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":9007199254740993}}')
    report = lake.text("\n".join(f'{{"k":"a","t":{T + 1 + i},"n":{n}}}' for i, n in enumerate(["2", *later])))
    assert report.rejected == 1
    assert "holds integers beyond 2^53" in str(report)
    assert lake.columns() == {"n": Type.INT}
    lake.text(f"k,t,n\na,{T},1\na,{T},2.5\n")
    lake.ingest({"k": ["a", "a"], "t": [T, T + 7], "n": np.array([1.5, np.nan])})
    assert lake.columns() == {"n": Type.INT}
    assert {r["n"] for r in lake.rows() if "n" in r} >= {9007199254740993, 1}
    assert not any(isinstance(r.get("n"), float) for r in lake.rows())


def test_an_integer_that_a_float_column_cannot_hold_is_a_reject(lake: Lake) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":1.5}}')
    report = lake.ingest(io.BytesIO(f'{{"k":"a","t":{T},"n":9007199254740993}}\n{{"k":"a","t":{T},"n":3}}'.encode()))
    assert report.rejected == 1
    report = lake.ingest({"k": ["a", "b"], "t": [T, T], "n": np.array([2**60, 5])})
    assert report.rejected == 1
    assert sorted(r["n"] for r in lake.rows()) == [1.5, 3.0, 5.0]


def test_what_older_catalogues_do_not_tell_the_files_do(lake: Lake) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":9007199254740993,"m":7}}')
    schema = lake.catalogue.schema("s")
    assert schema is not None
    assert schema.wide == {"n": True}
    form = schema.to_dict()
    del form["wide"]  # as it was written before
    old = StreamSchema.from_dict(form)
    assert old.wide == {"n": False, "m": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake.catalogue, "schema", lambda stream: old)
        report = lake.text(f'{{"k":"a","t":{T},"n":1.5}}\n{{"k":"a","t":{T},"m":1.5}}')
    assert report.rejected == 1
    assert lake.columns() == {"n": Type.INT, "m": Type.FLOAT}


@pytest.mark.parametrize(("first", "second"), [("9007199254740993", "1.5"), ("1.5", "9007199254740993")])
def test_two_at_once_bring_an_integer_and_a_fraction(lake: Lake, tmp_path: Path, first: str, second: str) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":1}}')
    (tmp_path / "one").write_text(f'{{"k":"a","t":{T},"n":{first}}}')
    (tmp_path / "two").write_text(f'{{"k":"a","t":{T},"n":{second}}}\n{{"k":"a","t":{T},"n":2}}')
    real = lake.catalogue.commit

    def commit(*arguments: Any) -> Any:
        """The other one is a little faster."""
        lake.catalogue.commit = real  # type: ignore[method-assign]
        lake.ingest(str(tmp_path / "one"))
        return real(*arguments)

    lake.catalogue.commit = commit  # type: ignore[method-assign]
    report = lake.ingest(str(tmp_path / "two"))
    assert (report.committed, report.rejected) == (1, 1)
    assert len(lake.rows()) == 3
    assert lake.columns() == {"n": Type.INT if first != "1.5" else Type.FLOAT}


def test_columns_and_times_of_rejected_rows_are_nowhere(lake: Lake) -> None:
    rows = [
        {"k": "a", "t": T, "x": 1},
        {"k": "a", "t": FUTURE, "future": 1},
        {"t": T + 5, "keyless": 1},
        {"k": "a", "t": "text", "timeless": 1},
        {"k": 7, "t": T + 9, "wrongkey": 1},
        {"k": "a", "t": T + 99_999_999, "x": "text", "other": 1},
    ]
    report = lake.records(rows)
    assert (report.committed, report.rejected) == (1, 5)
    assert lake.columns() == {"x": Type.INT}
    snapshot = lake.catalogue.snapshot("s")
    assert (snapshot.first_time, snapshot.last_time, snapshot.total_rows) == (T * 1000, T * 1000, 1)


@pytest.mark.parametrize("first", [{"k": 5, "t": FUTURE}, {"k": 5, "t": "no time"}, {"k": 5}])
def test_a_rejected_row_does_not_settle_the_key(lake: Lake, first: dict[str, Any]) -> None:
    report = lake.records([first, {"k": "a", "t": T}, {"k": "b", "t": T}])
    assert (report.committed, report.rejected) == (2, 1)


@pytest.mark.parametrize("keys", [[5, -7], ["a", "b"]])
def test_rows_without_a_key_wait_for_the_type_of_the_keys(keys: list[Any]) -> None:
    rows = [{"t": T, "x": "é"}, {"t": T + 1, "x": 5}, {"t": T + 2}, *({"k": k, "t": T, "x": "y"} for k in keys)]
    for size in (1, 7, 10_000):
        with new_lake() as lake, cut_into(size, 1):
            report = lake.records(rows, missing_key="-1")
            assert report.reasons == {"type: column x is string, got int64": 1}
            missing: Any = -1 if keys == [5, -7] else "-1"
            assert [(r["k"], r.get("x")) for r in lake.rows()] == sorted(
                [(missing, "é"), (missing, None), *((k, "y") for k in keys)], key=lambda row: row[0]
            )


def test_only_so_many_rows_wait_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_types, "KEY_ROWS", 5)
    for before, rejected in ((4, 0), (5, 2)):
        rows = [{"t": T + i} for i in range(before)] + [{"k": 1, "t": T}, {"k": 2, "t": T}]
        for size, batch in ((1, 1), (9, 2), (10_000, 100)):
            with new_lake() as lake, cut_into(size, batch):
                assert lake.records(rows, missing_key="0").rejected == rejected


def test_a_source_that_fails_or_is_empty_settles_nothing(lake: Lake) -> None:
    with pytest.raises(IngestError):
        lake.records([{"k": 1, "t": FUTURE, "x": "text"}])
    lake.text("", stream="s")
    lake.text("k,t,x\n", stream="s")
    lake.records([{"k": 1, "t": T, "x": 5}])
    assert lake.columns() == {"x": Type.INT}
    assert lake.rows() == [{"k": 1, "t": T * 1000, "x": 5}]


def test_an_error_in_one_source_does_not_lose_the_others(lake: Lake, tmp_path: Path) -> None:
    good = [tmp_path / f"{n}.json" for n in range(3)]
    for n, path in enumerate(good):
        path.write_text(json.dumps({"k": "a", "t": T + n, "x": n}))
    (tmp_path / "bad.json").write_bytes(b"\x1f\x8b broken")
    order = [good[0], tmp_path / "bad.json", good[1], good[2]]
    with pytest.raises(IngestError, match="1 of 4 inputs were not ingested"):
        lake.ingest(*order)
    assert [r["x"] for r in lake.rows()] == [0, 1, 2]


def test_rejected_rows_of_a_table_settle_nothing(lake: Lake) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(
        {
            "k": ["a", None, "b", "c"],
            "t": [T, T, FUTURE, T],
            "only": pa.array([None, 1.5, 2.5, None]),
            "v": pa.array([1, None, None, 2]),
            "inf": [1.0, 2.0, 3.0, float("inf")],
        }
    )
    report = lake.ingest(table)
    assert (report.committed, report.rejected) == (2, 2)
    assert lake.columns() == {"v": Type.INT, "inf": Type.FLOAT}
    lake.records([{"k": "a", "t": T, "only": "text"}])
    # Of another type than the stream's, but only where rows are rejected for their key.
    report = lake.ingest(pa.table({"k": ["z", None], "t": [T, T], "only": [None, 1.5]}))
    assert (report.committed, report.rejected) == (1, 1)


# ---- any rows, any cut


numbers = st.sampled_from([0, 1, -5, EXACT, EXACT + 1, -EXACT - 1, 2**60, 1.5, -0.25, 1e300, 3.0])
cells = st.one_of(numbers, numbers, st.none(), st.booleans(), st.sampled_from(["", "x", "7", "1.5", "true"]))
good_rows = st.fixed_dictionaries(
    {"k": st.sampled_from(["a", "b"]), "t": st.integers(T, T + 50)},
    optional={name: cells for name in ("p", "q", "r", "new")},
)
bad_rows = st.one_of(
    good_rows.map(lambda row: row | {"t": FUTURE}),
    good_rows.map(lambda row: row | {"t": None}),
    good_rows.map(lambda row: row | {"t": "soon"}),
    good_rows.map(lambda row: row | {"k": None}),
    good_rows.map(lambda row: row | {"k": 7.5}),
    good_rows.map(lambda row: row | {"k": 7, "t": T}),
)
sources = st.lists(st.lists(st.one_of(good_rows, good_rows, good_rows, bad_rows), min_size=1, max_size=14), max_size=3)


class Twin:
    """What a stream holds after these sources, by the rule itself: row by row."""

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []
        self.wide: set[str] = set()
        self.key: type | None = None

    def take(self, row: dict[str, Any]) -> bool:
        if not isinstance(row["t"], int) or row["t"] > FUTURE - 1 or not isinstance(row["k"], str | int):
            return False
        if self.key is not None and type(row["k"]) is not self.key:
            return False
        types, wide = dict(self.types), set(self.wide)
        for name, value in row.items():
            if name in ("k", "t") or value is None:
                continue
            got = {bool: "bool", int: "int64", float: "float64", str: "string"}[type(value)]
            big = got == "int64" and abs(value) > EXACT
            now = types.setdefault(name, got)
            if big and now == "float64":
                return False
            if now == "int64" and got == "float64" and name not in wide:
                types[name] = "float64"
            elif now != got and not (now == "float64" and got == "int64"):
                return False
            if big:
                wide.add(name)
        self.types, self.wide, self.key = types, wide, type(row["k"])
        self.rows.append({n: v for n, v in row.items() if v is not None})
        return True


def shown(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(sorted(row.items())) for row in rows)


@given(sources, cuts)
def test_json_is_taken_row_by_row(given_sources: list[list[dict[str, Any]]], cut: tuple[int, int]) -> None:
    twin = Twin()
    with new_lake() as lake, cut_into(*cut):
        for number, rows in enumerate(given_sources):
            before = len(twin.rows)
            key = twin.key
            taken = [twin.take(row) for row in rows]
            text = "".join(json.dumps(row) + "\n" for row in rows) + " " * number
            if not any(taken):
                twin.key = key
                with pytest.raises(IngestError):
                    lake.text(text)
                continue
            report = lake.text(text)
            assert (report.rows_read, report.committed) == (len(rows), len(twin.rows) - before)
            assert {name: str(type_) for name, type_ in lake.columns().items()} == twin.types
        if twin.rows:
            found = [row | {"t": row["t"] // 1000} for row in lake.rows()]
            expected = [
                {n: float(v) if twin.types.get(n) == "float64" else v for n, v in row.items()} for row in twin.rows
            ]
            assert shown(found) == shown(expected)


text_cells = st.sampled_from(["", "1", "-7", "2.5", "1e3", "x", "true", "False", str(2**53 + 1), "9" * 30, '"a ""b"""'])
csv_rows = st.one_of(
    *[st.tuples(st.sampled_from(["a", "b"]), st.integers(T, T + 50).map(str), text_cells, text_cells, text_cells)] * 4,
    st.tuples(st.just(""), st.just(str(T)), text_cells, text_cells, text_cells),
    st.tuples(st.just("a"), st.sampled_from(["", "t", str(FUTURE)]), text_cells, text_cells, text_cells),
    st.tuples(st.just("a"), st.just(str(T)), text_cells),
    st.tuples(st.just("k"), st.just("t"), st.just("p"), st.just("q"), st.just("r")),
)


def as_csv(rows: list[tuple[str, ...]]) -> str:
    return "k,t,p,q,r\n" + "".join(",".join(row) + "\n" for row in rows)


def ingested(text: str, cut: tuple[int, int], sample: int = 1 << 16) -> tuple[Any, ...]:
    """Types, rows, reasons and the places of all rejects."""
    with new_lake() as lake, cut_into(*cut, sample):
        try:
            report = lake.text(text, format="csv")
        except IngestError as error:
            return (str(error).split(" (is this machine")[0],)  # the hint has the time
        source = report.sources[0]
        places = []
        if source.rejects_path:
            lines = (lake.folder / source.rejects_path).read_text().splitlines()
            places = [(found["line"], found["byte"], found["reason"]) for found in map(json.loads, lines)]
        return lake.columns(), lake.rows(), report.reasons, places


@given(st.lists(csv_rows, min_size=1, max_size=25), cuts, st.sampled_from([1, 2, 3, 7, 1 << 16]))
@example(
    [("a", str(T), "1", "", ""), ("a", str(T), "1.5", "", ""), ("a", str(T), str(2**60), "x", "")], (5, 3), 1 << 16
)
def test_csv_is_as_without_its_rejected_rows(rows: list[tuple[str, ...]], cut: tuple[int, int], sample: int) -> None:
    whole = ingested(as_csv(rows), (1 << 20, 1 << 15), sample)
    assert ingested(as_csv(rows), cut, sample) == whole  # however the text is cut
    if len(whole) == 1:
        return
    columns, found, _, places = whole
    rejected = {line for line, _, _ in places}
    kept = [row for line, row in enumerate(rows, 2) if line not in rejected]
    if sample > len(rows) or not any("beyond 2^53" in reason for reason in whole[2]):
        # (A row that the sample's own types reject counts among its rows, so without it the sample ends later.)
        alone = ingested(as_csv(kept), cut, sample)
        assert alone[:2] == (columns, found)
        assert alone[2:] == ({}, [])
    if sample > len(rows):
        for at, name in enumerate("pqr", 2):
            assert str(columns.get(name)) == narrowest(
                next(csv.reader([row[at]]))[0] if row[at] else "" for row in kept
            )


def narrowest(cells: Iterator[str]) -> str:
    kinds = {kind(cell) for cell in cells if cell}
    if len(kinds) <= 1:
        return kinds.pop() if kinds else "None"
    return "float64" if kinds == {"int64", "float64"} else "string"


def kind(cell: str) -> str:
    if cell in ("true", "False"):
        return "bool"
    try:
        return "int64" if -(2**63) <= int(cell) < 2**63 else "string"
    except ValueError:
        pass
    try:
        float(cell)
        return "float64"
    except ValueError:
        return "string"


def test_a_column_that_is_empty_at_first_is_settled_by_a_sample_of_its_own() -> None:
    rows = [("a", str(T + i), str(i), "", "") for i in range(40)]
    rows += [("a", str(T), "1", "5", ""), ("a", str(T), "1", "5b", "2"), ("a", str(T), "1", "", "2.5")]
    answers = [ingested(as_csv(rows), cut, 10) for cut in ((1, 1), (13, 2), (100, 7), (1 << 20, 1 << 15))]
    assert answers[0][0] == {"p": Type.INT, "q": Type.STRING, "r": Type.FLOAT}
    assert all(answer == answers[0] for answer in answers)


tables = st.lists(
    st.tuples(st.sampled_from(["a", None]), st.sampled_from([T, FUTURE]), numbers), min_size=1, max_size=9
)


@given(tables, st.integers(1, 5))
def test_tables_are_as_without_their_rejected_rows(rows: list[tuple[str | None, int, Any]], chunk: int) -> None:
    values: list[Any] = [v for *_, v in rows]
    if any(isinstance(v, float) for v in values) and any(isinstance(v, int) and abs(v) > EXACT for v in values):
        values = [v if isinstance(v, int) else 0 for v in values]  # no table holds both
    kept = [k is not None and t == T for k, t, _ in rows]
    table = {"k": [k for k, *_ in rows], "t": [t for _, t, _ in rows], "v": values}
    with new_lake() as lake, pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.ingest.tabular.tables.CHUNK_ROWS", chunk)
        if not any(kept):
            with pytest.raises(IngestError):
                lake.ingest(table)
            return
        report = lake.ingest(table)
        assert (report.committed, report.rejected) == (sum(kept), len(rows) - sum(kept))
        assert [r["v"] for r in lake.rows()] == [v for v, good in zip(values, kept, strict=True) if good]
