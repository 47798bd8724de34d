"""Timelines in the DSL: combinations, JSON both ways, and errors that name the step."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import MAX_BYTES, JsonFormError
from dataflow.plan.stages import Sweep
from dataflow.sinks.group_sink import Group
from dataflow.sinks.piece_sink import Pieces
from dataflow.steps import Heartbeat, StateDuration, Timeline
from dataflow.steps.concurrent import Edges
from dataflow.steps.keyed.timeline import Tracks
from operators.types import Type

STREAM = StreamColumns(
    "device", Type.STRING, "ts", {"n": Type.INT, "ok": Type.BOOL, "status": Type.STRING, "firmware": Type.STRING}
)
P = df.stream("t")
ALIVE = P.heartbeat("5m")
UP = P.filter(df.col("ok")).state_duration(df.col("status") == "up", hold="1h")
SITES = df.table({"device": ["a", "b"], "site": ["X", "Y"]})
MOVES = df.table({"device": ["a", "a"], "site": ["X", "Y"], "from": [None, "2024-03-01"]})
NIGHT = df.calendar({"mon-sun": "22:00-06:00"}, zone="Europe/London", except_=["2024-12-25"])
METRIC = (
    (UP | ~ALIVE)
    .during(NIGHT)
    .outside(MOVES, on="device", valid_to=None)
    .join(SITES, on="device")
    .at_least(2, df.col("state"), "site")
)


def test_the_same_timeline_is_kept_once() -> None:
    step = ((ALIVE & UP) | (~ALIVE & ~UP)).steps[-1]
    assert isinstance(step, Timeline)
    assert [type(t.interval) for t in step.tracks] == [Heartbeat, StateDuration]


def test_combined_by_name() -> None:
    made = df.combine(df.col("alive") & (df.col("status") == "up"), name="healthy", alive=ALIVE,
                      status=P.state_duration("status", hold="1h"))  # fmt: skip
    step = made.steps[-1]
    assert isinstance(step, Timeline)
    assert [t.name for t in step.tracks] == ["alive", "status"]
    plan = bind(made.filter(df.col("healthy")).group_by("firmware").agg(d=df.duration()).steps, STREAM)
    assert isinstance(plan.stages[0].sink, Tracks)
    assert [n for n, _ in plan.stages[0].sink.held] == ["firmware"]
    assert plan.history is None


def test_round_trip() -> None:
    for metric in (METRIC, df.at_least(2, of=[ALIVE, UP, ALIVE & UP]), ALIVE.concurrent(df.col("alive"), "firmware")):
        text = metric.to_json()
        assert df.from_json(text).to_json() == text
        assert repr(bind(df.from_json(text).steps, STREAM)) == repr(bind(metric.steps, STREAM))


def test_stages() -> None:
    plan = bind(METRIC.steps, STREAM)
    assert [type(s.sink) for s in plan.stages] == [Tracks, Pieces, Pieces, Edges, Group]
    assert [type(s) for s in plan.after][:1] == [Sweep]
    assert (plan.sliceable, plan.whole_keys) == (False, False)
    assert [n for n, _ in plan.outputs] == ["site", "start", "end", "duration", "state"]


def test_a_join_of_points_is_no_stage_and_may_be_sliced() -> None:
    plan = bind(P.join(SITES, on="device", how="inner").group_by("site").agg(n=df.count()).steps, STREAM)
    assert [type(s.sink) for s in plan.stages] == [Group]
    assert (plan.history, plan.sliceable) == (0, True)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: P.join(SITES, on="n", key="device"), r"\(join\): the table's key 'device' is string, .* is int64"),
        (lambda: P.join(df.table({"device": ["a"], "n": [1]}), on="device"), "there is already a column 'n'"),
        (lambda: P.join(SITES, on="devize", key="device"), "there is no column 'devize'; did you mean 'device'"),
        (
            lambda: P.group_by("device").agg(n=df.count()).join(MOVES, on="device", valid_from="from"),
            "rows have no time after group_by; join before it",
        ),
        (lambda: P.agg(n=df.count()).outside(NIGHT), r"step 3 \(outside\): rows have no time after group_by"),
        (lambda: ALIVE.at_least(2, df.col("alive")).during(NIGHT), "it cannot follow concurrent or at_least"),
        (lambda: ALIVE.at_least(2, df.col("alive")).sessionize("5m"), r"\(sessionize\): it needs the points"),
        (
            lambda: ALIVE.at_least(2, df.col("alive")).with_columns(p=df.col("state").previous()),
            "previous needs the rows of a key",
        ),
        (lambda: P.at_least(2, df.col("ok")), r"step 2 \(at_least\): it needs the intervals of keys"),
        (lambda: ALIVE.concurrent(df.col("firmware")), "it takes a condition, got string"),
        (lambda: ALIVE.concurrent(df.col("alive"), day=df.time().truncate("1d")), "group the resulting intervals"),
        (lambda: ALIVE.concurrent(df.col("alive"), active=df.col("n")), "a group column cannot be named 'active'"),
        (lambda: ALIVE & P.state_duration("status"), r"step 2 \(timeline\): and cannot take string"),
        (
            lambda: df.combine(df.col("alife"), alive=ALIVE),
            "there is no column 'alife'; did you mean 'alive'",
        ),
        (lambda: df.combine(df.col("a").changed(), a=ALIVE), "changed has no meaning in the state of a timeline"),
        (lambda: df.combine(df.col("a"), a=ALIVE, name="end"), "the state cannot be named 'end'"),
        (lambda: df.combine(df.lit(None), a=ALIVE), "always null"),
        (
            lambda: df.combine(df.col("a"), a=P.filter(df.col("temp") > 3).heartbeat("5m")),
            r"step 2 \(timeline\): a, filter: there is no column 'temp'",
        ),
    ],
)  # fmt: skip
def test_mistakes(metric: Callable[[], df.Stream], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric().steps, STREAM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ALIVE & P, r'df.stream\("t"\) is not a timeline'),
        (lambda: ALIVE & ALIVE.filter(df.col("alive")), r'\.heartbeat\("5m"\)\.filter\(.*\) is not a timeline'),
        (lambda: df.combine(df.col("a")), "combine takes timelines by name"),
        (lambda: df.at_least(0, of=[ALIVE]), "a positive integer, got 0"),
        (lambda: df.at_least(2, of=ALIVE), "takes a list of timelines"),  # type: ignore[arg-type]
        (lambda: ALIVE.at_least(True, df.col("alive")), "a positive integer, got True"),
        (lambda: df.at_least(2, of=[P.heartbeat(f"{i + 1}m") for i in range(33)]), "more than 32 timelines"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


def edited(change: Callable[[list[Any]], object]) -> str:
    d = json.loads(METRIC.to_json())
    change(d["steps"])
    return json.dumps(d)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[1]["tracks"].clear(), "expected 1 to 32 timelines, got 0"),
        (lambda s: s[1]["tracks"].append(s[1]["tracks"][0]), "given twice"),
        (lambda s: s[1]["tracks"][0]["steps"].reverse(), "made of row steps, then state_duration or heartbeat"),
        (lambda s: s[1]["tracks"][0].update(code="x"), "unknown field 'code'"),
        (lambda s: s[2].update(inside=1), "expected true or false"),
        (lambda s: s[2].update(on={"col": "n"}), "either a calendar, or windows and on"),
        (lambda s: s[2].update(calendar=None), "either a calendar, or windows and on"),
        (lambda s: s[2]["calendar"].update(zone="Mars/Base"), "no time zone"),
        (lambda s: s[2]["calendar"].update(weekly=[[0, 5, 3]]), "not hours of a day"),
        (lambda s: s[2]["calendar"].update(weekly=[[0, 5, True]]), "expected 3 integers"),
        (lambda s: s[2]["calendar"].update(weekly=[[0, 5, 9], [0, 8, 10]]), "do not overlap"),
        (lambda s: s[2]["calendar"]["except"].append([5, 4]), "ascending order"),
        (lambda s: s[3]["windows"].update(valid_from=None), "expected valid_from or valid_to"),
        (lambda s: s[3]["windows"]["table"]["columns"][0]["values"].append("c"), "has 2 values, 'device' has 3"),
        (lambda s: s[4]["windows"]["table"]["columns"][0].update(values=["a", 1]), r"values\[1\]: 1 is not a constant"),
        (lambda s: s[4]["windows"]["table"]["columns"][0].update(values=["a", "a"]), "are both valid for device 'a'"),
        (lambda s: s[4]["windows"]["table"]["columns"][0].update(type="code"), "unknown type 'code'"),
        (lambda s: s[4].update(how="outer"), "expected one of left, inner"),
        (lambda s: s[5].update(at_least=0), "a positive integer, a share like"),
    ],
)
def test_what_json_is_refused(change: Callable[[list[Any]], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        df.from_json(edited(change))


def test_tables_have_a_bound_of_their_own() -> None:
    big = df.table({"device": [f"device-{i}" for i in range(40_000)], "site": ["x" * 40] * 40_000})
    metric = P.join(big, on="device")
    assert len(metric.to_json()) > MAX_BYTES
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    twice = metric.join(
        big.__class__.of([("id", *big.columns[0][1:]), ("place", *big.columns[1][1:])]), on="device", key="id"
    )
    with pytest.raises(JsonFormError, match="reference tables are over"):
        twice.to_json()


def test_the_pages_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Path(df.__file__).parent / name for name in ("README.md", "LANGUAGE.md")]
    blocks = [b for p in pages for b in re.findall(r"```python\n(.*?)```", p.read_text(encoding="utf-8"), re.S)]
    (tmp_path / "metric.py").write_text("\n".join(["import dataflow as df", *blocks]))
    (tmp_path / "sites.csv").write_text("device,site,from,to\na,X,,2024-03-01\na,Y,2024-03-01,\n")
    (tmp_path / "maintenance.csv").write_text("device,from,to\na,2024-03-01,2024-03-02\n")
    monkeypatch.chdir(tmp_path)
    made = runpy.run_path("metric.py")
    assert [n for n, _ in bind(made["uptime"].steps, STREAM).outputs] == ["site", "up", "promised"]
    assert [n for n, _ in bind(made["availability"].steps, STREAM).outputs] == ["firmware", "up", "devices"]
    clicks = StreamColumns("user", Type.STRING, "ts", {"amount": Type.FLOAT})
    assert [n for n, _ in bind(made["streaks"].steps, clicks).outputs] == ["user", "longest"]
    assert ("amount", Type.FLOAT) in bind(made["seven_days"].steps, clicks).outputs
    assert bind(made["redundant"].steps, STREAM).outputs[0][0] == "site"
    assert [n for n, _ in bind(made["by_firmware"].steps, STREAM).outputs] == ["firmware", "n"]
    assert bind(made["healthy"].steps, STREAM).history == 30 * 86_400_000_000
