"""Rows of a finished table beside each other: the largest ones, shares, running sums, changes, pivots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Result, Store

MINUTE = 60_000_000
CODE = {"df": df, "datetime": datetime, "timedelta": timedelta, "UTC": UTC}
POINTS = df.stream("s")
SOLD = POINTS.group_by("k").agg(n=df.sum("n"))


def at(minutes: int) -> int:
    """Microseconds since 1970."""
    return (1_709_251_200 + 60 * minutes) * 1_000_000


def columns(result: Result) -> dict[str, list[Any]]:
    return {name: result[name] for name in result.columns}


def asked(folder: Path, metric: df.Stream, rows: list[tuple[Any, ...]], *names: str, until: int = 0) -> Result:
    """The result over rows of (key, minutes, ...)."""
    store = Store(folder / "store")
    found: dict[str, list[Any]] = {n: [row[i] for row in rows] for i, n in enumerate(("k", "t", *names))}
    store.ingest("s", found | {"t": [at(m) for m in found["t"]]}, key="k", time="t", unit="us", progress=False)
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    assert eval(repr(metric), CODE).to_json() == metric.to_json()
    return store.query(metric, until=datetime.fromtimestamp(at(until) / 1e6, UTC) if until else None, progress=False)


OUTAGES = [
    ("a", 0, "up"), ("a", 10, "down"), ("a", 12, "up"), ("a", 20, "down"), ("a", 27, "up"),
    ("b", 0, "up"), ("b", 40, "down"), ("b", 60, "up"),
]  # fmt: skip


def test_the_two_longest_outages_per_site_with_their_devices(tmp_path: Path) -> None:
    rows = [(k, t, status, "north") for k, t, status in OUTAGES]
    down = POINTS.state_duration("status").filter(df.col("status") == "down")
    longest = down.select("site", "k", "start", "duration").top(2, by="duration", per="site")
    result = asked(tmp_path, longest, rows, "status", "site", until=90)
    assert columns(result) == {"site": ["north"] * 2, "k": ["b", "a"], "start": [at(40), at(20)],
        "duration": [20 * MINUTE, 7 * MINUTE]}  # fmt: skip
    assert result.explain(0).keys == 1


def test_the_longest_outage_of_each_device(tmp_path: Path) -> None:
    down = POINTS.state_duration("status").filter(df.col("status") == "down")
    result = asked(
        tmp_path,
        down.select("start", "duration").top(1, by="duration", per="k").select("k", "start"),
        OUTAGES,
        "status",
        until=90,
    )
    assert columns(result) == {"k": ["a", "b"], "start": [at(20), at(40)]}


def test_shares_and_running_shares_largest_first(tmp_path: Path) -> None:
    share = SOLD.with_columns(share=df.col("n").share())
    running = share.with_columns(running=df.col("n").cumulative_sum(order="n", descending=True) / df.sum("n").over())
    result = asked(tmp_path, running.sort("n", descending=True), [("x", 0, 60), ("y", 1, 30), ("z", 2, 10)], "n")
    assert columns(result) == {"k": ["x", "y", "z"], "n": [60, 30, 10], "share": [0.6, 0.3, 0.1],
        "running": [0.6, 0.9, 1.0]}  # fmt: skip


COUNTS = [("a", 30 * half, "north") for half, n in enumerate((4, 6, 3)) for _ in range(n)] + [("b", 0, "south")]


def test_the_change_against_the_bucket_before_by_site(tmp_path: Path) -> None:
    halves = POINTS.group_by("site", half=df.time().truncate("30m")).agg(n=df.count())
    metric = halves.with_columns(change=df.col("n") - df.col("n").previous(order="half", per="site"))
    result = asked(tmp_path, metric, COUNTS, "site")
    assert result["site"] == ["north", "north", "north", "south"]
    assert result["change"] == [None, 2, -3, None]
    assert result.explain({"site": "north", "half": "2024-03-01T00:30:00Z"}).total == 6


def test_moving_means_ranks_and_parts(tmp_path: Path) -> None:
    halves = POINTS.group_by("site", half=df.time().truncate("30m")).agg(n=df.count())
    metric = halves.select(
        two=df.mean("n").over("site", order="half", rows=2),
        so_far=df.max("n").over("site", order="half"),
        place=df.col("n").rank(per="site", descending=True),
        part=df.col("n").ntile(2),
        following=df.col("n").next(order="half", per="site"),
        number=df.col("n").row_number(order="half", per="site"),
    )
    result = asked(tmp_path, metric, COUNTS, "site")
    assert [*result] == [
        (4.0, 4, 2, 2, 6, 1),
        (5.0, 6, 1, 2, 3, 2),
        (4.5, 6, 3, 1, None, 3),
        (1.0, 1, 1, 1, None, 1),
    ]


def test_equal_values_share_a_rank_and_the_first_is_the_first(tmp_path: Path) -> None:
    sold = [("a", 0, 5), ("b", 1, 7), ("c", 2, 7), ("d", 3, None), ("e", 4, 9)]
    n = df.col("n")
    metric = SOLD.with_columns(rank=n.rank(), dense=n.dense_rank(), part=n.ntile(3), down=n.rank(descending=True))
    result = asked(tmp_path, metric, sold, "n")
    assert result["rank"] == [1, 2, 2, None, 4]
    assert result["dense"] == [1, 2, 2, None, 3]
    assert result["part"] == [1, 1, 2, None, 3]
    assert result["down"] == [4, 2, 2, None, 1]
    assert Store(tmp_path / "store").query(SOLD.top(2, by="n"), progress=False)["k"] == ["e", "b"]


def test_values_filled_forward(tmp_path: Path) -> None:
    """The last reported one, for two rows at most; the first one; the last one where it was above 5."""
    n = POINTS.group_by("site", "k").agg(n=df.sum("n"))
    metric = n.select(
        held=df.last("n").over("site", order="k"),
        of_two=df.last("n").over("site", order="k", rows=2),
        begun=df.first("n").over("site", order="k"),
        high=df.last("n", where=df.col("n") > 5).over(order="k"),
    )
    rows = [("a", 0, "x", None), ("b", 1, "x", 4), ("c", 2, "x", None), ("d", 3, "x", None), ("e", 4, "y", 6)]
    assert [*asked(tmp_path, metric, rows, "site", "n")] == [
        (None, None, None, None),
        (4, 4, 4, None),
        (4, 4, 4, None),
        (4, None, 4, None),
        (6, 6, 6, 6),
    ]


def test_rows_above_the_mean_of_their_site(tmp_path: Path) -> None:
    halves = POINTS.group_by("site", half=df.time().truncate("30m")).agg(n=df.count())
    metric = halves.filter(df.col("n") > df.mean("n").over("site"))
    assert asked(tmp_path, metric, COUNTS, "site")["n"] == [6]


STATES = [("a", 0, "up"), ("a", 1, "up"), ("a", 2, "down"), ("b", 3, "up"), ("b", 4, "off"), ("b", 5, "mute")]


def test_statuses_as_columns(tmp_path: Path) -> None:
    counted = POINTS.group_by("k", "status").agg(n=df.count())
    wide = counted.pivot("status", values=["up", "down"], of=df.sum("n"), other="others")
    result = asked(tmp_path, wide.with_columns(of_all=df.col("up").share()), STATES, "status")
    assert columns(result) == {
        "k": ["a", "b"], "up": [2, 1], "down": [1, None], "others": [None, 2], "of_all": [2 / 3, 1 / 3],
    }  # fmt: skip
    explained = result.explain({"k": "b"})
    assert (explained.total, explained.keys) == (3, 1)


def test_several_columns_by_status(tmp_path: Path) -> None:
    counted = POINTS.group_by("k", "status").agg(n=df.count(), first=df.first("n"))
    rows = [("a", 0, "up", 3), ("a", 1, "down", 4), ("b", 2, "up", 5)]
    result = asked(tmp_path, counted.pivot("status", values=["up", "down"]), rows, "status", "n")
    assert columns(result) == {
        "k": ["a", "b"], "up_n": [1, 1], "up_first": [3, 5], "down_n": [1, None], "down_first": [4, None],
    }  # fmt: skip


def test_long_rows_become_wide(tmp_path: Path) -> None:
    """One row per time of a device, from one per sensor."""
    rows = [("a", 0, "temp", 20.5), ("a", 0, "hum", 60.0), ("a", 5, "temp", 21.0), ("b", 0, "hum", 55.0)]
    metric = POINTS.select("sensor", "value").pivot("sensor", values=["temp", "hum"], of="value")
    result = asked(tmp_path, metric, rows, "sensor", "value")
    assert [*result] == [("a", at(0), 20.5, 60.0), ("a", at(5), 21.0, None), ("b", at(0), None, 55.0)]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (SOLD.with_columns(x=df.col("n").previous()), "previous needs an order of the table's rows; write"),
        (SOLD.with_columns(x=df.col("n").cumulative_sum()), r".cumulative_sum\(order='day'\)"),
        (POINTS.with_columns(x=df.col("n").rank()), r"df.col\(\"n\"\).rank\(\) is for the rows of a finished table"),
        (POINTS.with_columns(x=df.col("n").next(order="t")), "is for the rows of a finished table, as after agg"),
        (SOLD.group_by(x=df.col("n").rank()).agg(n=df.count()), r"looks at other rows; put it into a column first"),
        (SOLD.with_columns(x=df.last("n").over()), r"last needs an order of the table's rows; write for"),
        (SOLD.with_columns(x=df.sum("k").over()), "sum cannot take string"),
        (SOLD.with_columns(x=df.sum("n").over("site")), "there is no column 'site'; available columns: k, n"),
        (SOLD.with_columns(x=df.sum("n").over(df.col("k") + 1)), "step 3"),
        (POINTS.agg(h=df.histogram("n", width=1)).with_columns(x=df.count().over("h")), "is json"),
        (SOLD.pivot("k", values=[1]), "1 is of type int64, but 'k' is of type string"),
        (SOLD.pivot("k", values=["x"], of="k"), "of='k': the rows are grouped by that column"),
        (SOLD.pivot("k", values=["x"], of="m"), "there is no column 'm'"),
        (SOLD.pivot("k", values=["x", "x"]), "there would be two columns 'x'"),
        (SOLD.pivot("k", values=["x"], other="x"), "there would be two columns 'x'"),
        (SOLD.pivot("k", values=["y", "z"]), "a row for k='x' has none of the declared values; declare it, filter"),
        (SOLD.pivot("k", values=["x"], other="o"), r"2 rows belong into the column 'o'; say how to put them together"),
        (POINTS.select("k").pivot("k", values=["x"]), "there is no column besides those that rows are grouped by"),
        (POINTS.group_by("k").agg(n=df.mean("n")).pivot("n", values=[1]), "pivot takes a column of texts, integers or"),
    ],
)  # fmt: skip
def test_what_has_no_meaning(tmp_path: Path, metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        asked(tmp_path, metric, [("x", 0, 60), ("y", 1, 30), ("z", 2, 10)], "n")


def test_a_sum_beyond_64_bits_names_its_row(tmp_path: Path) -> None:
    rows = [("x", 0, 2**62), ("y", 1, 2**62), ("z", 2, 1)]
    with pytest.raises(df.DataflowError, match=r"step 3 \(with_columns\): .*sum\(n\) for k='y': .*64-bit"):
        asked(tmp_path, SOLD.with_columns(x=df.sum("n").over(order="k")), rows, "n")
    metric = SOLD.with_columns(x=df.sum("n").over(order="k", rows=1))
    assert Store(tmp_path / "store").query(metric, progress=False)["x"] == [2**62, 2**62, 1]


def test_explain_names_the_steps(tmp_path: Path) -> None:
    metric = SOLD.with_columns(share=df.col("n").share(), r=df.col("n").rank(descending=True)).top(2, by="r")
    asked(tmp_path, metric, [("x", 0, 60)], "n")
    text = Store(tmp_path / "store").explain(metric)
    for part in (
        'then df.sum("n") beside each row',
        "then rank of n descending",
        "then the first 2 rows, in the order of r descending",
    ):
        assert part in text


def test_a_row_of_a_second_grouping_is_explained(tmp_path: Path) -> None:
    halves = POINTS.group_by("site", half=df.time().truncate("30m")).agg(n=df.count())
    metric = halves.with_columns(share=df.col("n").share("site")).group_by("site").agg(most=df.max("share"))
    result = asked(tmp_path, metric, COUNTS, "site")
    assert columns(result) == {"site": ["north", "south"], "most": [6 / 13, 1.0]}
    explained = result.explain({"site": "north"})
    assert (explained.total, explained.keys) == (3, 1)
    assert explained.rows["share"] == [4 / 13, 6 / 13, 3 / 13]
