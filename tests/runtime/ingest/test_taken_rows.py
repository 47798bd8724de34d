"""Only accepted rows decide types: a rejected row leaves no trace in the schema, wherever the text is cut."""

from __future__ import annotations

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
from runtime.ingest.columns import assemble, samples
from runtime.ingest.inputs import byte_stream
from runtime.ingest.text import csv_reader, json_reader
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake

EXACT = 2**53
FUTURE = 32_503_680_000_000  # the year 3000, in milliseconds


@contextmanager
def cut_into(size: int, rows: int, sample: int = 1 << 16) -> Iterator[None]:
    """Chunks of ``size`` bytes, batches of ``rows`` rows, samples of ``sample`` rows."""
    real, more = byte_stream.Text.__init__, byte_stream.Text.more

    def cut(self: byte_stream.Text, pieces: Iterator[bytes]) -> None:
        """The head of a source is one piece, which was read to find its format."""
        real(self, (piece[at : at + size] for piece in pieces for at in range(0, len(piece), size)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_stream, "_READ", size)
        patch.setattr(byte_stream.Text, "__init__", cut)
        patch.setattr(byte_stream.Text, "more", lambda self, keep, size_=size: more(self, keep, size_))
        patch.setattr(json_reader.JsonReader._allocate, "__defaults__", (rows,))
        patch.setattr(json_reader, "_CELLS", 64 * rows)
        patch.setattr(json_reader, "_MANY_NEW", 1 + size % 4)
        patch.setattr(csv_reader, "_MAX_ROWS", rows)
        patch.setattr(
            csv_reader, "WINDOW", min(size, csv_reader.WINDOW) + 40
        )  # at least the header, which is looked at
        patch.setattr(samples, "SAMPLE_ROWS", sample)
        yield


cuts = st.tuples(st.integers(1, 400), st.integers(1, 40))


# ---- answers that are known


def test_a_row_that_is_rejected_does_not_settle_a_column(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T, "b": "text"}])
    rows: list[dict[str, Any]] = [{"k": 5, "t": T + 1, "a": "oops", "b": 5, "c": 5}] * 5
    rows += [{"k": "a", "t": FUTURE, "a": "oops", "b": 5, "c": 5}] * 5
    rows += [{"k": "a", "t": T + 2 + i, "a": i, "b": 5} for i in range(3)]
    rows += [{"k": "a", "t": T + 5000, "n": 1}]
    report = lake.records(rows)
    assert report.reasons == {
        "key: column k is string, got int64; --type k=string reads both as text": 5,
        "time: column t is after 2261": 5,
    }
    assert lake.columns() == {"b": Type.STRING, "b#int64": Type.INT, "a": Type.INT, "n": Type.INT}
    assert report.sources[0].columns["b"].twins == {"int64": 3}


@pytest.mark.parametrize("before", [1, 2, 5])
def test_rows_with_a_key_of_another_type_settle_nothing(before: int) -> None:
    """Nor do they count for the type of most values; whether the type of keys was known before or not."""
    rows: list[dict[str, Any]] = [{"k": "a", "t": T + i, "x": 1} for i in range(before)]
    rows += [{"k": 7, "t": T, "x": "text", "y": 1}] * 20 + [{"k": "b", "t": T, "x": 1.5}]
    for known in (False, True):
        for size, batch in ((1, 1), (100, 3), (10_000, 100)):
            with new_lake() as lake, cut_into(size, batch):
                if known:
                    lake.records([{"k": "z", "t": T}])
                assert lake.records(rows).rejected == 20
                assert lake.columns() == {"x": Type.FLOAT}


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
    assert (report.rejected, report.sources[0].columns["n"].twins) == (0, {"float64": 1})
    assert "n is int64: 1 fraction in n#float64 (the first, '1.5', in line " in str(report)
    types = {"n": Type.INT, "n#float64": Type.FLOAT}
    assert lake.columns() == types
    lake.text(f"k,t,n\na,{T},1\na,{T},2.5\n")
    lake.ingest({"k": ["a", "a"], "t": [T, T + 7], "n": np.array([3.5, np.nan])})
    assert lake.columns() == types
    found = lake.rows()
    big = [9007199254740993] * (2 if later[-1] == "9007199254740993" else 1)
    ones = [1] * (2 if later[0] == "1" else 1)
    assert sorted(r["n"] for r in found if "n" in r) == [*ones, 2, *big]
    assert sorted(r["n#float64"] for r in found if "n#float64" in r) == [1.5, 2.5, 3.5]
    assert all(type(r.get("n", 0)) is int for r in found)


def test_an_integer_that_a_float_column_cannot_hold_is_in_its_twin(lake: Lake) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":1.5}}')
    report = lake.ingest(io.BytesIO(f'{{"k":"a","t":{T},"n":9007199254740993}}\n{{"k":"a","t":{T},"n":3}}'.encode()))
    assert (report.rejected, report.sources[0].columns["n"].twins) == (0, {"int64": 1})
    report = lake.ingest({"k": ["a", "b"], "t": [T, T], "n": np.array([2**60, 5])})
    assert (report.rejected, report.sources[0].columns["n"].twins) == (0, {"int64": 1})
    assert lake.columns() == {"n": Type.FLOAT, "n#int64": Type.INT}
    assert sorted(r["n"] for r in lake.rows() if "n" in r) == [1.5, 3.0, 5.0]
    assert sorted(r["n#int64"] for r in lake.rows() if "n#int64" in r) == [9007199254740993, 2**60]


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
    assert (report.committed, report.rejected) == (2, 0)
    assert lake.columns() == {"n": Type.INT, "m": Type.FLOAT, "n#float64": Type.FLOAT}


