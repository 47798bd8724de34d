"""Rejected records of documents and logs are offered again as they were taken out of them, with what stood beside."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.ingest import resume
from runtime.ingest.columns import event_times
from runtime.ingest.text import rejects

AT = 1704067200_000_000  # 2024-01-01, in microseconds
LOG = '- - [{}] "GET / HTTP/1.1" 200 5'
SOURCES: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "documents": (
        '{"v":1,"e":[{"d":"a","at":"2024-01-01","n":1.50},\n'
        '{"d":"b","at":"1/1/2024","n":2,"l":[1, "x"],"o":{"p":null,"q":"é"},"big":99999999999999999999}]}',
        {"key": "d", "time": "at", "records": "e"},
        {"time_format": "%d/%m/%Y"},
        [{"k": "b", "v": 1, "n": 2.0, "l": '[1,"x"]', "o.q": "é", "big#string": "99999999999999999999"}],
    ),
    "columns": (
        '{"v":1,"d":["a","b"],"at":["2024-01-01","1/1/2024"],"n":[1,2]}',
        {"key": "d", "time": "at", "columnar": "."},
        {"time_format": "%d/%m/%Y"},
        [{"k": "b", "v": 1, "n": 2}],
    ),
    "W3C": (
        "#Fields: date time c-ip v\n2024-01-01 00:00:00 a 1\n1/1/2024 00:00:00 b 2\n",
        {"key": "c-ip", "time": "time", "format": "w3c"},
        {"time_format": "%d/%m/%YT%H:%M:%S"},
        [{"k": "b", "v": 2}],
    ),
    "web server": (
        f"a {LOG.format('01/Jan/2024:00:00:00 +0000')}\nb {LOG.format('2024.01.01 0h')}\nrubbish\n",
        {"format": "clf"},
        {"time_format": "%Y.%m.%d %Hh"},
        [{"k": "b", "request": "GET / HTTP/1.1", "method": "GET", "path": "/", "protocol": "HTTP/1.1",
          "status": 200, "bytes": 5}],
    ),
    "JSON in a column": (
        '{"e":[{"m":"{\\"d\\":\\"a\\",\\"at\\":\\"2024-01-01\\"}"},{"m":"{\\"d\\":\\"b\\",\\"at\\":\\"1/1/2024\\",\\"n\\":1}"}]}',
        {"key": "m.d", "time": "m.at", "records": "e", "json": "m"},
        {"time_format": "%d/%m/%Y"},
        [{"k": "b", "m.n": 1}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SOURCES)
def test_rejects_are_taken_with_other_options(tmp_path: Path, what: str) -> None:
    text, options, more, expected = SOURCES[what]
    source = tmp_path / "source"
    source.write_text(text)
    store = Store(str(tmp_path / "store"), create=True)
    first = store.ingest("s", source, progress=False, **options).sources[0]
    assert first.committed == 1
    (kept,) = store.rejects("s")
    lines = text.splitlines()
    for reject, _ in kept.kept.records:
        assert reject.text.rstrip("]},") in lines[reject.line - 1]
    again = store.retry_rejects("s", progress=False, **more).sources[0]
    assert (again.committed, again.rejected) == (len(expected), first.rejected - len(expected))
    assert rows(store)[1:] == [{"t": AT, **row} for row in expected]
    assert [s.error for s in store.retry_rejects("s", progress=False, **more).sources if s.committed] == []


def rows(store: Store) -> list[dict[str, Any]]:
    from tests.runtime.ingest.lake import read_rows

    files = store.catalogue.snapshot("s").files
    found = [row for file in files for row in read_rows(store.objects, file.path)]  # type: ignore[arg-type]
    return sorted(found, key=lambda row: row["k"])


def test_the_kept_records_are_json(tmp_path: Path) -> None:
    text, options, _, _ = SOURCES["documents"]
    source = tmp_path / "source"
    source.write_text(text)
    store = Store(str(tmp_path / "store"), create=True)
    store.ingest("s", source, progress=False, **options)
    (kept,) = store.rejects("s")
    (_, raw) = kept.kept.records[0]
    assert json.loads(raw) == {
        "d": "b", "at": "1/1/2024", "n": 2, "l": [1, "x"], "o.q": "é", "big": 99999999999999999999, "v": 1,
    }  # fmt: skip


FORMATS = {"time_format": ["%Y-%m-%d", "%d/%m/%Y"]}
CSV = "k,t,v\na,2024-01-01,1\nb,1/1/2024,2\n"
LATIN = '{"k":"a","t":"2024-01-01","é":"ü"}\n{"k":"ö","t":"1/1/2024","é":"ö"}\n'.encode("latin-1")
DOCUMENT = (
    '{"v":1,"e":[{"k":"a","t":"2024-01-01","n":1.5,"s":"{\\"x\\":1}"},'
    '{"k":"b","t":"1/1/2024","n":2,"s":"{\\"x\\":2}"}]}'
)
AGAIN: dict[str, tuple[str, str | bytes, dict[str, Any]]] = {
    "a key from the name": ("x", CSV, {"key_value": "{name}-{stem}"}),
    "a key from the name of a packed file": ("x.csv.gz", gzip.compress(CSV.encode()), {"key_value": "{name}-{stem}"}),
    "lines before the header": ("x.csv", "1\n2\n" + CSV + "c,2/1/2024,3\nd,2/1/2024,4\n", {"skip_rows": 2}),
    "names": ("x.csv", CSV[6:], {"names": "k,t,v"}),
    "an encoding": ("x.csv", CSV.replace("v", "é").encode("latin-1"), {"encoding": "latin-1"}),
    "JSON in an encoding": ("x.json", LATIN, {"encoding": "latin-1"}),
    "a separator that the file declares": ("x.csv", "sep=^\n" + CSV.replace(",", "^"), {}),
    "blanks": ("x.csv", "k  t v\na 2024-01-01 1\nz 1/1/2024\nb 1/1/2024  2\n", {}),
    "blanks in some rows": ("x.csv", "k,t,v\na,2024-01-01,x\nb, 1/1/2024, y\n", {}),
    "no blanks in some rows": ("x.csv", "k, t, v\na, 2024-01-01, x\nb,1/1/2024,y \n", {}),
    "a quote that is not closed": ("x.csv", 'k,t,v\na,1/1/2024,"x\ng,2024-01-01,"y"\nb,1/1/2024,5"\n', {}),
    "no JSON before a record": ("x.json", '{"k":"a","t":"2024-01-01"}\na, b\n{"k":"b","t":"1/1/2024"}\n', {}),
    "records": ("x.json", DOCUMENT, {"records": "e"}),
    "swapped names": ("x.json", DOCUMENT, {"records": "e", "rename": "n=v,v=n"}),
    "columns by their old name": ("x.json", DOCUMENT, {"records": "e", "columns": "n", "rename": "n=m"}),
    "a name that is left out": ("x.json", DOCUMENT, {"records": "e", "drop": "m", "rename": "n=m"}),
    "text that looks like a number": (
        "x.log",
        "k=a t=2024-01-01 v=x z=y\nk=b t=1/1/2024 v=1.50 z=true\nk=c t=2024-01-01 v=y\n",
        {"format": "logfmt", "type": "v=string"},
    ),
    "rows that are ahead of the clock": ("x.csv", CSV + "c,2200-01-01,5\nd,soon,6\n", {}),
    "names in JSON": ("x.json", DOCUMENT, {"records": "e", "json": "s", "rename": "s.x=y"}),
}


@pytest.mark.parametrize("what", AGAIN)
@pytest.mark.parametrize("repeated", [False, True])
def test_rejects_are_read_as_with_the_right_options_at_first(tmp_path: Path, what: str, repeated: bool) -> None:
    """Also if all options are given once more, in two steps."""
    name, text, options = AGAIN[what]
    source = tmp_path / name
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    options = {"key": "k", "time": "t"} | options
    right = Store(str(tmp_path / "right"), create=True)
    right.ingest("s", source, progress=False, **options, **FORMATS)
    store = Store(str(tmp_path / "store"), create=True)
    store.ingest("s", source, progress=False, **options)
    for formats in ("%Y", "%d/%m/%Y"):
        found = store.retry_rejects("s", progress=False, time_format=formats, **(options if repeated else {}))
        assert all(s.rows_read == s.committed + s.rejected for s in found.sources)
    assert (rows(store), types(store)) == (rows(right), types(right))


def test_rejects_of_tables_keep_types_and_declared_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(
        {
            "k": ["a", "b"],
            "t": ["2024-01-01", "1/1/2024"],
            "at": [None, datetime.datetime(2024, 1, 1, 1, 2, 3, 4)],
            "d": [None, decimal.Decimal("1.50")],
            "took": [datetime.timedelta(seconds=2), datetime.timedelta(seconds=-1.5)],
            "n": [1.5, 2.0],
            "x": [1, 2],
        }
    )
    options: dict[str, Any] = {
        "key": "k", "time": "t", "type": "n=decimal(3)", "rename": "x=y", "columns": "at,d,n,x,took",
    }  # fmt: skip
    right = Store(str(tmp_path / "right"), create=True)
    right.ingest("s", table, progress=False, **options, **FORMATS)
    store = Store(str(tmp_path / "store"), create=True)
    store.ingest("s", table, progress=False, **options)
    store.retry_rejects("s", progress=False, time_format="%Y")
    store.retry_rejects("s", progress=False, **FORMATS)
    assert (rows(store), types(store)) == (rows(right), types(right))


def test_timestamps_and_lists_of_rejected_rows_stay_what_they_are(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 1, 1)
    table = {"k": ["a", None, "b"], "t": [moment] * 3, "v": [1, [1, 2], 2]}
    store = Store(str(tmp_path / "store"), create=True)
    store.ingest("s", table, progress=False, key="k", time="t", time_format="%Y")
    assert store.retry_rejects("s", progress=False, missing_key="z", time_format="%Y").committed == 1
    assert rows(store)[-1] == {"k": "z", "t": AT, "v#json": "[1,2]"}


def test_numbers_among_the_times_of_rejects_are_no_error_of_all(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("k,t,v\na,2024-01-01,1\nb,2024-01-01,1\nc,2024-01-01,2\ntotal,3,\nall,3,\n,2024-01-01,5\n")
    store = Store(str(tmp_path / "store"), create=True)
    store.ingest("s", source, progress=False, key="k", time="t")
    report = store.retry_rejects("s", progress=False, missing_key="z")
    assert (report.committed, report.rejected) == (1, 2)
    assert rows(store)[-1] == {"k": "z", "t": AT, "v": 5}


def test_rows_ahead_of_the_clock_still_wait_if_not_all_rejects_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "x.csv"
    source.write_text(CSV + "c,2200-01-01,3\nd,2200-01-01,4\n")
    store = Store(str(tmp_path / "store"), create=True)
    monkeypatch.setattr(rejects, "KEPT_BYTES", 1)
    store.ingest("s", source, progress=False, key="k", time="t")
    assert store.retry_rejects("s", progress=False, **FORMATS).committed == 1
    for module in (event_times, resume):
        monkeypatch.setattr(module, "latest_time", lambda: 2**63 - 1)
    assert store.ingest("s", source, progress=False).committed == 2
    assert [row["v"] for row in rows(store)] == [1, 2, 3, 4]


def types(store: Store) -> dict[str, str]:
    schema = store.catalogue.schema("s")
    assert schema is not None
    return {name: str(type_) for name, type_ in schema.columns.items()}
