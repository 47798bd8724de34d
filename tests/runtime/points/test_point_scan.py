"""Every point comes once, as queries see it, in order, for any ranges, keys, policies and sizes of shards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.errors import IncompleteResult, QueryError
from runtime.points import point_scan
from runtime.points.point_scan import PointRange, PointScan
from tests.runtime.ingest.lake import Lake

DAY = 86_400_000_000
START = 19_700 * DAY

Row = dict[str, Any]


def write(folder: Path, sources: Sequence[Sequence[Row]], **options: Any) -> None:
    lake = Lake(folder)
    options.setdefault("type", {"s": "string"})  # where all texts are empty, they would be taken as missing
    for at, rows in enumerate(sources):  # blank lines: equal sources would count once
        lake.text("".join(json.dumps(row) + "\n" for row in rows) + at * "\n", unit="us", **options)
    lake.catalogue.close()


EVERYTHING = PointRange()


def read(store: Store, wanted: PointRange = EVERYTHING) -> list[Row]:
    """The points as dicts, without nulls, in the order in which they come."""
    scan = PointScan(store, "s", wanted)
    out = []
    for batch in scan.batches():
        assert list(batch) == list(scan.types)
        for row in zip(*(column.to_list() for column in batch.values()), strict=True):
            out.append({name: value for name, value in zip(batch, row, strict=True) if value is not None})
    assert scan.counts.rows == len(out)
    return out


def model(sources: Sequence[Sequence[Row]], policy: str, id_: str | None) -> list[Row]:
    """What the policy leaves of rows that came in this order, by plain means."""
    rows = [dict(row) for source in sources for row in source]
    rows = [{n: v for n, v in row.items() if v is not None} for row in rows]
    rows.sort(key=lambda row: (row["k"], row["t"]))  # stable: commits stay in order
    if id_ is not None:
        seen = set()
        kept = []
        for row in rows:
            event = (row["k"], row["t"] // DAY, row.get(id_))
            if row.get(id_) is None or event not in seen:
                kept.append(row)
            seen.add(event)
        rows = kept
    if policy == "exact":
        rows = [row for at, row in enumerate(rows) if row not in rows[:at]]
    if policy == "latest":
        merged = []
        for _, same in groupby(rows, key=lambda row: (row["k"], row["t"])):
            one: Row = {}
            for row in same:
                one |= row
            merged.append(one)
        rows = merged
    return rows


def exactly(rows: Sequence[Row]) -> list[Any]:
    return sorted(sorted((n, repr(v)) for n, v in row.items()) for row in rows)


keys = st.sampled_from(["a", "b", "c", "d", 'é,"\n', "x" * 40])
times = st.builds(
    lambda day, at: START + day * DAY + at, st.integers(0, 3), st.sampled_from([0, 1, 5, 6_000_000, DAY - 1])
)
sources = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {"k": keys, "t": times},
            optional={
                "i": st.integers(-3, 3),
                "s": st.sampled_from(["", "u", "v"]),
                "f": st.sampled_from([0.5, -0.0, 1e300]),
            },
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=4,
)
limits = st.sampled_from([(1 << 20, 1 << 25, 1 << 16), (1, 1, 1), (12, 20, 2)])


@settings(max_examples=max(8, settings().max_examples // 2))
@given(sources, st.sampled_from(["keep", "exact", "latest"]), st.sampled_from([None, "i"]), limits)
def test_each_point_comes_once_and_in_order(
    given: list[list[Row]], policy: str, id_: str | None, sizes: tuple[int, int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given, duplicates=policy, id=id_)
        cells, shard, least = sizes
        with (
            Store(folder) as store,
            patch.multiple(point_scan, BATCH_CELLS=cells, SHARD_CELLS=shard, LEAST_ROWS=least),
        ):
            found = read(store)
            ((count,),) = store.query(df.stream("s").agg(n=df.count()), progress=False)
            assert len(found) == count
    assert exactly(found) == exactly(model(given, policy, id_))
    assert all(a["t"] // DAY <= b["t"] // DAY for a, b in pairwise(found))
    for key in {row["k"] for row in found}:
        mine = [row for row in found if row["k"] == key]
        assert all(a["t"] <= b["t"] for a, b in pairwise(mine))
        if policy == "keep" and id_ is None:  # of one time, in the order of the commits
            came = [row for source in given for row in source if row["k"] == key]
            assert [exactly([r]) for r in mine] == [exactly([r]) for r in sorted(came, key=lambda r: r["t"])]


bounds = st.none() | st.builds(lambda t, d: t + d, times, st.integers(-1, 1))


@settings(max_examples=max(8, settings().max_examples // 2))
@given(sources, bounds, bounds, st.none() | keys, limits)
def test_ranges_and_keys(
    given: list[list[Row]], since: int | None, until: int | None, key: str | None, sizes: tuple[int, int, int]
) -> None:
    if since is not None and until is not None and since > until:
        since, until = until, since
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given)
        cells, shard, least = sizes
        with (
            Store(folder) as store,
            patch.multiple(point_scan, BATCH_CELLS=cells, SHARD_CELLS=shard, LEAST_ROWS=least),
        ):
            found = read(store, PointRange(since, until, key))
    expected = [
        row
        for row in model(given, "keep", None)
        if (since is None or row["t"] >= since)
        and (until is None or row["t"] < until)
        and (key is None or row["k"] == key)
    ]
    assert exactly(found) == exactly(expected)


def test_keys_that_are_integers(tmp_path: Path) -> None:
    rows = [{"k": k, "t": START + k % 7, "s": str(k)} for k in (5, -5, 2**62, 0, 5)]
    write(tmp_path, [rows])
    with Store(tmp_path) as store:
        assert exactly(read(store)) == exactly(rows)
        for key in ("5", 5):
            assert [row["s"] for row in read(store, PointRange(key=key))] == ["5", "5"]
        with pytest.raises(QueryError, match=r"'five' is not a key of this stream: its keys \(k\) are int64"):
            read(store, PointRange(key="five"))
        with pytest.raises(QueryError, match="is not a key"):
            read(store, PointRange(key=2**70))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, [[{"k": "a", "t": START, "i": 1}]])
    with Store(tmp_path) as store:
        with pytest.raises(QueryError, match="no stream 'x'"):
            PointScan(store, "x", PointRange())
        with pytest.raises(QueryError, match="since is after until"):
            PointScan(store, "s", PointRange(2, 1))
        scan = PointScan(store, "s", PointRange())
        with patch.object(point_scan.Scan, "group", lambda self, group: iter(())):
            assert list(scan.batches()) == []  # nothing was covered, nothing is missing
        usual = point_scan.Scan.group

        def lossy(self: Any, group: Any) -> Any:
            list(usual(self, group))
            return iter(())

        with patch.object(point_scan.Scan, "group", lossy), pytest.raises(IncompleteResult, match="dataflow verify"):
            list(scan.batches())


def test_memory_does_not_grow_with_the_days(tmp_path: Path) -> None:
    """Files are closed behind the reader, with their dictionaries."""
    write(tmp_path, [[{"k": "a", "t": START + n * DAY, "s": f"text {n}"} for n in range(40)]])
    with Store(tmp_path) as store:
        scan = PointScan(store, "s", PointRange())
        most = max(len(scan._opened._used) for _ in scan.batches())
        assert most == 1
        assert store.opened.held == 0