@pytest.mark.parametrize(("first", "second"), [("9007199254740993", "1.5"), ("1.5", "9007199254740993")])
def test_two_at_once_bring_an_integer_and_a_fraction(lake: Lake, tmp_path: Path, first: str, second: str) -> None:
    lake.text(f'{{"k":"a","t":{T},"n":1}}')
    (tmp_path / "one").write_text(f'{{"k":"a","t":{T},"n":{first}}}')
    (tmp_path / "two").write_text(f'{{"k":"a","t":{T},"n":{second}}}\n{{"k":"a","t":{T},"n":2}}')
    real = lake.catalogue.commit

    def commit(*arguments: Any, **options: Any) -> Any:
        """The other one is a little faster."""
        lake.catalogue.commit = real  # type: ignore[method-assign]
        lake.ingest(str(tmp_path / "one"))
        return real(*arguments, **options)

    lake.catalogue.commit = commit  # type: ignore[method-assign]
    report = lake.ingest(str(tmp_path / "two"))
    assert (report.committed, report.rejected) == (2, 0)
    assert len(lake.rows()) == 4
    kept, twin = (Type.INT, "float64") if first != "1.5" else (Type.FLOAT, "int64")
    assert lake.columns() == {"n": kept, f"n#{twin}": Type(twin)}
    assert report.sources[0].columns["n"].twins == {twin: 1}
    assert [r[f"n#{twin}"] for r in lake.rows() if f"n#{twin}" in r] == [json.loads(second)]


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
    assert (report.committed, report.rejected) == (2, 4)
    assert lake.columns() == {"x": Type.INT, "x#string": Type.STRING, "other": Type.INT}
    snapshot = lake.catalogue.snapshot("s")
    assert (snapshot.first_time, snapshot.last_time, snapshot.total_rows) == (T * 1000, (T + 99_999_999) * 1000, 2)


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
            assert (report.committed, report.rejected) == (5, 0)
            missing: Any = -1 if keys == [5, -7] else "-1"
            assert [(r["k"], r.get("x"), r.get("x#int64")) for r in lake.rows()] == sorted(
                [(missing, "é", None), (missing, None, 5), (missing, None, None), *((k, "y", None) for k in keys)],
                key=lambda row: row[0],
            )


def test_only_so_many_rows_wait_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "KEY_ROWS", 5)
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


def test_a_column_of_words_for_missing_values_exists(lake: Lake) -> None:
    lake.text(f"k,t,v,w,x\na,{T},-,99,\n,{T},NA,99,\n", null="99")
    lake.records([{"k": "a", "t": T, "y": "NA"}, {"k": "a", "t": T, "v": "?"}])
    schema = lake.catalogue.schema("s")
    assert schema is not None
    assert (schema.columns, {*schema.empty}) == ({}, {"v", "w", "x", "y"})
    lake.records([{"k": "a", "t": T, "v": 1}])
    schema = lake.catalogue.schema("s")
    assert schema is not None
    assert (schema.columns, {*schema.empty}) == ({"v": Type.INT}, {"w", "x", "y"})


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
    assert report.sources[0].columns["inf"].nulls == {"infinity": 1}
    assert [(r["v"], r.get("inf")) for r in lake.rows()] == [(1, 1.0), (2, None)]
    lake.records([{"k": "a", "t": T, "only": "text"}])
    # Of another type than the stream's, but only where rows are rejected for their key.
    report = lake.ingest(pa.table({"k": ["z", None], "t": [T, T], "only": [None, 1.5]}))
    assert (report.committed, report.rejected) == (1, 1)
    assert "only#float64" not in lake.columns()


# ---- any rows, any cut


numbers = st.sampled_from([0, 1, -5, EXACT, EXACT + 1, -EXACT - 1, 2**60, 1.5, -0.25, 1e300, 3.0])
text_cells = st.sampled_from(
    ["", "1", "-7", "2.5", "1e3", "x", "true", "False", "NA", str(2**53 + 1), "9" * 30, '"a ""b"""']
)
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
            head, *lines = map(json.loads, (lake.folder / source.rejects_path).read_text().splitlines())
            assert head["head"] == "k,t,p,q,r\n"
            places = [(found["line"], found["byte"], found["reason"]) for found in lines]
        return lake.columns(), lake.rows(), report.reasons, places


@given(st.lists(csv_rows, min_size=1, max_size=25), cuts, st.sampled_from([1, 2, 3, 7, 1 << 16]))
@example(
    [("a", str(T), "1", "", ""), ("a", str(T), "1.5", "", ""), ("a", str(T), str(2**60), "x", "")], (5, 3), 1 << 16
)
@example([("a", str(T), v, "", "") if v else ("", str(T), "", "", "") for v in ("1", "", "x", "x")], (1, 1), 3)
def test_csv_is_as_without_its_rejected_rows(rows: list[tuple[str, ...]], cut: tuple[int, int], sample: int) -> None:
    whole = ingested(as_csv(rows), (1 << 20, 1 << 15), sample)
    assert ingested(as_csv(rows), cut, sample) == whole  # however the text is cut
    if len(whole) == 1:
        return
    columns, found, _, places = whole
    rejected = {line for line, _, _ in places}
    kept = [row for line, row in enumerate(rows, 2) if line not in rejected]
    assert ingested(as_csv(kept), cut, sample) == (columns, found, {}, [])


def test_a_column_that_is_empty_at_first_is_settled_by_a_sample_of_its_own() -> None:
    rows = [("a", str(T + i), str(i), "", "") for i in range(40)]
    rows += [("a", str(T), "1", "5", ""), ("a", str(T), "1", "5b", "2"), ("a", str(T), "1", "x", "2.5")]
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
