"""Nothing gets lost: every row and every value of a source is somewhere, and the report says where."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.ingest import SourceReport
from tests.runtime.ingest.columns.drawn_sources import json_fields
from tests.runtime.ingest.columns.plain_columns import Pairs, parsed
from tests.runtime.ingest.lake import T
from tests.runtime.ingest.test_properties import new_lake
from tests.runtime.ingest.test_taken_rows import cut_into

types = st.sampled_from(["int64", "float64", "string", "bool", "time", "decimal(2)"])
options = st.fixed_dictionaries(
    {},
    optional={
        "null": st.sampled_from([["x"], ["7", "1.5"], ["0", "true", "NA"]]),
        "type": st.dictionaries(st.sampled_from(["p", "q", "p.q"]), types, max_size=2),
        "rename": st.sampled_from([{"p": "z"}, {"q": "p.q"}, {"p": "q", "q": "p"}]),
        "depth": st.integers(1, 4),
    },
)


def values_of(record: Pairs, depth: int, prefix: str = "") -> int:
    """How many fields a record has: those of one name in an object count once, and null only where it is left out."""
    out = 0
    times = Counter(name for name, _ in record)
    for name, value in dict(record).items():
        if isinstance(value, Pairs) and depth > 1 and name and times[name] == 1:
            out += values_of(value, depth - 1, f"{prefix}{name}.")
        else:
            out += value is not None or times[name] > 1 or not name or not is_name(prefix + name)
    return out


def is_name(name: str) -> bool:
    """Whether a column can be called so; where it cannot, a field is left out, even if it is null."""
    return name.isprintable() and name != "$seq" and len(name.encode()) <= 256


def accounted(report: SourceReport) -> int:
    """The values that the report speaks of."""
    columns = report.columns.values()
    return sum(c.values + sum(c.nulls.values()) for c in columns) + sum(report.left_out.values())


@given(st.lists(st.tuples(json_fields, st.booleans()), min_size=1, max_size=12), options, st.integers(1, 300))
def test_every_value_is_accounted_for(rows: list[tuple[str, bool]], given_options: dict[str, Any], size: int) -> None:
    texts = [
        f'{{"k":{key},"t":{T + i}{fields}}}'
        for i, (fields, good) in enumerate(rows)
        for key in ['"a"' if good else "null"]
    ]
    texts.append(f'{{"k":"a","t":{T}}}')
    with new_lake() as lake, cut_into(size, 3):
        report = lake.text("\n".join(texts), **given_options).sources[0]
        stored = lake.rows()
    assert report.rows_read == len(texts) == report.committed + report.rejected
    assert report.committed == len(stored) == sum(good for _, good in rows) + 1
    depth = given_options.get("depth", 32)
    # The key and the time of a row are not in the report.
    given_values = sum(values_of(parsed(text), depth) - 2 for text, (_, good) in zip(texts, rows, strict=False) if good)
    assert accounted(report) == given_values
    kept = Counter(name for row in stored for name in row if name not in ("k", "t"))
    assert kept == {n: c.values for n, c in report.columns.items() if c.values}
    for name, column in report.columns.items():
        assert {s: n for s, n in column.twins.items() if n} == column.twins
        for suffix, count in column.twins.items():
            assert kept[f"{name}#{suffix}"] >= count
