"""Which plans need only last values of the rows before the range, and of which columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.plan.stages import Plan
from operators.types import Type

STREAM = StreamColumns(
    "k",
    Type.STRING,
    "t",
    {
        "v": Type.FLOAT, "n": Type.INT, "st": Type.STRING, "fw": Type.STRING, "ok": Type.BOOL, "at": Type.TIME,
    },
)  # fmt: skip
col, s = df.col, df.stream("s")


def plan_of(metric: df.Stream) -> Plan:
    return bind(metric.steps, STREAM)


def up_time(points: df.Stream, hold: str | None = None) -> df.Stream:
    return points.state_duration("st", hold=hold).group_by("fw").agg(t=df.known_time())


@pytest.mark.parametrize(
    ("metric", "columns", "plain"),
    [
        # States: what is reported, and what is held.
        (up_time(s), "fw st", ""),
        (up_time(s, "5m"), "fw st", ""),
        (s.state_duration((col("v") > 2) & ~(col("v") > 5)), "v", ""),
        (s.state_duration("v"), "v", "v"),
        (s.heartbeat("5m"), "", ""),
        (s.heartbeat("5m") & s.state_duration(col("st") == "up"), "st", ""),
        (s.held("st", "fw").state_duration("st").group_by("fw").agg(t=df.known_time()), "fw st", ""),
        (s.held("fw", hold="1h").state_duration("st").group_by("fw").agg(t=df.known_time()), "fw st", ""),
        # Filters by the key, or of what is reported.
        (up_time(s.filter(col("k") == "a")), "fw st", ""),
        (s.filter(col("st").is_not_null()).state_duration("st"), "st", ""),
        # Rows of the range, with what was last reported.
        (s.held("fw").filter(col("v") > 2).group_by("fw").agg(n=df.count()), "fw", ""),
        (s.held("fw").filter(col("v") * 2 > 3).group_by("fw").agg(n=df.count()), "fw", ""),
        (s.with_columns(a=col("v").last("1h"), b=col("st").last()), "st v", ""),
        (s.filter(col("st").changed()), "st", ""),
        (s.group_by("k").agg(a=df.increase("v"), b=df.rate("v")), "v", ""),
        (s.group_by("k").agg(a=df.increase("n")), "n", "n"),
        # Other steps that follow a key.
        (s.window("1d", empty=True).group_by("fw").agg(n=df.count()), "fw", ""),
        (s.transitions("st", gap=None), "st", ""),
        (s.sessionize("5m", split_when=col("st").changed()), "st", ""),
        # Stages that look back at intervals.
        (s.state_duration("st").group_by().agg(a=df.mtbf(col("st") == "up"), b=df.mttr(col("st") == "up")), "st", ""),
        (s.state_duration("st").group_by(d=df.time().truncate("1d")).agg(a=df.mtbf(col("st") == "up")), "st", ""),
        (s.state_duration("st").filter(col("st").changed()), "st", ""),
    ],
)  # fmt: skip
def test_last_values_suffice(metric: df.Stream, columns: str, plain: str) -> None:
    plan = plan_of(metric)
    assert plan.history is None
    assert (plan.carried, plan.plain) == (tuple(columns.split()), tuple(plain.split()))


@pytest.mark.parametrize(
    "metric",
    [
        # Filters choose among the reports.
        up_time(s.filter(col("ok"))),
        s.filter(col("ok")).heartbeat("5m"),
        s.filter(col("ok").is_not_null()).state_duration("st"),
        s.filter(col("st").is_not_null()).held("fw").state_duration("st").group_by("fw").agg(t=df.known_time()),
        s.filter(col("ok")).with_columns(a=col("st").last()),
        s.state_duration("st").filter(col("st") != "up").filter(col("st").changed()),
        s.state_duration("st").filter(col("duration") > "1h").filter(col("st").changed()),
        # More than last values.
        s.with_columns(a=col("v").previous()),
        s.with_columns(a=col("v").cumulative_sum(), b=col("st").last()),
        s.state_duration("st").with_columns(a=col("st").previous()),
        s.state_duration("st").with_columns(a=col("duration").cumulative_sum()),
        s.sessionize("5m", max_length="1h"),
        s.cohorts(col("ok"), col("ok"), every="1d"),
        # A report of two columns, or of more than one report; a value that null does not hide.
        s.state_duration(col("ok") & (col("st") == "up")),
        s.state_duration(col("st").fill_null("up")),
        s.state_duration(col("v").last("1h") > 3),
        s.state_duration(col("st").is_null()),
        s.with_columns(a=((col("v").last("1h") > col("n").last("1h")).last())),
        # What may fail, in rows that a snapshot does not have.
        s.held("fw").filter(col("n") * 2 > 3).group_by("fw").agg(n=df.count()),
        s.state_duration(col("n") + 1),
        s.with_columns(a=(col("n") + 1).last()),
        # When an interval began is not known.
        s.state_duration("st").with_columns(a=col("st").last("1h")),
        s.state_duration("n").group_by().agg(a=df.rate("n")),
        (s.heartbeat("5m") & s.state_duration(col("ok"))).group_by().agg(a=df.mtbf("state")),
        # Windows that slide over the start of the range.
        s.window("1d", size="3d", empty=True),
    ],
)
def test_they_do_not(metric: df.Stream) -> None:
    plan = plan_of(metric)
    assert (plan.carried, plan.plain) == (None, ())


def test_tables_of_keys() -> None:
    always = df.table({"k": ["a"], "site": ["x"]})
    since = df.table({"k": ["a"], "site": ["x"], "from": [datetime(2024, 1, 1, tzinfo=UTC)]})
    assert plan_of(up_time(s.join(always, on="k"))).carried == ("fw", "st")
    joined = s.join(always, on="k", how="inner").state_duration("st").group_by("site").agg(t=df.known_time())
    assert plan_of(joined).carried == ("st",)
    timed = s.join(since, on="k", valid_from="from", how="inner").state_duration("st")
    assert plan_of(timed).carried is None
    by_version = s.join(always, on="fw", key="k").state_duration("st").group_by("site").agg(t=df.known_time())
    assert plan_of(by_version).carried is None
    nights = df.calendar({"mon-sun": "20:00-24:00"}, zone="UTC")
    assert plan_of(s.during(nights).state_duration("st")).carried is None
    assert plan_of(s.state_duration("st").during(nights)).carried == ("st",)


def test_bounded_holds_beside_unbounded_ones() -> None:
    """With an unbounded one, everything is read, but for a snapshot."""
    assert (plan_of(s.held("fw", hold="5m")).history, plan_of(s.held("fw")).history) == (300_000_000, None)
    both = plan_of(s.held("fw", hold="5m").held("st"))
    assert (both.history, both.carried) == (None, ("fw", "st"))
