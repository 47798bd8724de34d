"""Rejected records of documents and logs are offered again as they were taken out of them, with what stood beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import Store

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
