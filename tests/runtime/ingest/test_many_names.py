"""Any number of distinct column names in one source, in accepted and rejected rows, in any framing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest.columns import column_types
from runtime.ingest.text import json_names
from runtime.ingest.text.json_reader import JsonReader
from tests.runtime.ingest.lake import Lake

KNOWN = 256
MANY = 3 * KNOWN


def framed(records: list[str], framing: str) -> bytes:
    if framing == "lines":
        return "".join(record + "\n" for record in records).encode()
    if framing == "one line":
        return ("[" + ",".join(records) + "]").encode()
    return ("[\n" + ",\n".join(records) + "\n]\n").encode()


FRAMINGS = ["lines", "one line", "array of lines"]


def good(number: int) -> dict[str, object]:
    return {"k": "a", "t": number, f"v{number % 20}": number}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("kind", ["rejected", "null", "nested", "escaped", "escaped and null"])
def test_names_that_no_row_gives_a_value(lake: Lake, framing: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be known at once, before and among good rows, which bring new names, too."""
    monkeypatch.setattr(json_names, "MAX_NODES", KNOWN)
    bad: list[str] = []
    for number in range(MANY):
        record: dict[str, object] = {"k": "a", "t": number, f"n{number}": None}
        if kind == "rejected":
            record = {"t": number, f"n{number}": 1}
        elif kind == "nested":
            record = {"t": number, "o": {f"n{number}": 1}}
        text = json.dumps(record)
        bad.append(text.replace('"n', '"\\u006e') if "escaped" in kind else text)
    rows = [json.dumps(good(number)) for number in range(100)]
    records = rows[:10] + bad[: MANY // 2] + rows[10:60] + bad[MANY // 2 :] + rows[60:]
    report = lake.text(framed(records, framing))
    rejected = MANY if kind in ("rejected", "nested") else 0
    assert (report.committed, report.rejected) == (100 + MANY - rejected, rejected)
    found = [row for row in lake.rows() if len(row) > 2]
    assert len(found) == 100
    assert sorted(int(str(row[name])) for row in found for name in row if name.startswith("v")) == list(range(100))


def test_a_record_with_too_many_names(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses what is too much; names that are new after it are read. They are learned together, not one in each pass
    over the record."""
    passes, scan = itertools.count(), JsonReader._scan
    monkeypatch.setattr(JsonReader, "_scan", lambda *given: (next(passes), scan(*given))[1])
    wide = {"k": "a", "t": 5} | {f"w{n}": n for n in range(json_names.MAX_NODES + 10)}
    nulls = {"k": "a", "t": 6} | {f"w{n}": None for n in range(json_names.MAX_NODES + 10)}
    records = [good(1), wide, good(2), nulls, good(3), wide, wide, good(4)]
    report = lake.text(framed(list(map(json.dumps, records)), "lines"))
    assert (report.committed, report.rejected) == (8, 0)
    read = json_names.MAX_NODES - 2  # beside the key and the time
    assert len(lake.columns()) == column_types.MAX_COLUMNS
    source = report.sources[0]
    assert source.left_out[f"more than {json_names.MAX_NODES:,} names at once"] == 3 * (len(wide) - 2 - read)
    values = sum(column.values for column in source.columns.values())
    assert values + sum(source.left_out.values()) == 4 + 3 * (len(wide) - 2)
    assert sum(len(row) - 2 for row in lake.rows()) == values
    assert next(passes) < 1000


def test_more_columns_than_a_stream_may_have(lake: Lake) -> None:
    """What is in further columns is left out and counted, in every format."""
    most = column_types.MAX_COLUMNS
    records = [json.dumps({"k": "a", "t": n} | {f"c{5 * n + i}": n for i in range(5)}) for n in range(most // 5 + 100)]
    report = lake.text(framed(records, "lines"))
    assert (report.committed, report.rejected) == (len(records), 0)
    assert report.sources[0].left_out == {"more than 10,000 columns": 500}
    assert list(lake.columns()) == [f"c{n}" for n in range(most)]
    names = [f"c{n}" for n in range(most + 500)]
    header, cells = ",".join(["k", "t", *names]), ",".join("1" for _ in names)
    report = lake.text(f"{header}\na,1,{cells}\n".encode(), stream="csv")
    assert (report.committed, report.sources[0].left_out) == (1, {"more than 10,000 columns": 500})
    assert list(lake.columns("csv")) == names[:most]
    report = lake.ingest({"k": ["a"], "t": [1], **{name: [1] for name in names}}, stream="table")
    assert (report.committed, report.sources[0].left_out) == (1, {"more than 10,000 columns": 500})
    assert list(lake.columns("table")) == names[:most]


def test_the_name_that_point_files_reserve(lake: Lake) -> None:
    """A field, CSV column or column of a table with it is left out, saying so."""
    records = [{"k": "a", "t": 1}, {"k": "a", "t": 2, "$seq": 1}, {"k": "a", "t": 3, "$seq": None}, {"k": "a", "t": 4}]
    report = lake.text(framed(list(map(json.dumps, records)), "lines"))
    assert (report.committed, report.rejected) == (4, 0)
    assert report.sources[0].left_out == {"the column name $seq is reserved": 2}
    report = lake.text(b"k,t,$seq\na,1,1\n", stream="csv")
    assert "$seq" in str(report)
    assert lake.rows("csv") == [{"k": "a", "t": 1000, "column_3": 1}]
    report = lake.ingest({"k": ["a"], "t": [1_700_000_000_000], "$seq": [1]}, stream="table")
    assert "the column name $seq is reserved" in str(report)
    assert lake.columns("table") == {}


RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["good", "good", "keyless", "broken", "null"]),
        st.lists(st.integers(0, 60), max_size=4, unique=True),
        st.sampled_from(["", "o"]),
    ),
    max_size=40,
)


@given(RECORDS, st.sampled_from(FRAMINGS), st.integers(10, 24))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_many_are_known_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, list[int], str]], framing: str, most: int
) -> None:
    """Few names known at once, or many: the same rows, the same columns, the same rejects.

    But a broken line with more names than are known at once is like one that is too long: the source is refused.
    """
    texts = []
    for at, (kind, numbers, inside) in enumerate(records):
        values: dict[str, object] = {f"n{n}": None if kind == "null" else at for n in numbers}
        record: dict[str, object] = {} if kind == "keyless" else {"k": "a"}
        record |= {"t": at, **({inside: values} if inside else values)}
        text = json.dumps(record)
        texts.append(text[:-1] + ",}" if kind == "broken" else text)
    data = framed(texts, framing)

    def outcome(limit: int) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_names, "MAX_NODES", limit)
            lake = Lake(Path(tmp_path_factory.mktemp("lake")))
            try:
                report = lake.text(data)
            except IngestError as error:
                return str(error)
            # The order of the columns is that in which names are met, also those of rejected rows.
            return report.committed, dict(report.reasons), report.sources[0].left_out, lake.rows(), lake.columns()

    found = outcome(most)
    if isinstance(found, str) and "too long to be rejected alone" in found:
        assert framing == "one line"
        assert any(kind == "broken" for kind, _, _ in records)
        assert len({(inside, n) for _, numbers, inside in records for n in numbers}) + 4 > most
    else:
        assert found == outcome(4096)
