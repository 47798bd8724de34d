"""Types, twins and missing values of any sources, in any order and however their text is cut, are as the rules say."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest import SourceReport
from runtime.ingest.columns import samples
from tests.runtime.ingest.columns.drawn_sources import Drawn, drawn_sources
from tests.runtime.ingest.columns.plain_columns import Plain, Source, csv_rows, json_rows
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.test_properties import new_lake
from tests.runtime.ingest.test_taken_rows import cut_into

cuts = st.one_of(st.just((1 << 22, 1 << 15)), st.tuples(st.integers(1, 400), st.integers(1, 40)))
WHOLE = (1 << 16, 1 << 24, 1 << 23)
sample_sizes = st.one_of(
    st.just(WHOLE),
    st.tuples(
        st.sampled_from([1, 2, 3, 5, 1 << 16]), st.sampled_from([60, 300, 1 << 24]), st.sampled_from([9, 20, 1 << 23])
    ),
)


def shown(rows: list[dict[str, Any]], columns: dict[str, Type]) -> list[str]:
    """The rows with types and signs of zero; integers of files that are older than a fraction are fractions."""
    real = {name for name, type_ in columns.items() if type_ is Type.FLOAT}
    return sorted(
        str(sorted((n, repr(float(v) if n in real and type(v) is int else v)) for n, v in row.items())) for row in rows
    )


def answer(report: SourceReport) -> dict[str, Any]:
    """What a report says of the values."""
    columns = report.columns
    return {
        "rows": (report.committed, report.rejected),
        "values": {n: c.values for n, c in columns.items() if c.values},
        "twins": {n: dict(c.twins) for n, c in columns.items() if c.twins},
        "nulls": {n: dict(c.nulls) for n, c in columns.items() if c.nulls},
        "left out": dict(report.left_out),
    }


def expected(source: Source) -> dict[str, Any]:
    return {
        "rows": (source.committed, source.rejected),
        "values": dict(source.values),
        "twins": {n: dict(c) for n, c in source.twins.items()},
        "nulls": {n: dict(c) for n, c in source.nulls.items()},
        "left out": dict(source.left_out),
    }


def ingest(lake: Lake, source: Drawn, number: int, cut: tuple[int, int], sample: tuple[int, int, int]) -> SourceReport:
    with ExitStack() as stack:
        stack.enter_context(cut_into(*cut, sample[0]))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(samples, "SAMPLE_BYTES", sample[1])
        patch.setattr(samples, "SAMPLE_CELLS", sample[2])
        return lake.text(source.text(number), format="csv" if source.form == "csv" else "json").sources[0]


def records(*values: str) -> Drawn:
    return Drawn("lines", [f'{{"k":"a","t":{T + i},"p":{value}}}' for i, value in enumerate(values)])


@given(st.lists(drawn_sources, min_size=1, max_size=3), cuts, sample_sizes)
@example([records('{"q":3},"p.q_2":1,"p.q":2')], (1, 1), WHOLE)
@example([records('{"q":1},"p.q":2,"p.q_2":3')], (1, 1), WHOLE)
@example(
    [records('1,"p#string":"own"', '"x"', '2,"p#string":5', '"y","p#string":"own"', '3,"p#bool":1', "true")],
    (1, 1),
    WHOLE,
)
@example([records("1", '"x"'), records('"y","p#string":7', 'true,"p#bool":"x"', 'false,"p#bool":"y"')], (1, 1), WHOLE)
@example([records("1", '"x"', '"x"')], (1, 1), WHOLE)
@example([records("1", '"x"', '"x"')], (1 << 22, 40), (2, 1 << 24, 1 << 23))
@example([records("1", '"x"', '"x"')], (1 << 22, 40), (1 << 16, 60, 1 << 23))
@example([records("1", '"x"', '"x"')], (1 << 22, 40), (1 << 16, 1 << 24, 6))
@example([records("1"), records(str(2**53 + 1), "1.5", "2")], (1 << 22, 40), WHOLE)
@example([records("1"), records("1.5", str(2**53 + 1), "-0")], (1 << 22, 40), WHOLE)
@example([records("1"), records("-0", "1.5", "-0")], (1 << 22, 40), WHOLE)
def test_every_value_is_where_the_rules_say(
    sources: list[Drawn], cut: tuple[int, int], sample: tuple[int, int, int]
) -> None:
    plain = Plain(*sample)
    with new_lake() as lake:
        for number, source in enumerate(sources):
            rows = csv_rows(source.text(0)) if source.form == "csv" else json_rows(source.lines)
            wanted = plain.take(rows)
            if wanted is None:
                with pytest.raises(IngestError):
                    ingest(lake, source, number, cut, sample)
                continue
            report = ingest(lake, source, number, cut, sample)
            assert answer(report) == expected(wanted)
            assert {n: str(t) for n, t in lake.columns().items()} == plain.types
            assert shown(lake.rows(), lake.columns()) == shown(plain.rows, lake.columns())
